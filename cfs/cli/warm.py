"""``warm``: trees read through a cache, so that it has them."""

from __future__ import annotations

import argparse

from cfs.cli.flags import add_command, add_paths
from ninep.cli.flags import Parsers


async def run(arguments: argparse.Namespace) -> None:
    """Reads trees through a running cache, so that it has them."""
    from cfs.cli.connection import connected, sample, tell
    from cfs.cli.warmth import Warmth
    from ninep.copy.status_line import status_line
    from ninep.protocol.errors import FileError

    async with connected(arguments) as tree:
        await sample(tree)
        for path in arguments.path:
            if arguments.pin:
                await tell(tree, f"pin {path}")
        with status_line("warming") as progress:
            warmth = Warmth(tree, progress)
            for path in arguments.path:
                try:
                    await warmth.warm(path)
                except FileError as error:
                    raise type(error)(f"{path}: {error}") from error
            await warmth.finished()
    print(f"{warmth.files} files, {warmth.size} bytes")


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "warm", run, "read trees through a running cache, so that it has them")
    add_paths(parser)
    parser.add_argument("--pin", action="store_true", help="and keep it, whatever else is read")
