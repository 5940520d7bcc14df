"""``stats``: counts the blocks and bytes of a store."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from venti.cli.flags import add_folder_command


async def run(arguments: argparse.Namespace) -> int:
    """Counts the blocks of a store: how many, how large, how much smaller compression makes them.

    The store may be in use by a server meanwhile.
    """
    from venti.cli.counting import show

    return await show(arguments)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_folder_command(commands, "stats", run, "count what is in a store")
    parser.add_argument("--json", action="store_true", help="print an object")
