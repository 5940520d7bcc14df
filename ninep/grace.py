"""Work that is not cut short when it is given up, but does not take for ever then either."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


async def has_ended(work: Callable[[], Awaitable[object]], grace: float) -> bool:
    """Does ``work``; whether it has ended by itself. Cancelled, it has ``grace`` seconds left for that.

    That it was cancelled is not told here: the next checkpoint of the caller does. Raises what ``work`` raises.
    """
    scope = trio.CancelScope(shield=True)
    failure: Exception | None = None

    async def bound() -> None:
        try:
            await trio.sleep_forever()
        finally:
            scope.deadline = trio.current_time() + grace

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bound)
            with scope:
                try:
                    await work()
                except Exception as error:
                    failure = error
            nursery.cancel_scope.cancel()
    except* trio.Cancelled:
        pass
    if failure is not None:
        raise failure
    return not scope.cancelled_caught
