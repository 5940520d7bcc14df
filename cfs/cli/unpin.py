"""``unpin``: what was pinned may give way."""

from __future__ import annotations

import argparse

from cfs.cli.flags import add_command, add_paths
from ninep.cli.flags import Parsers


async def run(arguments: argparse.Namespace) -> None:
    """Lets what was pinned give way again."""
    from cfs.cli.connection import connected, sample, tell

    async with connected(arguments) as tree:
        await sample(tree)
        for path in arguments.path:
            await tell(tree, f"unpin {path}")


def add(commands: Parsers) -> None:
    """Adds the command."""
    add_paths(add_command(commands, "unpin", run, "let what was pinned give way again"))
