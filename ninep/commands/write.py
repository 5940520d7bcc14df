"""``write``: a file out of standard input."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from ninep.commands.flags import add_command


async def run(arguments: argparse.Namespace) -> None:
    """Makes standard input the content of a file."""
    from ninep.cli.streams import read_input
    from ninep.client.replacing import replacing
    from ninep.client.tree import split
    from ninep.commands.remote import about, connected
    from ninep.protocol.errors import IsDirectory

    async with connected(arguments) as remote:
        with about(arguments.path):
            names = split(arguments.path)
            if not names:
                raise IsDirectory
            async with (
                await remote.root.walk(names[:-1]) as directory,
                replacing(directory, names[-1]) as file,
                file.writing() as sink,
            ):
                while data := await read_input():
                    await sink.write(data)


def add(commands: Parsers) -> None:
    """Adds the command."""
    add_command(commands, "write", run, "make standard input the content of a file").add_argument("path")
