"""Accepting connections, and no more of them at once than was agreed."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio

from ninep.tasks.nursery import open_nursery
from ninep.wire.listen import Listener

log = logging.getLogger(__name__)

CONNECTIONS = 4096
"""Most connections of one server unless told otherwise."""


async def accept(
    listeners: Sequence[Listener],
    converse: Callable[[Any], Awaitable[None]],
    *,
    connections: int = CONNECTIONS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Runs ``converse`` for each connection until cancelled; closes the listeners.

    Past ``connections`` a new one is closed at once, and those that are there go on. What ``converse`` raises is
    logged and ends its own connection only.
    """
    open_now = 0

    async def one(stream: trio.abc.Stream) -> None:
        nonlocal open_now
        if open_now >= connections:
            log.warning("a connection was refused: %d are open, the most that this server takes", open_now)
            await trio.aclose_forcefully(stream)
            return
        open_now += 1
        try:
            await converse(stream)
        except Exception:
            log.exception("a connection failed")
        finally:
            open_now -= 1

    async with contextlib.AsyncExitStack() as stack:
        for listener in listeners:
            stack.push_async_callback(listener.aclose)
        async with open_nursery() as nursery:
            start: Callable[..., Any] = trio.serve_listeners
            await nursery.start(start, one, list(listeners))
            task_status.started()
