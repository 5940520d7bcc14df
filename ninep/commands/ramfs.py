"""``ramfs``: an empty tree in memory."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from ninep.commands.flags import add_serve_flags


async def run(arguments: argparse.Namespace) -> None:
    """Serves an empty tree in memory. Its root belongs to whoever runs this."""
    from ninep.commands.serving import serve_tree
    from ninep.net.identity import user_name
    from ninep.ram.tree import RamTree
    from ninep.server.host_ids import HostIds

    tree = RamTree(user_name(), mode=0o777 if arguments.world else 0o775, ids=HostIds())
    await serve_tree(tree, arguments, "an empty tree in memory")


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = commands.add_parser("ramfs", help="serve an empty tree in memory", description=run.__doc__)
    parser.set_defaults(run=run)
    parser.add_argument("--world", action="store_true", help="everybody may write in its root")
    add_serve_flags(parser)
