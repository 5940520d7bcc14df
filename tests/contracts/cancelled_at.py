"""Cancelling work at each of its checkpoints, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio


class _CancelsAt(trio.abc.Instrument):
    """Cancels a scope before the task that made this takes its step number ``step``."""

    def __init__(self, step: int, scope: trio.CancelScope) -> None:
        self._task = trio.lowlevel.current_task()
        self._left = step
        self._scope = scope

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()


@asynccontextmanager
async def cancelled_at(step: int) -> AsyncIterator[trio.CancelScope]:
    """Cancels the body when it goes on for the ``step``th time."""
    with trio.CancelScope() as scope:
        instrument = _CancelsAt(step, scope)
        trio.lowlevel.add_instrument(instrument)
        try:
            yield scope
        finally:
            trio.lowlevel.remove_instrument(instrument)


async def at_each_checkpoint(work: Callable[[], Awaitable[object]], check: Callable[[bool], Awaitable[object]]) -> int:
    """Does ``work`` again and again, each time cancelled a checkpoint later, until it is done in spite of that.

    After each, ``check`` is called with whether it was done. Returns how many checkpoints there were.
    """
    for step in itertools.count(1):
        done = False
        async with cancelled_at(step) as scope:
            await work()
            done = True
        await check(done)
        if done and not scope.cancel_called:
            return step
    raise AssertionError
