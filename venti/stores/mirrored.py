"""A store that heals itself: it fetches a damaged block from a mirror, stores it again, and returns it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import trio

from ninep.net.errors import ConnectionLost, WireError
from ninep.tasks.nursery import background
from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, DamagedBlock, ReadTooSmall, VentiError
from venti.blocks.score import Score
from venti.protocol.messages import LARGEST_BLOCK
from venti.stores.interface import BlockStore, ImmediateStore, Preparation, PreparingStore

log = logging.getLogger(__name__)

PATIENCE = 20.0
"""Seconds that a mirror has for one block; a client waits for them."""


class BlockSource(Protocol):
    """Whatever blocks can be fetched from."""

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``."""
        ...


class MirroredStore:
    """A ``BlockStore`` in front of ``store``, with ``mirror`` to help out.

    Attributes:
        healed: blocks that were stored anew.
    """

    def __init__(self, store: BlockStore, mirror: BlockSource, *, missing: bool = False) -> None:
        """``missing``: blocks that ``store`` does not have are fetched, too, and not only damaged ones."""
        self.healed = 0
        self._store = store
        self._mirror = mirror
        self._missing = missing

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``. Where the mirror does not help, the error is the one of the store itself."""
        try:
            return await self._store.read(score, type, limit)
        except DamagedBlock as error:
            trouble: DamagedBlock | BlockNotFound = error
        except BlockNotFound as error:
            if not self._missing:
                raise
            trouble = error
        data = await self._fetch(score, type, trouble)
        await self._heal(score, type, data)
        if len(data) > limit:
            raise ReadTooSmall(limit, len(data))
        return data

    async def _fetch(self, score: Score, type: BlockType, trouble: VentiError) -> bytes:
        try:
            with trio.fail_after(PATIENCE):
                data = await self._mirror.read(score, type, LARGEST_BLOCK)
        except (VentiError, WireError, OSError, trio.TooSlowError) as error:
            log.warning("block %s cannot be had from the mirror: %s", score, str(error) or "it does not answer")
            raise trouble from error
        if Score.of(data) != score:
            log.warning("block %s cannot be had from the mirror: what came is another block", score)
            raise trouble
        return data

    async def _heal(self, score: Score, type: BlockType, data: bytes) -> None:
        try:
            await self._store.write(type, data)
            if await self._store.read(score, type, LARGEST_BLOCK) != data:
                raise DamagedBlock(score, "the store", "it did not take the copy")
        except VentiError as error:
            log.warning("block %s came from the mirror and cannot be stored: %s", score, error)
        else:
            self.healed += 1
            log.warning("block %s/%d was fetched from the mirror and stored anew", score, type)

    async def write(self, type: BlockType, data: Buffer) -> Score:
        """See ``BlockStore``."""
        return await self._store.write(type, data)

    async def sync(self) -> None:
        """See ``BlockStore``."""
        await self._store.sync()

    async def aclose(self) -> None:
        """Closes the store; the mirror belongs to whoever opened it."""
        await self._store.aclose()


class ImmediateMirroredStore(MirroredStore):
    """The same over an ``ImmediateStore``, which then answers at once what it has unharmed."""

    def __init__(self, store: ImmediateStore, mirror: BlockSource, *, missing: bool = False) -> None:
        super().__init__(store, mirror, missing=missing)
        self._immediate = store
        self._missing_too = (BlockNotFound, DamagedBlock) if missing else (DamagedBlock,)

    def read_nowait(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``ImmediateStore``; what has to be healed waits."""
        try:
            return self._immediate.read_nowait(score, type, limit)
        except self._missing_too:
            raise trio.WouldBlock from None

    def write_nowait(self, type: BlockType, data: Buffer) -> Score:
        """See ``ImmediateStore``."""
        return self._immediate.write_nowait(type, data)

    def flush_nowait(self) -> None:
        """See ``ImmediateStore``."""
        self._immediate.flush_nowait()


class PreparingMirroredStore(ImmediateMirroredStore):
    """The same over a ``PreparingStore``."""

    def __init__(self, store: PreparingStore, mirror: BlockSource, *, missing: bool = False) -> None:
        super().__init__(store, mirror, missing=missing)
        self._preparing = store

    def prepare_nowait(self, blocks: Sequence[Buffer]) -> Preparation | None:
        """See ``PreparingStore``."""
        return self._preparing.prepare_nowait(blocks)

    def write_all_nowait(
        self, types: Sequence[BlockType], blocks: Sequence[Buffer], preparation: Preparation | None = None
    ) -> list[Score | Exception]:
        """See ``PreparingStore``."""
        return self._preparing.write_all_nowait(types, blocks, preparation)


class _Link:
    """A connection that somebody holds open."""

    def __init__(self, store: BlockSource, scope: trio.CancelScope) -> None:
        self.store = store
        self.scope = scope


class Mirror:
    """A ``BlockSource`` somewhere else that is only connected to when it is needed, and again when the link broke."""

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[BlockSource]], nursery: trio.Nursery) -> None:
        self._connect = connect
        self._nursery = nursery
        self._link: _Link | None = None
        self._dialing = trio.Lock()

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``.

        Raises:
            Unreachable: nobody is there. ``ConnectionLost``: the link broke twice.
        """
        try:
            return await self._once(score, type, limit)
        except ConnectionLost:
            return await self._once(score, type, limit)

    async def _once(self, score: Score, type: BlockType, limit: int) -> bytes:
        async with self._dialing:
            if self._link is None:
                found = await self._nursery.start(self._hold)
                if isinstance(found, Exception):
                    raise found
                self._link = found
            link = self._link
        try:
            return await link.store.read(score, type, limit)
        except ConnectionLost:
            link.scope.cancel()
            if self._link is link:
                self._link = None
            raise

    async def _hold(self, task_status: trio.TaskStatus[_Link | Exception]) -> None:
        started = False
        with trio.CancelScope() as scope:
            try:
                async with self._connect() as store:
                    started = True
                    task_status.started(_Link(store, scope))
                    await trio.sleep_forever()
            except (VentiError, WireError, OSError) as error:
                if not started:
                    task_status.started(error)


@asynccontextmanager
async def mirror(connect: Callable[[], AbstractAsyncContextManager[BlockSource]]) -> AsyncIterator[Mirror]:
    """A ``Mirror`` for as long as the context lasts; ``connect`` opens one connection."""
    async with background() as nursery:
        yield Mirror(connect, nursery)
