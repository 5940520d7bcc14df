"""A remote store that reconnects: after its connection broke it dials and repeats the writes not yet synced.

What the server acknowledged and had not yet synced is kept here, because a server that comes back may have lost it;
after the connection is made again it is written again. Blocks are written once whatever happens, so writing one twice
does no harm. It is read back, too: a server that was killed may believe that it has what it lost (``readback``). So is
some of what earlier syncs covered, since the server may have come back with another store, or an older state of it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import trio

from ninep.net.errors import ConnectionLost, Unreachable
from ninep.tasks.nursery import background
from ninep.wire.dialect import Buffer
from venti.blocks.blocksize import LARGEST
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockTooLarge
from venti.blocks.score import ZERO_SCORE, Score
from venti.stores.fetch import WINDOW
from venti.stores.interface import Pending, PipelinedStore
from venti.stores.readback import Written, read_back

log = logging.getLogger(__name__)

UNSYNCED: Final = 32 * 1024 * 1024
"""Bytes of blocks that are kept until a sync: past half of it one is begun, at all of it writes wait for it."""

PATIENCE: Final = 120.0
"""Seconds without a connection after which the calls that wait for one fail."""

PROOFS: Final = 8
"""Blocks of each sync that are read back, and that a server must still have when it comes back."""
MOST_PROOFS: Final = 512

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 8.0

Dial = Callable[[], AbstractAsyncContextManager[PipelinedStore]]


class _Kept:
    """A block that no sync covers yet."""

    __slots__ = ("acknowledged", "block", "type")

    def __init__(self, type: BlockType, block: bytes) -> None:
        self.type = type
        self.block = block
        self.acknowledged = False


class RedialledStore:
    """A ``PipelinedStore``; made by ``redialled``.

    While there is no connection calls wait, up to ``patience`` seconds; then they raise ``ConnectionLost``, and so does
    every later call. If the server is there again and cannot give back what it acknowledged, all calls raise
    ``LostBlock``.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._store: PipelinedStore | None = None
        self._failure: Exception | None = None
        self._changed = trio.lowlevel.ParkingLot()
        self._kept: dict[tuple[Score, int], _Kept] = {}
        self._size = 0
        self._proofs: list[Written] = []
        self._syncing = trio.Lock()
        self._half_full = trio.lowlevel.ParkingLot()

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``."""
        while True:
            store = await self._connected()
            try:
                return await store.read(score, type, limit)
            except ConnectionLost:
                self._lost(store)

    async def write(self, type: BlockType, data: Buffer) -> Score:
        """See ``BlockStore``."""
        if not len(data):
            return ZERO_SCORE
        if len(data) > LARGEST:
            raise BlockTooLarge
        block = bytes(data)
        score = Score.of(block)
        await self._room()
        return await self._write(self._keep(score, type, block), score)

    async def sync(self) -> None:
        """See ``BlockStore``."""
        async with self._syncing:
            await self._sync()

    async def aclose(self) -> None:
        """Syncs, unless the server is away for good. The connection ends with the context that made it."""
        if self._failure is None and (self._kept or self._store is not None):
            await self.sync()

    def begin_read(self, score: Score, type: BlockType, limit: int) -> _Reading:
        """See ``PipelinedStore``."""
        return _Reading(self, self._usable(), score, type, limit)

    def begin_write(self, type: BlockType, data: bytes, score: Score) -> _Writing:
        """See ``PipelinedStore``."""
        if self._size >= UNSYNCED:
            raise trio.WouldBlock
        store = self._usable()
        return _Writing(self, store, self._keep(score, type, data), score)

    def _usable(self) -> PipelinedStore:
        if isinstance(self._failure, (ConnectionLost, Unreachable)):
            raise ConnectionLost(f"{self._failure}; gave up after {self._patience:.0f} seconds") from self._failure
        if self._failure is not None:
            raise self._failure
        if self._store is None:
            raise trio.WouldBlock
        return self._store

    async def _connected(self) -> PipelinedStore:
        while self._store is None and self._failure is None:
            await self._changed.park()
        return self._usable()

    async def _write(self, kept: _Kept, score: Score) -> Score:
        while not kept.acknowledged:
            store = await self._connected()
            try:
                await store.write(kept.type, kept.block)
            except ConnectionLost:
                self._lost(store)
            except Exception:
                self._drop(kept, score)
                raise
            else:
                kept.acknowledged = True
        return score

    async def _sync(self) -> None:
        while True:
            store = await self._connected()
            # What is not acknowledged now need not be covered by this sync.
            covered = [key for key, kept in self._kept.items() if kept.acknowledged]
            proofs = self._proofs_of(covered)
            try:
                await store.sync()
                await read_back(store, proofs)
            except ConnectionLost:
                self._lost(store)
            else:
                self._remember(proofs)
                for key in covered:
                    if (kept := self._kept.pop(key, None)) is not None:
                        self._size -= len(kept.block)
                return

    def _proofs_of(self, covered: list[tuple[Score, int]]) -> list[Written]:
        """Some of the blocks that a sync covers, the last one among them."""
        some = covered[-1 :: -max(1, len(covered) // PROOFS)][:PROOFS]
        return [(key[0], self._kept[key].type, len(self._kept[key].block)) for key in some]

    def _remember(self, proofs: list[Written]) -> None:
        """Keeps them for the next time that the server comes back."""
        self._proofs += proofs
        if len(self._proofs) > MOST_PROOFS:
            # The newest say most: an older state of a store has the oldest.
            self._proofs = self._proofs[: MOST_PROOFS // 2 : 2] + self._proofs[MOST_PROOFS // 2 :]

    def _keep(self, score: Score, type: BlockType, block: bytes) -> _Kept:
        key = (score, type.wire)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept(type, block)
            self._size += len(block)
            if self._size >= UNSYNCED // 2:
                self._half_full.unpark_all()
        return kept

    def _drop(self, kept: _Kept, score: Score) -> None:
        """Forgets a block that was refused: writing it again is the caller's to decide."""
        if self._kept.pop((score, kept.type.wire), None) is not None:
            self._size -= len(kept.block)

    async def _room(self) -> None:
        while self._size >= UNSYNCED:
            before = self._size
            async with self._syncing:
                if self._size >= UNSYNCED:
                    await self._sync()
            if self._size >= before:
                # All of it is in flight: as much as the windows of the callers allow.
                return

    async def _sync_now_and_then(self) -> None:
        while True:
            await self._half_full.park()
            try:
                await self.sync()
            except Exception:
                # The next write that needs room, or the caller's own sync, meets the same and says so.
                return

    def _lost(self, store: PipelinedStore) -> None:
        if self._store is store:
            self._store = None
            self._changed.unpark_all()

    async def _run(self, dial: Dial, *, task_status: trio.TaskStatus[None]) -> None:
        """Keeps a connection. The first failure to make one is raised by ``start``."""
        first = True
        while True:
            deadline = trio.current_time() + self._patience
            pause = FIRST_PAUSE
            while True:
                try:
                    async with dial() as store:
                        await self._write_again(store)
                        self._store = store
                        self._changed.unpark_all()
                        if first:
                            first = False
                            task_status.started()
                        else:
                            log.warning("connected again")
                        while self._store is store:
                            await self._changed.park()
                    log.warning("connection lost, dialling again")
                    break
                except (ConnectionLost, Unreachable) as error:
                    if first:
                        raise
                    if self._store is not None:
                        self._store = None
                        break
                    if trio.current_time() + pause > deadline:
                        self._fail(error)
                        return
                    await trio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                except Exception as error:
                    if first:
                        raise
                    self._fail(error)
                    return

    def _fail(self, error: Exception) -> None:
        self._store = None
        self._failure = error
        self._changed.unpark_all()

    async def _write_again(self, store: PipelinedStore) -> None:
        under_way: list[Pending[Score]] = []
        again = list(self._kept.items())
        for (score, _), kept in again:
            kept.acknowledged = False
            under_way.append(store.begin_write(kept.type, kept.block, score))
            if len(under_way) == WINDOW:
                for one in under_way:
                    await one.wait()
                under_way.clear()
        for one in under_way:
            await one.wait()
        await read_back(store, self._proofs)
        await read_back(store, [(score, kept.type, len(kept.block)) for (score, _), kept in again])
        for _, kept in again:
            kept.acknowledged = True


class _Reading:
    """A ``Pending`` read that outlives a connection."""

    __slots__ = ("_arguments", "_pending", "_store", "_used")

    def __init__(self, store: RedialledStore, used: PipelinedStore, score: Score, type: BlockType, limit: int) -> None:
        self._store = store
        self._used = used
        self._arguments = score, type, limit
        self._pending: Pending[bytes] | None = None
        try:
            self._pending = used.begin_read(score, type, limit)
        except ConnectionLost:
            store._lost(used)

    async def wait(self) -> bytes:
        if self._pending is not None:
            try:
                return await self._pending.wait()
            except ConnectionLost:
                self._store._lost(self._used)
        return await self._store.read(*self._arguments)


class _Writing:
    """A ``Pending`` write that outlives a connection."""

    __slots__ = ("_kept", "_pending", "_score", "_store", "_used")

    def __init__(self, store: RedialledStore, used: PipelinedStore, kept: _Kept, score: Score) -> None:
        self._store = store
        self._used = used
        self._kept = kept
        self._score = score
        self._pending: Pending[Score] | None = None
        try:
            self._pending = used.begin_write(kept.type, kept.block, score)
        except ConnectionLost:
            store._lost(used)

    async def wait(self) -> Score:
        if self._pending is not None:
            try:
                await self._pending.wait()
            except ConnectionLost:
                self._store._lost(self._used)
            except Exception:
                self._store._drop(self._kept, self._score)
                raise
            else:
                self._kept.acknowledged = True
        return await self._store._write(self._kept, self._score)


@asynccontextmanager
async def redialled(dial: Dial, *, patience: float = PATIENCE) -> AsyncIterator[RedialledStore]:
    """A store that ``dial`` connects to, as often as it takes. ``dial()`` is as ``venti.stores.remote.connect``.

    Cancelled, it hangs up; what was not synced may or may not be stored.

    Raises:
        Unreachable, ConnectionLost: there was nobody the first time.
    """
    store = RedialledStore(patience)
    async with background() as nursery:
        await nursery.start(store._run, dial)
        nursery.start_soon(store._sync_now_and_then)
        yield store
