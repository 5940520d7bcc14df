"""Serves a tree: each connection gets a session, and none can disturb another."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import trio

from ninep.net.accept import CONNECTIONS, accept
from ninep.net.listen import Listener
from ninep.protocol.dialect import MSIZE, NinePDialect
from ninep.server.files import FileTree
from ninep.server.session import MOST_FIDS, NinePSession
from ninep.wire.limits import Limits
from ninep.wire.server import serve_connection

DEFAULT_LIMITS = Limits()


async def serve_stream(
    stream: trio.abc.Stream,
    tree: FileTree,
    *,
    max_msize: int = MSIZE,
    local: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    max_fids: int = MOST_FIDS,
) -> None:
    """Serves one client until it hangs up, breaks the protocol, or the caller cancels; closes the stream.

    ``local`` tells the tree that the client is on this machine.
    """
    dialect = NinePDialect()
    session = NinePSession(tree, dialect, max_msize=max_msize, local=local, max_fids=max_fids)
    await serve_connection(stream, dialect, session, limits=limits, taskless=tree.taskless)


async def serve(
    tree: FileTree,
    listeners: Sequence[Listener],
    *,
    max_msize: int = MSIZE,
    limits: Limits = DEFAULT_LIMITS,
    max_fids: int = MOST_FIDS,
    connections: int = CONNECTIONS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves whoever connects until cancelled; closes the listeners.

    ``limits`` and ``max_fids`` hold for each connection; past ``connections`` a new one is closed at once. Exceeding
    one of them gets an error or a close, and is nothing to the others.
    """

    async def converse(stream: trio.abc.Stream) -> None:
        await serve_stream(stream, tree, max_msize=max_msize, local=is_local(stream), limits=limits, max_fids=max_fids)

    await accept(listeners, converse, connections=connections, task_status=task_status)


def is_local(stream: trio.abc.Stream) -> bool:
    """Whether the other end of a socket is on this machine: a Unix socket, loopback, or one address at both ends."""
    if isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    socket = getattr(stream, "socket", None)
    if socket is None:
        return False
    if socket.family == trio.socket.AF_UNIX:
        return True
    try:
        peer, own = (_address(name) for name in (socket.getpeername(), socket.getsockname()))
    except (OSError, ValueError):
        return False
    return peer.is_loopback or peer == own


def _address(name: tuple[str, ...]) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address in a socket name, without scope, and IPv4 as such where it comes in IPv6 clothes."""
    address = ipaddress.ip_address(name[0].partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
