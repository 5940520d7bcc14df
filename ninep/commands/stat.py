"""``stat``: directory entries."""

from __future__ import annotations

import argparse
import json

from ninep.cli.flags import Parsers
from ninep.commands.flags import add_command, add_switch


async def run(arguments: argparse.Namespace) -> int:
    """Prints entries."""
    from ninep.commands.remote import connected, for_each
    from ninep.protocol.listing import as_object, stat_line

    async with connected(arguments) as remote:

        async def one(path: str) -> None:
            found = await remote.stat(path)
            print(json.dumps(as_object(found)) if arguments.json else stat_line(found))

        return await for_each(arguments.path, one)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "stat", run, "print directory entries")
    add_switch(parser, "--json", "json", "for programs")
    parser.add_argument("path", nargs="+")
