"""Calls an async function for each of many things, a bounded number of them at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from ninep.tasks.nursery import open_nursery

T = TypeVar("T")


async def for_each(things: Sequence[T], do: Callable[[T], Awaitable[None]], limit: int) -> None:
    """Returns when ``do`` has been done for every thing, at most ``limit`` of them at the same time, in their order.

    The first exception cancels the rest and is raised alone.
    """
    waiting = iter(things)

    async def work() -> None:
        for thing in waiting:
            await do(thing)

    async with open_nursery() as nursery:
        for _ in range(min(limit, len(things))):
            nursery.start_soon(work)
