"""Console commands about the console itself."""

from __future__ import annotations

import logging
from pathlib import Path

from fossil.commands.registry import ANY, FSYS, SERVER, FsysCommand, ServerCommand, Speaker, server_command
from fossil.console import messagetext
from fossil.console.words import Given, quoted
from fossil.errors import ConsoleRefused
from fossil.server.namespace import Order

TRACED = ("fossil", "ninep", "venti")
"""Loggers that ``dflag`` makes talk."""
LARGEST_SCRIPT = 1024 * 1024
"""Bytes of a file of commands."""


@server_command(". file", least=1, most=1)
async def dot(speaker: Speaker, given: Given) -> str:
    """Does each line of a file of this machine; an error does not stop it."""
    path = Path(given.words[0])
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_SCRIPT + 1).decode()
    except UnicodeDecodeError as error:
        raise ConsoleRefused(f". {path}: is not text in UTF-8") from error
    except (OSError, ValueError) as error:
        # A name with a NUL in it is a ValueError.
        raise ConsoleRefused(f". {str(path)!r}: {getattr(error, 'strerror', None) or error}") from error
    if len(text) > LARGEST_SCRIPT:
        raise ConsoleRefused(f". {path}: longer than any file of commands")
    said = []
    failed = False
    for line in text.splitlines():
        try:
            said.append(await speaker.execute(line))
        except ConsoleRefused as error:
            failed = True
            said.append(f"{line}: {error}\n")
    if failed:
        raise ConsoleRefused("".join(said) + f"errors in . '{path}'")
    return "".join(said)


@server_command("echo [-n] ...", flags="n", most=ANY)
async def echo(speaker: Speaker, given: Given) -> str:
    """Prints its words; with -n without a newline behind them."""
    return " ".join(given.words) + ("" if "n" in given.options else "\n")


@server_command("dflag")
async def dflag(speaker: Speaker, given: Given) -> str:
    """Turns on, or off again, that the server says on standard error what it does."""
    on = logging.getLogger(TRACED[0]).level != logging.DEBUG
    for name in TRACED:
        logging.getLogger(name).setLevel(logging.DEBUG if on else logging.NOTSET)
    return f"dflag {int(on)}\n"


@server_command("bind [-b|-a|-c|-bc|-ac] new old", flags="abc", least=2, most=2)
async def bind(speaker: Speaker, given: Given) -> str:
    """Lets names of devices that begin with old lead to the directory new instead; -b and -a look at both, new before
    or after. -c is taken and means nothing.
    """
    new, old = given.words
    flags = given.options
    if "a" in flags and "b" in flags:
        raise SERVER["bind"].usage.refusal()
    names = speaker.server.names
    if not names.find(new).is_dir():
        raise ConsoleRefused(f"bind: {new}: there is no such directory")
    names.bind(new, old, Order.BEFORE if "b" in flags else Order.AFTER if "a" in flags else Order.REPLACE)
    return ""


@server_command("9p T-message ...", least=1, most=ANY)
async def ninep(speaker: Speaker, given: Given) -> str:
    """Sends a message of 9P to this server, as one more client of it, and prints it and the answer. nexttag N is no
    message: the next one has that tag.
    """
    name, *words = given.words
    own = speaker.server.own
    try:
        if name == "nexttag":
            own.next_tag(int(*words) if words else 0)
            return ""
        request = messagetext.parse(name, words)
    except KeyError:
        raise SERVER["9p"].usage.refusal() from None
    except (ValueError, TypeError) as error:
        raise ConsoleRefused("usage: nexttag tag" if name == "nexttag" else str(error)) from error
    tag, reply = await own.ask(request)
    return f"\t-> {messagetext.shown(tag, request)}\n\t<- {messagetext.shown(tag, reply)}\n"


@server_command("help [command ...]", most=ANY)
async def help_(speaker: Speaker, given: Given) -> str:
    """Prints how commands are used, or what some of them do. The original has no such command."""
    known: dict[str, ServerCommand | FsysCommand] = {**SERVER, **FSYS}
    if not given.words:
        return "".join(f"\t{known[name].usage.text}\n" for name in sorted(known))
    lines = []
    for name in given.words:
        if name not in known:
            raise ConsoleRefused(f"{name}: - eh? (say help)")
        command = known[name]
        lines.append(f"usage: {command.usage.text}\n\t{' '.join((command.run.__doc__ or '').split())}\n")
    return "".join(lines)


@server_command("printconfig")
async def printconfig(speaker: Speaker, given: Given) -> str:
    """Prints the lines that configure the file systems."""
    lines = []
    for fsys in speaker.server.table.values():
        lines.append(f"\tfsys {fsys.name} config {quoted(fsys.device)}\n")
        if fsys.venti is not None:
            lines.append(f"\tfsys {fsys.name} venti {quoted(fsys.venti)}\n")
    return "".join(lines)
