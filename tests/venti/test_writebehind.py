"""The store that answers writes at once: it is a store like any other, and forgets no failure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from contracts.block_store import BlockStoreContract
from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, StoreFull
from venti.blocks.score import Score
from venti.stores.interface import BlockStore
from venti.stores.memory import MemoryStore
from venti.stores.write_behind import write_behind


class SlowStore(MemoryStore):
    """Takes a second for each write, and at most ``room`` blocks."""

    def __init__(self, room: int = 10**9) -> None:
        super().__init__()
        self.room = room
        self.running = self.most = self.synced_with = 0

    async def write(self, type: BlockType, data: Buffer) -> Score:
        self.running += 1
        self.most = max(self.most, self.running)
        await trio.sleep(1)
        self.running -= 1
        if len(self) >= self.room:
            raise StoreFull
        return await super().write(type, data)

    async def sync(self) -> None:
        self.synced_with = len(self)


class TestWriteBehind(BlockStoreContract):
    def store(self) -> AbstractAsyncContextManager[BlockStore]:
        return self._store()

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[BlockStore]:
        async with write_behind(MemoryStore(), window=4) as store:
            yield store


async def test_many_writes_are_under_way_but_not_more_than_allowed(autojump_clock: MockClock) -> None:
    slow = SlowStore()
    async with write_behind(slow, window=8) as store:
        started = trio.current_time()
        scores = [await store.write(BlockType.DATA, b"%d" % n) for n in range(64)]
        await store.sync()
        assert trio.current_time() - started == pytest.approx(8)
    assert (slow.most, slow.synced_with) == (8, 64)
    assert all([await slow.read(score, BlockType.DATA, 10) for score in scores])


async def test_what_is_under_way_can_be_read(autojump_clock: MockClock) -> None:
    async with write_behind(SlowStore()) as store:
        score = await store.write(BlockType.DATA_1, b"block")
        assert await store.read(score, BlockType.DIR_1, 10) == b"block"
        with pytest.raises(BlockNotFound):
            await store.read(score, BlockType.DATA, 10)


async def test_the_same_block_is_sent_once(autojump_clock: MockClock) -> None:
    slow = SlowStore()
    async with write_behind(slow) as store:
        for _ in range(10):
            await store.write(BlockType.DATA, b"same")
    assert slow.most == 1


async def test_the_caller_may_change_its_buffer(autojump_clock: MockClock) -> None:
    slow = SlowStore()
    async with write_behind(slow) as store:
        buffer = bytearray(b"before")
        score = await store.write(BlockType.DATA, memoryview(buffer))
        buffer[:] = b"after."
    assert await slow.read(score, BlockType.DATA, 10) == b"before"


async def test_a_failure_comes_with_every_later_call(autojump_clock: MockClock) -> None:
    slow = SlowStore(room=5)

    async def write_many(store: BlockStore) -> None:
        for n in range(100):
            await store.write(BlockType.DATA, b"%d" % n)

    async def use() -> None:
        async with write_behind(slow, window=2) as store:
            with pytest.raises(StoreFull):
                await write_many(store)
            with pytest.raises(StoreFull):
                await store.sync()
            assert slow.synced_with == 0

    with pytest.raises(StoreFull):
        await use()


async def test_an_error_of_the_caller_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    async def use() -> None:
        async with write_behind(SlowStore()) as store:
            await store.write(BlockType.DATA, b"block")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await use()


async def test_it_can_be_cancelled(autojump_clock: MockClock) -> None:
    with trio.move_on_after(0.5) as scope:
        async with write_behind(SlowStore(), window=1) as store:
            for n in range(10):
                await store.write(BlockType.DATA, b"%d" % n)
    assert scope.cancelled_caught
