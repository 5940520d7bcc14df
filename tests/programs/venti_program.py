"""``python -m venti`` without a process: commands in a thread, archives they talk to in the test's own loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from venti.__main__ import main
from venti.server import serve
from venti.stores.interface import BlockStore


async def venti(*words: object) -> int:
    """Runs a command; returns its exit code. What it prints is for ``capsys``."""
    return await trio.to_thread.run_sync(main, [str(word) for word in words])


@asynccontextmanager
async def serving(store: BlockStore) -> AsyncIterator[str]:
    """Serves ``store`` on a free port of the loopback; gives the address."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: serve(store, listeners, task_status=task_status))
        yield f"tcp!127.0.0.1!{port}"
        nursery.cancel_scope.cancel()
