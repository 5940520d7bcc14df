"""Async objects for tests that are not: an event loop in a thread, and calls into it."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from queue import Queue
from typing import Generic, TypeVar

import trio

T = TypeVar("T")
R = TypeVar("R")


class InThread(Generic[T]):
    """Enters an async context manager in a thread of its own; ``call`` works on what it gave."""

    def __init__(self, manager: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        started: Queue[T | BaseException] = Queue()

        async def main() -> None:
            self._token = trio.lowlevel.current_trio_token()
            self._leave = trio.Event()
            async with manager() as thing:
                started.put(thing)
                await self._leave.wait()

        def run() -> None:
            self._ended: BaseException | None = None
            try:
                trio.run(main)
            except BaseException as error:
                self._ended = error
                started.put(error)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        thing = started.get(timeout=60)
        if isinstance(thing, BaseException):
            raise thing
        self.thing = thing

    def call(self, function: Callable[..., Awaitable[R]], *arguments: object) -> R:
        return trio.from_thread.run(function, *arguments, trio_token=self._token)

    def call_sync(self, function: Callable[..., R], *arguments: object) -> R:
        """The same for a function that waits for nothing and belongs into the thread of the loop."""
        return trio.from_thread.run_sync(function, *arguments, trio_token=self._token)

    def close(self) -> None:
        """Leaves the context manager as at the end of its block."""
        trio.from_thread.run_sync(self._leave.set, trio_token=self._token)
        self._thread.join(60)
        if self._ended is not None:
            raise self._ended
