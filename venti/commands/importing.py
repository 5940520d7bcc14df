"""``import``: reads the blocks of the original venti's arena partitions. Source: venti(8)."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from venti.cli.flags import add_command, add_store_flag


async def run(arguments: argparse.Namespace) -> int:
    """Reads arena partitions of the original venti, checks every block, and stores those that are sound.

    What is damaged is named, block by block, and does not keep the others back. Blocks that the archive has already
    cost nothing, so an import that was interrupted is simply started again.
    """
    from venti.cli.importing import take

    return await take(arguments)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "import", run, "take the blocks out of arena partitions of the original venti")
    add_store_flag(parser, "store them in this directory instead, which no server may have open")
    parser.add_argument("--check", action="store_true", help="only check them, and store nothing")
    parser.add_argument(
        "-j", dest="jobs", type=int, metavar="N", help="arenas that are read at a time; default: one for each processor"
    )
    parser.add_argument("--json", action="store_true", help="print an object for each file")
    parser.add_argument("files", nargs="+", metavar="FILE", help="an arena partition, version 4 or 5")
