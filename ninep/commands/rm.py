"""``rm``: files that are removed."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from ninep.commands.flags import add_command, add_recursive, add_switch


async def run(arguments: argparse.Namespace) -> int:
    """Removes files."""
    from ninep.commands.remote import connected, for_each
    from ninep.copy.remove import Remove
    from ninep.copy.status_line import status_line
    from ninep.protocol.errors import FileNotFound

    async with connected(arguments) as remote:
        with status_line("rm") as report:

            async def one(path: str) -> None:
                try:
                    await (Remove(remote, report).remove(path) if arguments.recursive else remote.remove(path))
                except FileNotFound:
                    if not arguments.force:
                        raise

            return await for_each(arguments.path, one)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "rm", run, "remove files")
    add_recursive(parser)
    add_switch(parser, "-f", "force", "what is not there is no error")
    parser.add_argument("path", nargs="+")
