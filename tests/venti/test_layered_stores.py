"""Stores in front of stores: one that keeps blocks in memory, one that fails when told to, served over a link."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from contracts.block_store import BlockStoreContract
from fakes.faulty_store import FaultyStore
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import DamagedBlock, ReadTooSmall, Refusal, ScoreCollision, StoreFailed, StoreFull, VentiError
from venti.blocks.score import Score
from venti.server import serve_stream
from venti.stores.cached import EACH, CachedStore
from venti.stores.interface import BlockStore
from venti.stores.memory import MemoryStore
from venti.stores.remote import connected

DATA = BlockType.DATA


class TestCached(BlockStoreContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        yield CachedStore(MemoryStore(), size=50_000)


class TestCacheWithoutRoom(BlockStoreContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        yield CachedStore(MemoryStore(), size=0)


class TestFaulty(BlockStoreContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        yield FaultyStore(MemoryStore())


class TestServedFaulty(BlockStoreContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        async with served(FaultyStore(MemoryStore())) as store:
            yield store


@asynccontextmanager
async def served(store: BlockStore) -> AsyncIterator[BlockStore]:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, store)
        async with connected(near) as client:
            yield client


async def test_what_is_in_memory_is_not_asked_for_again() -> None:
    inner = FaultyStore(MemoryStore())
    store = CachedStore(inner, size=3 * (1000 + EACH))
    scores = [await store.write(DATA, bytes([n]) * 1000) for n in range(4)]
    assert inner.calls == 4
    for score in scores[1:]:
        await store.read(score, DATA, 1000)
    assert (inner.calls, store.hits, store.misses) == (4, 3, 0)
    assert await store.read(scores[0], DATA, 1000) == bytes([0]) * 1000
    assert inner.calls == 5
    await store.read(scores[3], DATA, 1000)
    await store.read(scores[1], DATA, 1000)
    assert inner.calls == 6
    with pytest.raises(ReadTooSmall):
        await store.read(scores[1], DATA, 10)
    assert inner.calls == 6


async def test_what_could_not_be_written_is_not_kept() -> None:
    def fault(method: str, number: int) -> None:
        if method == "write":
            raise StoreFull

    store = CachedStore(FaultyStore(MemoryStore(), fault), size=10_000)
    with pytest.raises(StoreFull):
        await store.write(DATA, b"x")
    with pytest.raises(Refusal, match="no block"):
        await store.read(Score.of(b"x"), DATA, 10)


SCORE = Score.of(b"some block")


@pytest.mark.parametrize(
    ("error", "seen", "text"),
    [
        (StoreFull(), StoreFull, "no space left in arenas"),
        (StoreFailed("fdatasync failed: restart"), Refusal, "fdatasync failed: restart"),
        (ScoreCollision(SCORE), Refusal, f"score collision {SCORE}"),
        (DamagedBlock(SCORE, "arena 3 offset 64", "BLAKE3 differs"), VentiError, f"damaged block {SCORE} at arena 3"),
        (Refusal("% and " + "ü" * 200), Refusal, "% and ü"),
    ],
)
@pytest.mark.parametrize("method", ["read", "write", "sync"])
async def test_errors_go_over_the_link(method: str, error: Exception, seen: type[Exception], text: str) -> None:
    """The client hears what is wrong, and the connection goes on."""

    def fault(called: str, number: int) -> None:
        if called == method and number < 3:
            raise error

    async with served(FaultyStore(MemoryStore(), fault)) as store:
        for _ in range(2):
            with pytest.raises(seen, match=text):
                await {
                    "read": lambda: store.read(SCORE, DATA, 100),
                    "write": lambda: store.write(DATA, b"some block"),
                    "sync": store.sync,
                }[method]()
        score = await store.write(DATA, b"some block")
        assert await store.read(score, DATA, 100) == b"some block"
        await store.sync()


@pytest.mark.expects_errors
async def test_a_bug_in_a_store_is_not_told_to_clients(caplog: pytest.LogCaptureFixture) -> None:
    def fault(method: str, number: int) -> None:
        if number == 1:
            raise ZeroDivisionError("secret")

    async with served(FaultyStore(MemoryStore(), fault)) as store:
        with pytest.raises(Refusal, match="internal error"):
            await store.write(DATA, b"x")
        assert await store.write(DATA, b"x") == Score.of(b"x")
    assert "secret" in caplog.text
