"""The same for each of many things, some of them at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

T = TypeVar("T")


async def for_each(things: Sequence[T], do: Callable[[T], Awaitable[None]], limit: int) -> None:
    """Returns when ``do`` has been done for every thing, at most ``limit`` of them at the same time, in their order.

    The first that raises ends the others, and its error comes out as it is and not in a group.
    """
    failure: Exception | None = None
    waiting = iter(things)

    async def work() -> None:
        nonlocal failure
        try:
            for thing in waiting:
                await do(thing)
        except Exception as error:
            failure = failure or error
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for _ in range(min(limit, len(things))):
            nursery.start_soon(work)
    if failure is not None:
        raise failure
