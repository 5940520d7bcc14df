"""Serving a tree: one session for each connection, and no connection can disturb another."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from collections.abc import Sequence

import trio

from ninep.dialect import MSIZE, NinePDialect
from ninep.files import FileTree
from ninep.session import NinePSession
from ninep.wire.server import Limits, serve_connection

log = logging.getLogger(__name__)

DEFAULT_LIMITS = Limits()


async def serve_stream(
    stream: trio.abc.Stream,
    tree: FileTree,
    *,
    max_msize: int = MSIZE,
    local: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Serves one client until it hangs up, breaks the protocol, or the caller cancels; closes the stream.

    ``local`` tells the tree that the client is on this machine.
    """
    dialect = NinePDialect()
    session = NinePSession(tree, dialect, max_msize=max_msize, local=local)
    await serve_connection(stream, dialect, session, limits=limits)


async def serve(
    tree: FileTree,
    listeners: Sequence[trio.abc.Listener[trio.SocketStream]],
    *,
    max_msize: int = MSIZE,
    limits: Limits = DEFAULT_LIMITS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves whoever connects until cancelled; closes the listeners."""

    async def converse(stream: trio.SocketStream) -> None:
        try:
            await serve_stream(stream, tree, max_msize=max_msize, local=is_local(stream), limits=limits)
        except Exception:
            log.exception("a connection failed")

    async with contextlib.AsyncExitStack() as stack:
        for listener in listeners:
            stack.push_async_callback(listener.aclose)
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, converse, list(listeners))
            task_status.started()


def is_local(stream: trio.SocketStream) -> bool:
    """Whether the other end of a socket is on this machine: a Unix socket, loopback, or one address at both ends."""
    if stream.socket.family == trio.socket.AF_UNIX:
        return True
    try:
        peer, own = (_address(name) for name in (stream.socket.getpeername(), stream.socket.getsockname()))
    except (OSError, ValueError):
        return False
    return peer.is_loopback or peer == own


def _address(name: tuple[str, ...]) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address in a socket name, without scope, and IPv4 as such where it comes in IPv6 clothes."""
    address = ipaddress.ip_address(name[0].partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
