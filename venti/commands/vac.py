"""``vac``: packs files and directories into an archive. Source: vac(1)."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from ninep.cli.sizes import size_of
from venti.cli.flags import add_command

BLOCK_SIZE = 8192


async def run(arguments: argparse.Namespace) -> int:
    """Stores files and directories in the archive and prints a score, by which unvac finds all of them again."""
    from venti.cli.packing import pack

    return await pack(arguments)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "vac", run, "store files and directories, and print their score")
    parser.add_argument(
        "-b", dest="block_size", type=size_of, default=BLOCK_SIZE, metavar="SIZE", help="bytes of a block, 512 to 56k"
    )
    parser.add_argument(
        "-a",
        dest="growing",
        metavar="FILE",
        help="add to the archive whose score FILE holds, as yyyy/mmdd, and put the new score there",
    )
    parser.add_argument(
        "-d", dest="old", metavar="SCORE", help="an older archive of the same files: what has not changed is not read"
    )
    parser.add_argument(
        "-q",
        dest="quick",
        action="store_true",
        help="with -d or -a: take for unchanged what has the same modification time and size, whatever else changed",
    )
    parser.add_argument(
        "-m", dest="merge", action="store_true", help="in place of .vac files store what is in the archives they name"
    )
    parser.add_argument(
        "-e", dest="exclude", action="append", default=[], metavar="PATTERN", help="leave out what matches"
    )
    parser.add_argument(
        "-x",
        dest="rules",
        action="append",
        default=[],
        metavar="FILE",
        help="lines 'include PATTERN' and 'exclude PATTERN'; the first that matches decides",
    )
    parser.add_argument("-i", dest="stdin", metavar="NAME", help="store standard input, too, under this name")
    parser.add_argument("-f", dest="file", metavar="FILE", help="write the score to a file")
    parser.add_argument("-s", dest="statistics", action="store_true", help="print numbers on standard error")
    parser.add_argument("--json", action="store_true", help="print the score and numbers as a JSON object")
    parser.add_argument("paths", nargs="*", metavar="PATH")
