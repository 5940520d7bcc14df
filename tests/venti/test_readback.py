"""A store's word is taken for what it can give back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from contracts.block_store import BlockStoreContract
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import DamagedBlock, LostBlock
from venti.blocks.score import Score
from venti.stores.interface import BlockStore
from venti.stores.memory import MemoryStore
from venti.stores.readback import MOST, SAMPLES, ReadBack
from venti.stores.write_behind import write_behind

DATA = BlockType.DATA


class TestReadBack(BlockStoreContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        yield ReadBack(MemoryStore(), doubtful=True)


class TestSampled(BlockStoreContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        async with write_behind(MemoryStore()) as behind:
            yield ReadBack(behind, doubtful=False)


class Liar(MemoryStore):
    """Acknowledges some blocks and does not have them."""

    def __init__(self, *lies: bytes) -> None:
        super().__init__()
        self.lies = {Score.of(lie) for lie in lies}
        self.reads = 0

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        self.reads += 1
        if score in self.lies:
            raise DamagedBlock(score, "arena 0")
        return await super().read(score, type, limit)


@pytest.mark.parametrize("lie", range(0, 100, 9))
async def test_every_block_is_read_where_there_is_doubt(lie: int) -> None:
    store = ReadBack(Liar(b"block %d" % lie), doubtful=True)
    for number in range(100):
        await store.write(DATA, b"block %d" % number)
    for _ in range(2):
        with pytest.raises(LostBlock, match=f"acknowledged block {Score.of(b'block %d' % lie)}/0"):
            await store.sync()


async def test_a_sample_is_read_and_the_last_block() -> None:
    liar = Liar(b"block 99999")
    store = ReadBack(liar, doubtful=False)
    for number in range(50_000):
        await store.write(DATA, b"block %d" % number)
        assert len(store._written) <= 2 * SAMPLES
    await store.sync()
    assert SAMPLES <= liar.reads <= 2 * SAMPLES + 1
    await store.write(DATA, b"block 99999")
    with pytest.raises(LostBlock):
        await store.sync()


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("venti.stores.readback.MOST", 50)
    assert MOST > 50
    liar = Liar(b"block 73")
    store = ReadBack(liar, doubtful=True)
    for number in range(99):
        await store.write(DATA, b"block %d" % number)
        assert len(store._written) < 50
    with pytest.raises(LostBlock):
        await store.write(DATA, b"block 99")
