"""``cat``: the contents of files."""

from __future__ import annotations

import argparse
import sys

from ninep.cli.flags import Parsers
from ninep.commands.flags import add_command


async def run(arguments: argparse.Namespace) -> int:
    """Prints files."""
    from ninep.cli.streams import write_output
    from ninep.commands.remote import connected, for_each
    from ninep.copy.transfer import local
    from ninep.protocol.errors import IsDirectory

    sys.stdout.flush()
    async with connected(arguments) as remote:

        async def one(path: str) -> None:
            async with remote.open(path) as file:
                if file.qid.is_directory:
                    raise IsDirectory
                async for piece in file.reading():
                    await local(len(piece), write_output, piece)

        return await for_each(arguments.path, one)


def add(commands: Parsers) -> None:
    """Adds the command."""
    add_command(commands, "cat", run, "print files").add_argument("path", nargs="+")
