"""A queue of jobs that may add further jobs, with a bounded number running at once: for walks of trees."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import trio

from ninep.tasks.nursery import open_nursery

Job: TypeAlias = tuple[Callable[..., Awaitable[None]], tuple[Any, ...]]


class Jobs:
    """Works off jobs, the newest first; a job may add others.

    Newest first walks a tree depth first, and so bounds how many directories are under way.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._stack: list[Job] = []
        self._workers = 0
        self._nursery: trio.Nursery | None = None

    def add(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Calls ``work(*arguments)`` when its turn has come."""
        self._stack.append((work, arguments))
        if self._nursery is not None and self._workers < self._at_once:
            self._workers += 1
            self._nursery.start_soon(self._worker)

    async def run(self) -> None:
        """Returns when no job is left. The first exception of a job cancels the rest and is raised alone."""
        try:
            async with open_nursery() as nursery:
                self._nursery = nursery
                for _ in range(min(self._at_once, len(self._stack))):
                    self._workers += 1
                    nursery.start_soon(self._worker)
        finally:
            self._nursery = None

    async def _worker(self) -> None:
        try:
            while self._stack:
                work, arguments = self._stack.pop()
                await work(*arguments)
        except BaseException:
            self._stack.clear()
            raise
        finally:
            self._workers -= 1
