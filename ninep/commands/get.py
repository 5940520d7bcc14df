"""``get``: a copy from the server."""

from __future__ import annotations

import argparse
from pathlib import Path

from ninep.cli.flags import Parsers
from ninep.commands.flags import add_command, add_recursive


async def run(arguments: argparse.Namespace) -> None:
    """Copies from the server: LOCAL becomes a copy of REMOTE."""
    from ninep.commands.remote import about, connected
    from ninep.copy.get import Get
    from ninep.copy.status_line import status_line

    async with connected(arguments) as remote:
        with status_line("get") as report, about(arguments.remote):
            await Get(remote, report).get(arguments.remote, Path(arguments.local), recursive=arguments.recursive)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "get", run, "copy from the server")
    add_recursive(parser)
    parser.add_argument("remote", metavar="REMOTE")
    parser.add_argument("local", metavar="LOCAL")
