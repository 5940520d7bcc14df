"""``repair``: fetches damaged or missing blocks from another archive."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from venti.cli.flags import add_check_flags, add_command, add_store_flag


async def run(arguments: argparse.Namespace) -> int:
    """Fetches blocks that are damaged or missing from another archive, and stores them anew.

    With a SCORE, those of one archive, in a running server. Without, the damaged ones of a whole store, which no server
    may have open. What cannot be had is named.
    """
    from venti.cli.repairing import repair

    return await repair(arguments)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "repair", run, "fetch what is damaged or missing from another archive")
    add_store_flag(parser, "the store to repair, if no SCORE is given; default: venti in your data directory")
    parser.add_argument(
        "--from", dest="origin", required=True, metavar="ADDRESS", help="the archive that has the blocks"
    )
    add_check_flags(parser, nargs="?")
