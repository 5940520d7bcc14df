"""``export``: sends every block of a store to an archive on the network."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from venti.cli.flags import add_command, add_store_flag


async def run(arguments: argparse.Namespace) -> int:
    """Writes every block of a store to any running venti, ours or the original.

    It goes on where the last export to that address ended. The store may be in use by a server meanwhile.
    """
    from venti.cli.sending import export

    return await export(arguments)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "export", run, "write every block of a store to a running venti")
    add_store_flag(parser, "where the blocks are; default: venti in your data directory")
    parser.add_argument("--all", action="store_true", help="from the beginning, whatever was exported before")
    parser.add_argument("--json", action="store_true", help="print an object at the end")
