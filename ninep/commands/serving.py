"""Serving a tree as the flags say."""

from __future__ import annotations

import argparse
import os
import resource
import socket
from contextlib import suppress

from ninep.cli.networks import listening
from ninep.cli.serving import announce, until_signalled
from ninep.commands.flags import STANDARD_STREAMS
from ninep.net.listen import where
from ninep.net.streams import standard_streams
from ninep.server.files import FileTree
from ninep.server.serve import serve, serve_stream
from ninep.wire.limits import Limits


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
