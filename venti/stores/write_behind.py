"""A store that answers writes at once and keeps many of them in flight to another store.

A block's score is known without asking anybody, so whoever builds a tree need not wait for each block to arrive. What
he needs to know is that all of them have, and that is ``sync``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from ninep.tasks.nursery import background
from ninep.wire.dialect import Buffer
from venti.blocks.blocksize import LARGEST
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockTooLarge
from venti.blocks.score import ZERO_SCORE, Score
from venti.stores.fetch import WINDOW
from venti.stores.interface import BlockStore, Pending

Begin = Callable[[BlockType, bytes, Score], Pending[Score]]


class WriteBehind:
    """A ``BlockStore``; made by ``write_behind``.

    ``write`` waits only while ``window`` writes are under way. The first write that fails is remembered, and every
    later ``write`` and ``sync`` raises its error: what was built since the last good ``sync`` must be built again.
    """

    def __init__(self, store: BlockStore, nursery: trio.Nursery, window: int) -> None:
        self._store = store
        self._nursery = nursery
        self._window = window
        self._begin: Begin | None = getattr(store, "begin_write", None)
        self._queue: deque[tuple[Score, int, BlockType]] = deque()
        self._calls: deque[tuple[tuple[Score, int], Pending[Score]]] = deque()
        self._pending: dict[tuple[Score, int], bytes] = {}
        self._workers = 0
        self._collecting = False
        self._changed = trio.lowlevel.ParkingLot()
        self._failure: Exception | None = None

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``. Blocks whose write is under way are waited for."""
        while (score, type.wire) in self._pending and self._failure is None:
            await self._changed.park()
        return await self._store.read(score, type, limit)

    async def write(self, type: BlockType, data: Buffer) -> Score:
        """See ``BlockStore``; errors of the store behind come with a later call."""
        if not len(data):
            return ZERO_SCORE
        if len(data) > LARGEST:
            raise BlockTooLarge
        score = Score.of(data)
        key = (score, type.wire)
        while len(self._pending) >= self._window and key not in self._pending and self._failure is None:
            await self._changed.park()
        self._check()
        if key not in self._pending:
            self._pending[key] = block = bytes(data)
            if not self._begun(key, type, block):
                self._queue.append((score, type.wire, type))
                if self._workers < self._window and self._workers < len(self._pending):
                    self._workers += 1
                    self._nursery.start_soon(self._work)
        return score

    def _begun(self, key: tuple[Score, int], type: BlockType, block: bytes) -> bool:
        """Begins the write where the store takes many calls from one task; another task collects the answers."""
        if self._begin is None:
            return False
        try:
            self._calls.append((key, self._begin(type, block, key[0])))
        except trio.WouldBlock:
            return False
        except Exception as error:
            self._failure = error
            raise
        if not self._collecting:
            self._collecting = True
            self._nursery.start_soon(self._collect)
        return True

    async def flush(self) -> None:
        """Returns when every block written before has been taken by the store behind."""
        while self._pending and self._failure is None:
            await self._changed.park()
        self._check()

    async def sync(self) -> None:
        """See ``BlockStore``."""
        await self.flush()
        await self._store.sync()

    async def aclose(self) -> None:
        """Syncs. The store behind belongs to whoever opened it and stays open."""
        await self.sync()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _collect(self) -> None:
        calls, pending = self._calls, self._pending
        try:
            while calls and self._failure is None:
                key, call = calls.popleft()
                await call.wait()
                del pending[key]
                self._changed.unpark_all()
        except Exception as error:
            self._failure = self._failure or error
        finally:
            self._collecting = False
            self._changed.unpark_all()

    async def _work(self) -> None:
        try:
            while self._queue and self._failure is None:
                score, wire, type = self._queue.popleft()
                await self._store.write(type, self._pending[score, wire])
                del self._pending[score, wire]
                self._changed.unpark_all()
        except Exception as error:
            self._failure = self._failure or error
        finally:
            self._workers -= 1
            self._changed.unpark_all()


@asynccontextmanager
async def write_behind(store: BlockStore, *, window: int = WINDOW) -> AsyncIterator[WriteBehind]:
    """Puts a ``WriteBehind`` before ``store``, which stays the caller's to close.

    On a normal exit everything written has been taken by ``store``, though not synced; on an exception what is under
    way is given up.

    Raises:
        What ``store.write`` raised, as it is and not in a group.
    """
    async with background() as nursery:
        behind = WriteBehind(store, nursery, window)
        yield behind
        await behind.flush()
