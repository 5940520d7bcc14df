"""The connection to the file server for one client of the cache; it reconnects whenever it breaks.

Each client has a connection of its own to the file server. What it may hold there, how much it may ask at once and what
is given up when it hangs up is then between the two, and no client can take anything from another.

A link that is lost is dialed again, at once and then with growing pauses, for as long as the client stays. When it is
back, every fid in use is sought again (``Returning``), many at a time. Whoever needs one earlier does not wait for its
turn. Requests wait up to ``patience`` seconds for the link.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import trio

from cfs.errors import Interrupted, ServerGone
from cfs.statistics import Counts
from ninep.client.connection import Connection
from ninep.client.remote import RemoteFile
from ninep.net.errors import WireError
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.errors import FileError, NinepError
from ninep.tasks.nursery import open_nursery

T = TypeVar("T")

log = logging.getLogger(__name__)

Dial = Callable[[], Awaitable[trio.abc.Stream]]
"""Makes a new stream to the file server; raises ``WireError``."""

PATIENCE = 30.0
"""Seconds that a request waits for a lost file server."""
FIRST_PAUSE = 0.1
"""Seconds before the second attempt to dial; each pause is twice the one before, give or take a quarter."""
LONGEST_PAUSE = 15.0
AT_ONCE = 256
"""Fids that are sought again at the same time."""


class Returning(Protocol):
    """One place at the file server."""

    aname: str
    names: tuple[str, ...]

    @property
    def bereft(self) -> bool:
        """Whether it had a fid on a link that was lost, and wants it back."""
        ...

    async def revived(self) -> RemoteFile:
        """Sees to it that there is a fid on the present connection. Raises ``FileError``."""
        ...


class Upstream:
    """One client's way to the file server; lives in the client's nursery.

    Attributes:
        nursery: the client's.
        counts: what is asked, and how long the answers take.
        files: all places that the client has fids for.
        generation: how many connections there have been.
        doubtful: whether somebody has waited in vain for what can be done without; until there is a new connection.
    """

    def __init__(
        self,
        dial: Dial,
        nursery: trio.Nursery,
        *,
        counts: Counts | None = None,
        patience: float = PATIENCE,
        offline: float = math.inf,
        version: str = m.VERSION,
    ) -> None:
        """``offline`` is for how many seconds after a loss what is cached may still be read.

        ``version`` is the highest dialect wanted.
        """
        self.nursery = nursery
        self.counts = counts or Counts()
        self.files: set[Returning] = set()
        self.generation = 0
        self.doubtful = False
        self._dial = dial
        self._patience = patience
        self._offline = offline
        self._version = version
        self._unix: Upstream | None = None
        self._connection: Connection | None = None
        self._started = False
        self._news = trio.Event()
        self._lost_at: float | None = None
        self._reason = "not reached yet"
        self._roots: dict[tuple[str, str], RemoteFile] = {}
        self._rooting = trio.Lock()

    @property
    def live(self) -> Connection | None:
        """The connection, if it is not known to be lost."""
        connection = self._connection
        return connection if connection is not None and connection.lost is None else None

    @property
    def may_read(self) -> bool:
        """Whether what is cached may be read: the file server is there, or has not been gone for too long."""
        return self._lost_at is None or trio.current_time() < self._lost_at + self._offline

    def unix(self) -> Upstream:
        """A way of its own for what 9P2000 cannot say; dialed when it is first needed."""
        if self._unix is None:
            self._unix = Upstream(
                self._dial, self.nursery, counts=self.counts, patience=self._patience, version=lm.VERSION
            )
        return self._unix

    async def connection(self) -> Connection:
        """A connection that is not known to be lost, as soon as there is one.

        Raises:
            ServerGone: none within the time that a request waits.
        """
        with trio.move_on_after(self._patience):
            while (connection := self.live) is None:
                if not self._started:
                    self._started = True
                    self.nursery.start_soon(self._keep)
                await self._news.wait()
            return connection
        log.info("a request gave up waiting for the file server: %s", self._reason)
        raise ServerGone

    def rooted(self, uname: str, aname: str) -> RemoteFile | None:
        """What ``root`` would give without waiting, if anything."""
        return None if self.live is None else self._roots.get((uname, aname))

    async def root(self, uname: str, aname: str) -> RemoteFile:
        """The root of an attach, on the present connection, asked for once.

        Raises:
            FileError: the file server does not let the user attach, or is gone.
            WireError: it went away in the middle.
        """
        while True:
            connection = await self.connection()
            async with self._rooting:
                if connection is not self.live:
                    continue
                root = self._roots.get((uname, aname))
                if root is None:
                    root = self._roots[uname, aname] = await connection.attach(uname, aname)
                return root

    async def _keep(self) -> None:
        """Has a connection for as long as it can, and dials again when it has none."""
        pause = FIRST_PAUSE
        while True:
            begun = trio.current_time()
            try:
                await self._hold()
                if trio.current_time() - begun > LONGEST_PAUSE:
                    # It was good for a while: one attempt without a pause.
                    pause = FIRST_PAUSE
                    continue
            except (NinepError, WireError, OSError) as error:
                if self._reason != str(error):
                    log.warning("cannot reach the file server, trying again: %s", error)
                self._reason = str(error)
            await trio.sleep(pause * random.uniform(0.75, 1.25))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _hold(self) -> None:
        """One connection from its begin to its loss."""
        connection = Connection(await self._dial(), version=self._version)
        async with open_nursery() as nursery:

            async def carry(task_status: trio.TaskStatus[None]) -> None:
                await connection.run(task_status=task_status)
                nursery.cancel_scope.cancel()

            await nursery.start(carry)
            await connection.negotiate()
            self._up(connection)
            await self._bring_back()
            await trio.sleep_forever()
        if connection is self._connection:
            self._down(connection)

    def _up(self, connection: Connection) -> None:
        self._connection = connection
        self.generation += 1
        self.doubtful = False
        self._lost_at = None
        self._reason = ""
        self._roots.clear()
        if self.generation > 1:
            self.counts.values["nredial"] += 1
            log.info("the file server is back")
        self._news.set()
        self._news = trio.Event()

    def _down(self, connection: Connection) -> None:
        self._lost_at = trio.current_time()
        self._reason = str(connection.lost)
        log.info("the file server is lost: %s", self._reason)

    async def _bring_back(self) -> None:
        """Seeks all fids in use again; which of them are not the same any more, they know themselves."""
        waiting = [file for file in self.files if file.bereft]

        async def work() -> None:
            while waiting:
                try:
                    await waiting.pop().revived()
                except FileError as error:
                    log.debug("a fid did not come back: %s", error)

        if waiting:
            begun = trio.current_time()
            count = len(waiting)
            async with open_nursery() as nursery:
                for _ in range(min(AT_ONCE, count)):
                    nursery.start_soon(work)
            log.info("%d fids were sought again within %.1f seconds", count, trio.current_time() - begun)

    def asked(self, connection: Connection, request: m.Request) -> Coroutine[Any, Any, Any]:
        """Queues a request now, in the order in which the client asked; the coroutine waits for the reply.

        Raises:
            Interrupted: the link broke before the answer came; whether the request took effect is unknown.
        """
        try:
            call = connection.client.begin(request)
        except WireError as error:
            raise ServerGone from error
        return self._answered(type(request), connection.client.wait(call))

    def passed(self, kind: type, work: Awaitable[T]) -> Coroutine[Any, Any, T]:
        """Waits for the file server, and counts. Its refusals come through word for word.

        Raises:
            Interrupted: the link broke, or what came makes no sense.
        """
        return self._answered(kind, work)

    async def _answered(self, kind: type, work: Awaitable[T]) -> T:
        begun = self.counts.begin(kind)
        try:
            return await work
        except FileError:
            raise
        except (NinepError, WireError) as error:
            raise Interrupted from error
        finally:
            self.counts.end(kind, begun)
