"""The way to the file server for one client of the cache.

Each client has a connection of its own to the file server. What it may hold there, how much it may ask at once and what
is given up when it hangs up is then between the two, and no client can take anything from another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import trio

from ninep import messages as m
from ninep.connection import Connection, connected
from ninep.errors import FileError, NinepError
from ninep.wire import WireError

T = TypeVar("T")

Dial = Callable[[], Awaitable[trio.abc.Stream]]
"""Makes a new stream to the file server; raises ``WireError``."""


class ServerGone(FileError):
    """The file server cannot be reached, or went away in the middle; the client may attach again."""

    text = "the file server behind the cache is gone"


class Upstream:
    """Dialed when it is first needed, and anew when an attach finds it lost. Lives in the nursery of its client."""

    def __init__(self, dial: Dial, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self._dial = dial
        self._lock = trio.Lock()
        self._connection: Connection | None = None

    async def connection(self) -> Connection:
        """A connection that is not known to be lost.

        Raises:
            WireError: there is nobody.
            NinepError: it does not speak our 9P.
        """
        async with self._lock:
            if self._connection is None or self._connection.lost is not None:
                self._connection = await self.nursery.start(self._hold)
            return self._connection

    async def _hold(self, *, task_status: trio.TaskStatus[Connection]) -> None:
        async with connected(await self._dial()) as connection:
            task_status.started(connection)
            await trio.sleep_forever()


def asked(connection: Connection, request: m.Request) -> Coroutine[Any, Any, Any]:
    """Queues a request now, in the order in which the client asked; the coroutine waits for the reply."""
    try:
        call = connection.client.begin(request)
    except WireError as error:
        raise _gone(error) from error

    async def wait() -> Any:
        return await passed(connection.client.wait(call))

    return wait()


async def passed(work: Awaitable[T]) -> T:
    """Waits for the file server. Its refusals come through word for word; anything else becomes a ``ServerGone``."""
    try:
        return await work
    except FileError:
        raise
    except (NinepError, WireError) as error:
        raise _gone(error) from error


def _gone(error: Exception) -> ServerGone:
    return ServerGone(f"{ServerGone.text}: {error}")
