"""``verify``: checks every block of a store against its score."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from venti.cli.flags import add_folder_command


async def run(arguments: argparse.Namespace) -> int:
    """Reads every block of a store, checks it against its BLAKE3 and its score, and compares the index with the blocks.

    The store may be in use by a server meanwhile. Damage that has been healed, by a sound copy later in the store, does
    not count.
    """
    from venti.cli.verifying import verify

    return await verify(arguments)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_folder_command(commands, "verify", run, "check every block of a store")
    parser.add_argument("--json", action="store_true", help="print one object at the end")
