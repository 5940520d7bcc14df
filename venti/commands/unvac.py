"""``unvac``: unpacks files and directories from an archive. Source: unvac(1), in vac(1)."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from venti.cli.flags import add_command


async def run(arguments: argparse.Namespace) -> int:
    """Unpacks an archive into the current directory: all of it, or the named files and directories.

    Nothing outside the current directory is touched, whatever the archive holds.
    """
    from venti.cli.unpacking import unpack

    return await unpack(arguments)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "unvac", run, "unpack an archive into the current directory, or list it")
    parser.add_argument("-t", dest="list", action="store_true", help="only list; with -v in full")
    parser.add_argument("-c", dest="contents", action="store_true", help="print the contents of files instead")
    parser.add_argument(
        "-d", dest="reuse", action="store_true", help="take from files that are there what they share with the archive"
    )
    parser.add_argument("-T", dest="times", action="store_true", help="give files the times they had")
    parser.add_argument("--owners", action="store_true", help="give files the owners and groups they had; only as root")
    parser.add_argument(
        "--setuid", action="store_true", help="give files of the same owner their setuid and setgid bits, too"
    )
    parser.add_argument("--json", action="store_true", help="with -t an object a line, else one at the end")
    parser.add_argument("score", metavar="SCORE", help="vac: and 40 digits, or a file that holds them")
    parser.add_argument("names", nargs="*", metavar="NAME", help="paths in the archive; default: everything")
