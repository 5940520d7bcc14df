"""``mv``: a file under another name."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from ninep.commands.flags import add_command


async def run(arguments: argparse.Namespace) -> None:
    """Renames a file."""
    from ninep.commands.remote import about, connected
    from ninep.protocol.errors import CrossDevice, NinepError

    async with connected(arguments) as remote:
        with about(arguments.old):
            try:
                await remote.rename(arguments.old, f"/{arguments.new}")
            except CrossDevice:
                raise NinepError(
                    f"{remote.connection.version} renames only within a directory: say -D 9P2000.L before the command, "
                    f"or get {arguments.old}, put it there and rm it"
                ) from None


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "mv", run, "rename a file, or move it where the dialect can")
    parser.add_argument("old")
    parser.add_argument("new")
