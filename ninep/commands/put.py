"""``put``: a copy on the server."""

from __future__ import annotations

import argparse
from pathlib import Path

from ninep.cli.flags import Parsers
from ninep.commands.flags import add_command, add_recursive


async def run(arguments: argparse.Namespace) -> None:
    """Copies to the server: REMOTE becomes a copy of LOCAL."""
    from ninep.commands.remote import about, connected
    from ninep.copy.put import Put
    from ninep.copy.status_line import status_line

    async with connected(arguments) as remote:
        with status_line("put") as report, about(arguments.remote):
            await Put(remote, report).put(Path(arguments.local), arguments.remote, recursive=arguments.recursive)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "put", run, "copy to the server")
    add_recursive(parser)
    parser.add_argument("local", metavar="LOCAL")
    parser.add_argument("remote", metavar="REMOTE")
