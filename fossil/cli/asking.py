"""Commands that ask a running file system. They speak to its socket, and load nothing else of fossil."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from fossil.cli.flags import CODES, folder_of
from ninep.cli.flags import Parsers
from ninep.cli.streams import print_result


def add_question(
    commands: Parsers, name: str, text: str, words: Callable[[argparse.Namespace], Sequence[str]] = lambda _: ()
) -> argparse.ArgumentParser:
    """A command of the console as one of the shell; ``words`` makes what stands behind its name there."""
    parser = commands.add_parser(name, help=text)
    parser.add_argument("--data", metavar="DIR", help="the directory that is served")
    parser.set_defaults(run=run, word=name, words=words)
    return parser


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Adds ``--json``."""
    parser.add_argument("--json", action="store_true", help="an object a line")


def json_word(arguments: argparse.Namespace) -> list[str]:
    """What ``--json`` is on the console, and the end of its flags."""
    return ["-j", "--"] if arguments.json else ["--"]


async def run(arguments: argparse.Namespace) -> int:
    """Asks a running file system."""
    from fossil.console.console import CONSOLE, open_console
    from fossil.console.words import quoted

    words = [arguments.word, *arguments.words(arguments)]
    async with open_console(folder_of(arguments) / CONSOLE) as line:
        report = await line.ask(" ".join(map(quoted, words)))
        print_result(report, end="")
        return CODES[report.verdict]
