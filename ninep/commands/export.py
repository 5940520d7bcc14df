"""``export``: a directory of this machine."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from ninep.commands.flags import STANDARD_STREAMS, add_serve_flags


async def run(arguments: argparse.Namespace) -> None:
    """Serves a local directory, and nothing outside of it."""
    from ninep.commands.serving import is_network, raise_descriptors, serve_tree
    from ninep.export.accounts import Accounts
    from ninep.export.tree import ExportTree
    from ninep.protocol.errors import FileNotFound, NinepError

    # Who starts us on standard streams, over ssh for example, has our rights anyway; whom inetd lets in has not.
    ours = arguments.listen == STANDARD_STREAMS and not is_network(0)
    accounts = Accounts.parse(arguments.map_users, switch=False if ours else None)
    descriptors = raise_descriptors()
    # Each connection and each fid takes one; what is left when all connections are there counts for all of them.
    arguments.max_connections = min(arguments.max_connections, max(1, descriptors // 4))
    arguments.max_fids = min(arguments.max_fids, max(1, descriptors // 2))
    try:
        tree = ExportTree(arguments.directory, read_only=arguments.read_only, accounts=accounts)
    except NotADirectoryError:
        raise NinepError(f"{arguments.directory} is no directory: name the directory that the file is in") from None
    except OSError as error:
        kind = FileNotFound if isinstance(error, FileNotFoundError) else NinepError
        raise kind(f"cannot serve {arguments.directory}: {error.strerror}") from error
    try:
        how = ", read only" if arguments.read_only else ""
        await serve_tree(tree, arguments, f"{arguments.directory}{how}")
    finally:
        tree.close()


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = commands.add_parser("export", help="serve a local directory", description=run.__doc__)
    parser.set_defaults(run=run)
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--read-only", action="store_true", help="nothing can be changed")
    parser.add_argument(
        "--map-users",
        action="append",
        default=[],
        metavar="CLIENT=LOCAL,...",
        help="as which local user a client's user acts; '*' is all others, an empty LOCAL refuses",
    )
    add_serve_flags(parser)
