"""The connection of a file system to its venti: opened on demand, dialled again after it was lost.

One task owns the connection, whoever uses it. While venti is away, whoever asks for it hears so at once, and it is
dialled again after a while that grows; an error is never remembered beyond that.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, runtime_checkable

import trio

from fossil.errors import ArchiveAway
from ninep.net.errors import Unreachable, WireError
from ninep.tasks.nursery import background
from venti.blocks.errors import StoreFailed, StoreInUse, VentiError
from venti.stores.interface import BlockStore

log = logging.getLogger(__name__)

OpenStore = Callable[[], AbstractAsyncContextManager[BlockStore]]
"""Opens the archive anew for every use, so that one that went away can come back."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds until it is dialled again: after the first failure, and at most."""
OPENING = 30.0
"""Seconds that dialling may take."""
ASKED = 10.0
"""Seconds after which a store that is used and that may fall silent is asked whether it is there."""
SILENCE = 30.0
"""Seconds that it may then take to answer."""
IDLE = 3.0
"""Seconds after the last use until it is closed."""

SILENT = "it does not answer"
_lost = (WireError, OSError, StoreFailed, StoreInUse, trio.TooSlowError, trio.BrokenResourceError)


@runtime_checkable
class Distant(Protocol):
    """A store whose other end can be gone without anybody telling: after a cut line, or a loss of power there."""

    async def ping(self) -> None:
        """Returns when it has answered."""


async def welcome(store: BlockStore) -> None:
    """Takes any store as it is."""


class Vault:
    """A venti that may come and go.

    Attributes:
        trouble: why it cannot be used now, or None.
    """

    def __init__(self, open_store: OpenStore, meet: Callable[[BlockStore], Awaitable[None]] = welcome) -> None:
        """``meet`` looks at each store that was opened, before anybody uses it."""
        self._open_store = open_store
        self._meet = meet
        self._store: BlockStore | None = None
        self._users = 0
        self._wanted = trio.Event()
        self._broken = trio.Event()
        self._changed = trio.lowlevel.ParkingLot()
        self._hurry = trio.Event()
        self.trouble: str | None = None
        self._told: str | None = None

    def _tell(self, text: str, unforeseen: Exception | None = None) -> None:
        """Says in the log why venti is away, once: whoever asks for the status has it called again each time."""
        if text != self._told:
            log.warning("venti is away: %s", text, exc_info=unforeseen)
        self._told = text

    @asynccontextmanager
    async def use(self) -> AsyncIterator[BlockStore]:
        """The store, for a while. What goes wrong with it inside is told to whoever uses it next, too.

        Raises:
            ArchiveAway: it cannot be reached, or went away meanwhile.
            VentiError: what the store itself says.
        """
        self._users += 1
        try:
            store = await self._opened()
            try:
                yield store
            except _lost as error:
                self._broken.set()
                raise ArchiveAway(self.trouble or str(error) or type(error).__name__) from error
        finally:
            self._users -= 1
            self._changed.unpark_all()

    def redial(self) -> None:
        """Lets go of the store, and forgets that it was away: the next use opens it anew, at once."""
        self.trouble = None
        self._broken.set()
        self._hurry.set()

    async def _opened(self) -> BlockStore:
        while self._store is None or self._broken.is_set():
            self._wanted.set()
            if self.trouble is not None:
                raise ArchiveAway(self.trouble)
            await self._changed.park()
        return self._store

    async def run(self) -> None:
        """Keeps it open while it is used, until cancelled."""
        wait = FIRST_WAIT
        while True:
            await self._wanted.wait()
            self._wanted, self._broken = trio.Event(), trio.Event()
            try:
                await self._serve()
                wait = FIRST_WAIT
            except Exception as error:
                text = str(error) or SILENT
                self._tell(text, None if isinstance(error, (*_lost, VentiError)) else error)
                self.trouble = text
                self._changed.unpark_all()
                self._hurry = trio.Event()
                with trio.move_on_after(wait):
                    await self._hurry.wait()
                wait = min(wait * 2, LONGEST_WAIT)
                # The next who asks waits for the next attempt, and hears how it ended.
                self.trouble = None if self._store is not None else self.trouble
                if self._users == 0:
                    self._wanted.set()

    async def _serve(self) -> None:
        with trio.CancelScope() as opening:
            opening.deadline = trio.current_time() + OPENING
            async with self._open_store() as store:
                await self._meet(store)
                opening.deadline = float("inf")
                if self._told is not None:
                    log.warning("venti is back")
                self._told = self.trouble = None
                self._store = store
                self._changed.unpark_all()
                try:
                    async with background() as nursery:
                        if isinstance(store, Distant):
                            nursery.start_soon(self._ask, store)
                        await self._until_unused()
                finally:
                    self._store = None
        if opening.cancelled_caught:
            raise trio.TooSlowError
        if self._broken.is_set():
            self._wanted.set()

    async def _ask(self, store: Distant) -> None:
        while True:
            await trio.sleep(ASKED)
            if self._users:
                with trio.move_on_after(SILENCE) as asking:
                    await store.ping()
                if asking.cancelled_caught:
                    self.trouble = SILENT
                    self._tell(SILENT)
                    raise Unreachable(SILENT)

    async def _until_unused(self) -> None:
        while True:
            while self._users and not self._broken.is_set():
                with trio.move_on_after(1.0):
                    await self._broken.wait()
            with trio.move_on_after(IDLE) as idle:
                await self._broken.wait()
            if not idle.cancelled_caught or not self._users:
                return
