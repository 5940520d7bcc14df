"""``check``: verifies that every block of an archive is there and is what was written."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from venti.cli.flags import add_check_flags, add_command


async def run(arguments: argparse.Namespace) -> int:
    """Reads everything of an archive, made by vac or by fossil, and names each block that is missing or damaged.

    Each is named with the path of the file that it belongs to.
    """
    from venti.cli.checking import look

    return await look(arguments)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "check", run, "read everything of an archive and name what is missing or damaged")
    add_check_flags(parser)
