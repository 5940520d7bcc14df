"""Serves the cache: every client gets a connection of its own to the file server."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import partial

import trio

from cfs.files.cache import Cache
from cfs.files.proxy import CachedTree
from cfs.upstream.upstream import PATIENCE, Dial, Upstream
from ninep.net.accept import accept
from ninep.net.listen import Listener
from ninep.server.serve import is_local, serve_stream
from ninep.tasks.nursery import background, open_nursery

log = logging.getLogger(__name__)


async def serve_client(
    stream: trio.abc.Stream,
    cache: Cache,
    dial: Dial,
    *,
    local: bool = False,
    patience: float = PATIENCE,
    offline: float = math.inf,
) -> None:
    """Serves one client until it hangs up; closes the stream and the way to the file server. Never raises.

    ``patience`` and ``offline`` are seconds: see ``Upstream``.
    """
    try:
        async with background() as nursery:
            upstream = Upstream(dial, nursery, counts=cache.counts, patience=patience, offline=offline)
            cache.clients.add(upstream)
            try:
                await serve_stream(stream, CachedTree(cache, upstream), local=local)
            finally:
                cache.clients.discard(upstream)
    except Exception:
        log.exception("a connection failed")


async def serve(
    cache: Cache,
    dial: Dial,
    listeners: Sequence[Listener],
    *,
    patience: float = PATIENCE,
    offline: float = math.inf,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves whoever connects until cancelled, and writes the cache out meanwhile; closes the listeners."""

    async def converse(stream: trio.abc.Stream) -> None:
        await serve_client(stream, cache, dial, local=is_local(stream), patience=patience, offline=offline)

    async with open_nursery() as nursery:
        nursery.start_soon(cache.run)
        await nursery.start(partial(accept, listeners, converse))
        task_status.started()
