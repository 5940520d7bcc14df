"""A stack of jobs and a few tasks that take from it: what a tree needs, where every directory makes more to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import trio

Job: TypeAlias = Callable[[], Awaitable[None]]


class Jobs:
    """The last job comes first, so that a tree is walked into its depth and little waits at any time."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._stack: list[Job] = []
        self._active = 0
        self._changed = trio.lowlevel.ParkingLot()
        self._failure: Exception | None = None

    def add(self, job: Job) -> None:
        """Adds a job; jobs may do so."""
        self._stack.append(job)
        self._changed.unpark()

    async def run(self) -> None:
        """Returns when every job is done. The first that raises ends the others, and its error comes out as it is."""
        async with trio.open_nursery() as nursery:
            for _ in range(self._workers):
                nursery.start_soon(self._work, nursery.cancel_scope)
        if self._failure is not None:
            raise self._failure

    async def _work(self, scope: trio.CancelScope) -> None:
        while True:
            while not self._stack:
                if not self._active:
                    self._changed.unpark_all()
                    return
                await self._changed.park()
            job = self._stack.pop()
            self._active += 1
            try:
                await job()
            except Exception as error:
                self._failure = self._failure or error
                scope.cancel()
            finally:
                self._active -= 1
