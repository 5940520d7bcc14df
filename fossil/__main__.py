"""``python -m fossil``: a file server with snapshots, and commands to one that is running."""

from __future__ import annotations

if __name__ == "__main__":
    from ninep.cli.loading import leave, watch_loading

    watch_loading("fossil")

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import trio

from fossil.archive.vault import Vault
from fossil.archive.vaultstore import VaultStore
from fossil.cli import check as checking
from fossil.cli import format as formatting
from fossil.cli.check import CODES
from fossil.commands.interpreter import Interpreter
from fossil.commands.startup import read_configuration, start, understood
from fossil.console.console import open_console
from fossil.console.words import quoted
from fossil.data.lock import check_free
from fossil.errors import (
    ArchiveAway,
    BadConfiguration,
    ConsoleRefused,
    DamagedData,
    FossilError,
    NoFileSystem,
    NoSnapshot,
    NotServed,
)
from fossil.files.attach import NAME
from fossil.files.rules import Rules
from fossil.files.vacfs import VacTree
from fossil.server.condition import look_at_venti
from fossil.server.fileserver import FileServer, Surroundings, open_file_server
from fossil.server.fsys import Fsys
from fossil.server.service import CONSOLE
from ninep.cli.codes import DAMAGED, DONE, FAILED, NOT_FOUND, UNREACHABLE, USAGE
from ninep.cli.homes import data_home
from ninep.cli.networks import add_listen_flags, add_network_flags, can_listen, listening, networks_of, run_program
from ninep.cli.serving import announce, until_signalled
from ninep.cli.sizes import size_above_zero
from ninep.cli.streams import print_result
from ninep.net.errors import BadAddress
from ninep.net.identity import user_name
from ninep.net.listen import where
from ninep.server.serve import serve
from ninep.tasks.nursery import open_nursery
from venti.blocks.errors import (
    BlockNotFound,
    DamagedArchive,
    DamagedBlock,
    DamagedStore,
    LostBlock,
    NoStore,
    VentiError,
)
from venti.commands.folder import existing
from venti.commands.score import named
from venti.log.opening import open_disk_store
from venti.stores.remote import connect

DEFAULT_LISTEN = "/net.alt/tcp!*!564"


def folder_of(arguments: argparse.Namespace) -> Path:
    """The data directory."""
    return Path(arguments.data) if arguments.data else data_home() / "fossil"


async def run_serve(arguments: argparse.Namespace) -> None:
    """Serves file systems until interrupted: one, or what a configuration says. A fresh one belongs to its starter."""
    commands = [("-c", command) for command in arguments.command]
    if arguments.config:
        commands = read_configuration(Path(arguments.config)) + commands
    lines = understood(commands)
    if lines and (arguments.listen or arguments.no_permissions):
        raise BadConfiguration("with --config or -c, say 'listen' and 'open -P' there and not as flags")
    folder = folder_of(arguments)
    networks = networks_of(arguments)
    around = Surroundings(
        folder,
        Path(os.environ.get("NAMESPACE") or folder / "srv"),
        user_name(),
        listen=lambda address: listening(arguments, address, service="9fs"),
        dial=lambda address: connect(address, networks=networks),
        venti=arguments.venti or os.environ.get("venti") or None,  # noqa: SIM112 the name that the original programs use
        durable=arguments.durable,
        local_size=arguments.local_size,
    )

    async def run() -> None:
        async with open_file_server(around, Interpreter) as server:
            if lines:
                announce("".join(await start(Interpreter(server), lines)), end="")
            else:
                await _serve_one(arguments, server)
            await server.attend()
            for fsys in server.table.values():
                if fsys.fossil is not None:
                    _announce(server, fsys)
            for fsys in server.table.values():
                if fsys.fossil is not None:
                    await _announce_venti(fsys)
            await trio.sleep_forever()

    await until_signalled(run)


async def _serve_one(arguments: argparse.Namespace, server: FileServer) -> None:
    """The one file system of a data directory; an address that cannot be listened on is told before it is touched."""
    check_free(server.surroundings.folder)
    addresses = arguments.listen or [DEFAULT_LISTEN]
    for address in addresses:
        await can_listen(arguments, address, service="9fs")
    server.configure(NAME, "*")
    await server.open(server.fsys(NAME), Rules(permissions=not arguments.no_permissions), archiving=True)
    for address in addresses:
        await server.listen(address, await server.surroundings.listen(address))


def _announce(server: FileServer, fsys: Fsys) -> None:
    doors = [*server.listening.values(), *(door for door in server.services.values() if door.serves_files)]
    places = [place for door in doors for place in door.places]
    venti = fsys.venti or server.surroundings.venti
    archive = f"venti {venti}" if venti else f"the embedded venti in {fsys.folder / 'venti'}"
    name = "" if fsys.name == NAME else f" as {fsys.name}"
    archiving = f", archiving to {archive}" if fsys.archiving else ""
    announce(f"serving {fsys.folder}{name} on {' '.join(places) or 'nothing but the console'}{archiving}")
    if places and not name:
        announce(f"try: python -m ninep -a '{places[0]}' ls -l")


async def _announce_venti(fsys: Fsys) -> None:
    """What was found where archives go: clients are served meanwhile."""
    venti = await look_at_venti(fsys.open)
    if venti is not None:
        announce(venti.text if fsys.name == NAME else f"{fsys.name}: {venti.text}")


async def run_vacfs(arguments: argparse.Namespace) -> None:
    """Serves an archive, read-only, until interrupted. What nobody looks at is not fetched."""
    score = named(arguments.score)
    address = arguments.address or DEFAULT_LISTEN
    venti = arguments.venti or os.environ.get("venti") or ""  # noqa: SIM112 as above
    networks = networks_of(arguments)
    if not venti and not arguments.store:
        raise BadAddress("which archive? say --venti ADDRESS, set the variable 'venti', or say --store DIR")
    folder = existing(arguments.store) if arguments.store else Path()
    vault = Vault(
        (lambda: open_disk_store(folder, read_only=True))
        if arguments.store
        else lambda: connect(venti, networks=networks)
    )

    async def run() -> None:
        await can_listen(arguments, address, service="9fs")
        tree = VacTree(VaultStore(vault), score, permissions=not arguments.no_permissions)
        async with open_nursery() as nursery:
            nursery.start_soon(vault.run)
            await tree.top()
            listeners = await listening(arguments, address, service="9fs")
            places = " ".join(where(listener) for listener in listeners)
            announce(f"serving vac:{score} on {places}, read-only")
            await serve(tree, listeners)

    await until_signalled(run)


async def run_command(arguments: argparse.Namespace) -> int:
    """Asks a running file system."""
    words = [arguments.word, *arguments.words(arguments)]
    async with open_console(folder_of(arguments) / CONSOLE) as line:
        report = await line.ask(" ".join(map(quoted, words)))
        print_result(report, end="")
        return CODES[report.verdict]


async def run_console(arguments: argparse.Namespace) -> int:
    """Gives one command to the console, or each line of standard input; at a terminal with prompts."""
    async with open_console(folder_of(arguments) / CONSOLE) as line:
        if arguments.command:
            report = await line.ask(" ".join(arguments.command))
            print_result(report, end="")
            return CODES[report.verdict]
        await line.ask("")
        people = sys.stdin.isatty()
        if people:
            with suppress(ImportError):
                # Gives input() a line editor with a memory.
                import readline  # noqa: F401 which input() uses when it is there
        code = DONE
        while text := await trio.to_thread.run_sync(_typed, line.prompt if people else "", abandon_on_cancel=True):
            try:
                report = await line.ask(text.rstrip("\n"))
                print_result(report, end="")
                code = code or CODES[report.verdict]
            except ConsoleRefused as error:
                code = code or FAILED
                print(error, file=sys.stdout if people else sys.stderr)
            sys.stdout.flush()
        return DONE if people else code


def _typed(prompt: str) -> str:
    """The next line of standard input; empty at its end."""
    if not prompt:
        return sys.stdin.readline()
    try:
        return input(prompt) + "\n"
    except EOFError:
        print()
        return ""


def _json(arguments: argparse.Namespace) -> list[str]:
    return ["-j", "--"] if arguments.json else ["--"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    parser = argparse.ArgumentParser("fossil", description="Serve files over 9P and remember how they were.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    server = commands.add_parser("serve", help="serve a file system", description=run_serve.__doc__)
    server.set_defaults(run=run_serve)
    server.add_argument("--data", metavar="DIR", help="where it is kept; default: fossil in your data directory")
    server.add_argument("--listen", metavar="ADDRESS", action="append", help=f"default: {DEFAULT_LISTEN}")
    server.add_argument("--venti", metavar="ADDRESS", help="where archives go; default: an embedded venti")
    server.add_argument("--no-permissions", action="store_true", help="everybody may do everything")
    server.add_argument("--config", "-f", metavar="FILE", help="start with the console's commands in FILE")
    server.add_argument("-c", dest="command", metavar="COMMAND", action="append", default=[], help="and with this one")
    server.add_argument("--durable", action="store_true", help="answer only what is on the disk; slower")
    server.add_argument(
        "--local-size",
        type=size_above_zero,
        metavar="SIZE",
        help="what the data here is brought back to, such as 10G, as far as it is safe in venti; default: no bound",
    )
    add_listen_flags(server)

    maker = commands.add_parser("format", help="make a file system, empty or from an archive")
    maker.description = (formatting.run.__doc__ or "").partition("Raises:")[0]
    maker.set_defaults(run=lambda arguments: formatting.run(arguments, folder_of(arguments)))
    maker.add_argument("--data", metavar="DIR", help="where it is kept; default: fossil in your data directory")
    maker.add_argument("--venti", metavar="ADDRESS", help="where the archive is; default: the embedded venti in DIR")
    formatting.add_flags(maker)
    add_network_flags(maker)

    archive = commands.add_parser("vacfs", help="serve an archive, read-only", description=run_vacfs.__doc__)
    archive.set_defaults(run=run_vacfs)
    archive.add_argument("--venti", metavar="ADDRESS", help="where it is; default: the variable 'venti'")
    archive.add_argument(
        "--store", metavar="DIR", help="or in this directory of a venti, which nobody serves just then"
    )
    archive.add_argument("--no-permissions", "-p", action="store_true", help="everybody may read everything")
    archive.add_argument("score", metavar="SCORE", help="vac: and 40 digits, or a file that holds them")
    archive.add_argument("address", metavar="ADDRESS", nargs="?", help=f"where to serve it; default: {DEFAULT_LISTEN}")
    add_listen_flags(archive)

    checker = commands.add_parser("check", help="look for damage, and repair what is safe in venti")
    checker.description = checking.run.__doc__
    checker.set_defaults(run=lambda arguments: checking.run(arguments, folder_of(arguments)))
    checker.add_argument("--data", metavar="DIR", help="where it is kept; default: fossil in your data directory")
    checker.add_argument("--venti", metavar="ADDRESS", help="where the archive is; default: the embedded venti in DIR")
    checking.add_flags(checker)
    add_network_flags(checker)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text)
        command.add_argument("--data", metavar="DIR", help="the directory that is served")
        command.set_defaults(run=run_command, word=name, words=lambda arguments: [])
        return command

    command = add("snap", "make a snapshot and print its path")
    command.add_argument("-a", dest="archive", action="store_true", help="one that is archived in venti")
    command.add_argument("-s", dest="source", metavar="PATH", help="of this directory; default: /active")
    command.add_argument("-d", dest="name", metavar="PATH", help="at this path; default: named by the time")
    command.set_defaults(
        words=lambda arguments: [
            "-ap" if arguments.archive else "-p",
            *(["-s", arguments.source] if arguments.source else []),
            *(["-d", arguments.name] if arguments.name else []),
        ]
    )
    command = add("last", "print the score of the newest archive")
    command.add_argument("--wait", action="store_true", help="wait until everything is archived")
    command.set_defaults(words=lambda arguments: ["-w"] if arguments.wait else [])
    add("snapshots", "list the snapshots")
    add("status", "say whether anything is wrong; ends with 1 if something is")
    add("df", "say how much room is used")
    add("sync", "return when everything is on the disk")
    command = add("history", "print the versions of a file")
    command.add_argument("--json", action="store_true", help="an object a line")
    command.add_argument("path", metavar="PATH")
    command.set_defaults(words=lambda arguments: [*_json(arguments), arguments.path])
    command = add("diff", "print what is different between two snapshots, or one and 'active'")
    command.add_argument("--json", action="store_true", help="an object a line")
    command.add_argument("snaps", metavar="SNAP", nargs=2)
    command.add_argument("path", metavar="PATH", nargs="?", default="/")
    command.set_defaults(words=lambda arguments: [*_json(arguments), *arguments.snaps, arguments.path])
    command = add("restore", "make a file or directory what it was in a snapshot")
    command.add_argument("--delete", "-d", action="store_true", help="and remove what has been made since")
    command.add_argument("--dry-run", "-n", dest="dry", action="store_true", help="only print what that would do")
    command.add_argument("snap", metavar="SNAP")
    command.add_argument("path", metavar="PATH")
    command.set_defaults(
        words=lambda arguments: [
            *(["-d"] if arguments.delete else []),
            *(["-n"] if arguments.dry else []),
            "--",
            arguments.snap,
            arguments.path,
        ]
    )
    command = commands.add_parser("con", aliases=["console"], help="talk to the console, or give it one command")
    command.add_argument("--data", metavar="DIR", help="the directory that is served")
    command.add_argument("command", nargs="*", metavar="COMMAND")
    command.set_defaults(run=run_console)

    codes = {
        NoSnapshot: NOT_FOUND,
        NoFileSystem: NOT_FOUND,
        NoStore: NOT_FOUND,
        BadConfiguration: USAGE,
        NotServed: UNREACHABLE,
        DamagedData: DAMAGED,
        ArchiveAway: UNREACHABLE,
        FossilError: FAILED,
        DamagedStore: DAMAGED,
        LostBlock: DAMAGED,
        DamagedArchive: DAMAGED,
        DamagedBlock: DAMAGED,
        BlockNotFound: NOT_FOUND,
        VentiError: FAILED,
    }
    return run_program("fossil", parser, argv, codes)


if __name__ == "__main__":
    leave(main())
