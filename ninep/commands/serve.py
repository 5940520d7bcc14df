"""What ``python -m ninep`` can serve: a local directory, and an empty tree in memory."""

from __future__ import annotations

import argparse
import math
import os
import resource
import runpy
import socket
from collections.abc import Callable
from contextlib import suppress

from ninep.cli.networks import add_listen_flags, listening
from ninep.cli.serving import announce, until_signalled
from ninep.export.accounts import Accounts
from ninep.export.tree import ExportTree
from ninep.net.accept import CONNECTIONS
from ninep.net.identity import user_name
from ninep.net.listen import where
from ninep.net.streams import standard_streams
from ninep.protocol.errors import NinepError
from ninep.ram.tree import RamTree
from ninep.server.files import FileTree
from ninep.server.host_ids import HostIds
from ninep.server.serve import serve, serve_stream
from ninep.server.session import MOST_FIDS
from ninep.wire.limits import Limits

DEFAULT_ADDRESS = "/net.alt:5640"
STANDARD_STREAMS = "-"


async def ramfs(arguments: argparse.Namespace) -> None:
    """Serves an empty tree in memory. Its root belongs to whoever runs this."""
    tree = RamTree(user_name(), mode=0o777 if arguments.world else 0o775, ids=HostIds())
    await serve_tree(tree, arguments, "an empty tree in memory")


async def export(arguments: argparse.Namespace) -> None:
    """Serves a local directory, and nothing outside of it."""
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
        raise NinepError(f"cannot serve {arguments.directory}: {error.strerror}") from error
    try:
        how = ", read only" if arguments.read_only else ""
        await serve_tree(tree, arguments, f"{arguments.directory}{how}")
    finally:
        tree.close()


async def serve_file(arguments: argparse.Namespace) -> None:
    """Serves the tree that a Python file makes (see ninep.synthetic.tree), or any other FileTree that it has."""
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


async def serve_tree(tree: FileTree, arguments: argparse.Namespace, what: str) -> None:
    """Serves as the flags say until interrupted."""
    limits = Limits(requests=arguments.max_requests, idle=arguments.idle)
    if arguments.listen == STANDARD_STREAMS:
        stream = standard_streams()
        await until_signalled(
            lambda: serve_stream(stream, tree, local=True, limits=limits, max_fids=arguments.max_fids)
        )
        return
    listeners = await listening(arguments, arguments.listen, service="9fs")
    announce(f"serving {what} on {' '.join(where(listener) for listener in listeners)}")
    await until_signalled(
        lambda: serve(
            tree, listeners, limits=limits, max_fids=arguments.max_fids, connections=arguments.max_connections
        )
    )


def is_network(descriptor: int) -> bool:
    """Whether a descriptor is a connection over a network."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            return connection.family in (socket.AF_INET, socket.AF_INET6)
    except OSError:
        return False


def raise_descriptors() -> int:
    """Lets this process have as many open files as it may; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard in (resource.RLIM_INFINITY, -1):
        hard = max(soft, 1 << 20)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft


def add_serve_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what every server of files takes."""
    add_listen_flags(parser)
    for flag, kind, default, text in (
        ("--max-connections", positive, CONNECTIONS, "connections at once; more are closed"),
        ("--max-fids", positive, MOST_FIDS, "fids of one connection; more are refused"),
        ("--max-requests", positive, Limits().requests, "requests of one connection that wait at once; more queue up"),
    ):
        parser.add_argument(flag, type=kind, default=default, metavar="N", help=f"{text} (default: {default})")
    parser.add_argument(
        "--idle", type=seconds, default=math.inf, metavar="SECONDS", help="close a connection that says nothing so long"
    )


def positive(text: str) -> int:
    """A number above 0."""
    if not text.isascii() or not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def seconds(text: str) -> float:
    """A time above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def add_serving(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds the commands; ``add_parser`` is that of ``add_subparsers``."""
    parser = add_parser("ramfs", help="serve an empty tree in memory", description=ramfs.__doc__)
    parser.set_defaults(run=ramfs)
    parser.add_argument("--world", action="store_true", help="everybody may write in its root")
    _add_address(parser)

    parser = add_parser("export", help="serve a local directory", description=export.__doc__)
    parser.set_defaults(run=export)
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--read-only", action="store_true", help="nothing can be changed")
    parser.add_argument(
        "--map-users",
        action="append",
        default=[],
        metavar="CLIENT=LOCAL,...",
        help="as which local user a client's user acts; '*' is all others, an empty LOCAL refuses",
    )
    _add_address(parser)

    parser = add_parser("serve", help="serve a tree that a Python file makes", description=serve_file.__doc__)
    parser.set_defaults(run=serve_file)
    parser.add_argument("file", metavar="FILE[:NAME]", help="a Python file, and what the tree in it is called: tree")
    _add_address(parser)


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "listen",
        metavar="ADDRESS",
        nargs="?",
        default=DEFAULT_ADDRESS,
        help=f"default: {DEFAULT_ADDRESS}; '-' is standard input and output",
    )
    add_serve_flags(parser)
