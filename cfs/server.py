"""Serving the cache: every client gets a way of its own to the file server."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

import trio

from cfs.cache import Cache
from cfs.proxy import CachedTree
from cfs.upstream import Dial, Upstream
from ninep.server import is_local, serve_stream

log = logging.getLogger(__name__)


async def serve_client(stream: trio.abc.Stream, cache: Cache, dial: Dial, *, local: bool = False) -> None:
    """Serves one client until it hangs up; closes the stream and the way to the file server. Never raises."""
    try:
        async with trio.open_nursery() as nursery:
            tree = CachedTree(cache, Upstream(dial, nursery))
            await serve_stream(stream, tree, local=local)
            nursery.cancel_scope.cancel()
    except Exception:
        log.exception("a connection failed")


async def serve(
    cache: Cache,
    dial: Dial,
    listeners: Sequence[trio.SocketListener],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves whoever connects until cancelled, and writes the cache out meanwhile; closes the listeners."""

    async def converse(stream: trio.SocketStream) -> None:
        await serve_client(stream, cache, dial, local=is_local(stream))

    async with contextlib.AsyncExitStack() as stack:
        for listener in listeners:
            stack.push_async_callback(listener.aclose)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.run)
            await nursery.start(trio.serve_listeners, converse, list(listeners))
            task_status.started()
