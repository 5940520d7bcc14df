"""``mkdir``: new directories."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from ninep.commands.flags import add_command, add_switch


async def run(arguments: argparse.Namespace) -> int:
    """Makes directories."""
    from ninep.client.tree import split
    from ninep.commands.remote import connected, for_each
    from ninep.protocol.errors import FileExists

    async with connected(arguments) as remote:

        async def one(path: str) -> None:
            names = split(path)
            for depth in range(1, len(names)) if arguments.parents else ():
                if not await remote.exists("/".join(names[:depth])):
                    await remote.mkdir("/".join(names[:depth]))
            try:
                await remote.mkdir(path)
            except FileExists:
                if not arguments.parents or not (await remote.stat(path)).is_directory:
                    raise

        return await for_each(arguments.path, one)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "mkdir", run, "make directories")
    add_switch(parser, "-p", "parents", "and the directories above; existing is no error")
    parser.add_argument("path", nargs="+")
