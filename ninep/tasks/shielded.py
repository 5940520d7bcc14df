"""Work that is shielded from cancellation, with a deadline once cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from ninep.tasks.nursery import background


async def has_ended(work: Callable[[], Awaitable[object]], grace: float) -> bool:
    """Does ``work``; whether it has ended by itself. Cancelled, it has ``grace`` seconds left for that.

    That it was cancelled is not told here: the next checkpoint of the caller does. Raises what ``work`` raises.
    """
    scope = trio.CancelScope(shield=True)

    async def bound() -> None:
        try:
            await trio.sleep_forever()
        finally:
            scope.deadline = trio.current_time() + grace

    try:
        async with background() as nursery:
            nursery.start_soon(bound)
            with scope:
                await work()
    except trio.Cancelled:
        pass
    return not scope.cancelled_caught
