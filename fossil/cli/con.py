"""``con``: the console of a running file system."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress

from fossil.cli.flags import CODES, folder_of
from ninep.cli.codes import DONE, FAILED
from ninep.cli.flags import Parsers
from ninep.cli.streams import print_result


async def run(arguments: argparse.Namespace) -> int:
    """Gives one command to the console, or each line of standard input; at a terminal with prompts."""
    import trio

    from fossil.console.console import CONSOLE, open_console
    from fossil.errors import ConsoleRefused

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


def add(commands: Parsers) -> None:
    """Adds the command."""
    command = commands.add_parser("con", aliases=["console"], help="talk to the console, or give it one command")
    command.add_argument("--data", metavar="DIR", help="the directory that is served")
    command.add_argument("command", nargs="*", metavar="COMMAND")
    command.set_defaults(run=run)
