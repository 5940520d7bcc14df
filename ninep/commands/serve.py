"""``serve``: a tree that a Python file makes."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from ninep.commands.flags import add_serve_flags


async def run(arguments: argparse.Namespace) -> None:
    """Serves the tree that a Python file makes (see ninep.synthetic.tree), or any other FileTree that it has."""
    import runpy

    from ninep.commands.serving import serve_tree
    from ninep.protocol.errors import NinepError
    from ninep.server.files import FileTree

    path, _, name = arguments.file.partition(":")
    name = name or "tree"
    try:
        made = runpy.run_path(path)
    except OSError as error:
        raise NinepError(f"cannot run {path}: {error.strerror}") from error
    tree = made.get(name)
    if not isinstance(tree, FileTree):
        what = "is no FileTree" if name in made else "is not there"
        raise NinepError(f"{path}: {name} {what}: make a SyntheticTree, and say {path}:NAME unless it is called tree")
    await serve_tree(tree, arguments, arguments.file)


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = commands.add_parser("serve", help="serve a tree that a Python file makes", description=run.__doc__)
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE[:NAME]", help="a Python file, and what the tree in it is called: tree")
    add_serve_flags(parser)
