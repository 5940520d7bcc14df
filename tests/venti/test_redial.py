"""A connection that breaks: calls go on when it is made again, and nothing acknowledged is lost."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio
import trio.lowlevel
from hypothesis import given
from hypothesis import strategies as some
from trio.testing import MockClock, memory_stream_pair

from contracts.block_store import BlockStoreContract
from ninep.net.errors import ConnectionLost, Unreachable
from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import DamagedBlock, LostBlock, StoreFull
from venti.blocks.score import Score
from venti.server import serve_stream
from venti.stores.interface import BlockStore
from venti.stores.memory import MemoryStore
from venti.stores.redial import redialled
from venti.stores.remote import RemoteStore, connected
from venti.stores.write_behind import write_behind

DATA = BlockType.DATA


class Forgetful(MemoryStore):
    """Loses everything that was not synced when it crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.safe: dict[tuple[Score, int], bytes] = {}
        self.full = False

    def write_nowait(self, type: BlockType, data: Buffer) -> Score:
        if self.full:
            raise StoreFull
        return super().write_nowait(type, data)

    async def sync(self) -> None:
        self.safe = dict(self._blocks)

    def crash(self) -> None:
        self._blocks = dict(self.safe)


class Believing(Forgetful):
    """After a crash its index still names what its log lost, as the original's may: it acknowledges that when it is
    written again, and cannot read it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.torn: set[tuple[Score, int]] = set()

    def crash(self) -> None:
        self.torn |= set(self._blocks) - set(self.safe)
        super().crash()

    def write_nowait(self, type: BlockType, data: Buffer) -> Score:
        score = Score.of(data)
        return score if (score, type.wire) in self.torn else super().write_nowait(type, data)

    def read_nowait(self, score: Score, type: BlockType, limit: int) -> bytes:
        if (score, type.wire) in self.torn:
            raise DamagedBlock(score, "arena 0", "bad clump magic")
        return super().read_nowait(score, type, limit)


class Network:
    """A server in memory behind connections that can be cut."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.reachable = True
        self.dialled = 0
        self.streams: list[trio.abc.Stream] = []

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[RemoteStore]:
        self.dialled += 1
        if not self.reachable:
            raise Unreachable("nobody there")
        ours, theirs = memory_stream_pair()
        self.streams.append(theirs)
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_stream, theirs, self.store)
            try:
                async with connected(ours) as store:
                    yield store
            except Exception as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def cut(self) -> None:
        """Every connection breaks now, with whatever is under way on it."""
        for stream in self.streams:
            stream.send_stream.close()
            stream.receive_stream.close()
        self.streams.clear()


class TestRedialled(BlockStoreContract):
    def store(self) -> AbstractAsyncContextManager[BlockStore]:
        return redialled(Network(MemoryStore()).dial)


class TestWriteBehindRedialled(BlockStoreContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        async with redialled(Network(MemoryStore()).dial) as store, write_behind(store) as behind:
            yield behind


async def test_calls_go_on_after_a_cut(autojump_clock: MockClock) -> None:
    network = Network(MemoryStore())
    async with redialled(network.dial) as store:
        score = await store.write(DATA, b"one")
        network.cut()
        assert await store.read(score, DATA, 10) == b"one"
        network.cut()
        await store.write(DATA, b"two")
        network.cut()
        await store.sync()
    assert network.dialled == 4


async def test_calls_wait_while_nobody_is_there(autojump_clock: MockClock) -> None:
    network = Network(MemoryStore())
    async with redialled(network.dial) as store:
        await store.write(DATA, b"one")
        network.reachable = False
        network.cut()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.write, DATA, b"two")
            await trio.sleep(30)
            network.reachable = True
    assert await network.store.read(Score.of(b"two"), DATA, 10) == b"two"


async def test_patience_ends(autojump_clock: MockClock) -> None:
    network = Network(MemoryStore())
    async with redialled(network.dial, patience=60) as store:
        score = await store.write(DATA, b"one")
        network.reachable = False
        network.cut()
        with pytest.raises(ConnectionLost, match="nobody there; gave up after 60 seconds"):
            await store.read(score, DATA, 10)
        with pytest.raises(ConnectionLost, match="nobody there"):
            await store.write(DATA, b"two")
    assert trio.current_time() < 120


async def test_nobody_the_first_time() -> None:
    network = Network(MemoryStore())
    network.reachable = False
    with pytest.raises(Unreachable, match="nobody there"):
        async with redialled(network.dial):
            raise AssertionError("never here")
    assert network.dialled == 1


async def test_what_the_server_forgot_is_written_again(autojump_clock: MockClock) -> None:
    server = Forgetful()
    network = Network(server)
    async with redialled(network.dial) as store:
        safe = await store.write(DATA, b"safe")
        await store.sync()
        lost = await store.write(DATA, b"forgotten")
        server.crash()
        network.cut()
        assert await store.read(lost, DATA, 10) == b"forgotten"
        await store.sync()
    server.crash()
    assert await server.read(lost, DATA, 10) == b"forgotten"
    assert await server.read(safe, DATA, 10) == b"safe"


async def test_what_the_server_believes_to_have_is_not_taken_for_safe(autojump_clock: MockClock) -> None:
    server = Believing()
    network = Network(server)
    async with redialled(network.dial) as store:
        await store.write(DATA, b"safe")
        await store.sync()
        lost = await store.write(DATA, b"torn")
        server.crash()
        network.cut()
        with pytest.raises(LostBlock, match=f"acknowledged block {lost}/0 and cannot give it back"):
            await store.sync()
        with pytest.raises(LostBlock):
            await store.write(DATA, b"more")
        with pytest.raises(LostBlock):
            await store.read(lost, DATA, 10)


async def test_a_server_that_keeps_nothing(autojump_clock: MockClock) -> None:
    """It acknowledges everything, and nothing has to break for somebody to notice."""

    class Empty(MemoryStore):
        def write_nowait(self, type: BlockType, data: Buffer) -> Score:
            return Score.of(data)

    async with redialled(Network(Empty()).dial) as store:
        await store.write(DATA, b"block")
        with pytest.raises(LostBlock, match="no block with score"):
            await store.sync()


@pytest.mark.parametrize("kept", [0, 1, 2])
async def test_a_server_that_comes_back_with_another_store(autojump_clock: MockClock, kept: int) -> None:
    """An empty one, or an older state of its own: what earlier syncs covered is not there any more."""
    server = Forgetful()
    network = Network(server)
    async with redialled(network.dial) as store:
        for number in range(3):
            for each in range(20):
                await store.write(DATA, b"block %d.%d" % (number, each))
            await store.sync()
        server.safe = dict(list(server.safe.items())[: 20 * kept])
        server.crash()
        network.cut()
        with pytest.raises(LostBlock, match="another one is in its place"):
            await store.sync()


async def test_proofs_of_many_syncs_are_bounded(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("venti.stores.redial.MOST_PROOFS", 32)
    server = Forgetful()
    network = Network(server)
    async with redialled(network.dial) as store:
        for number in range(200):
            await store.write(DATA, b"block %d" % number)
            await store.sync()
            assert len(store._proofs) <= 32
        network.cut()
        await store.sync()
        del server.safe[Score.of(b"block 199"), DATA.wire]
        server.crash()
        network.cut()
        with pytest.raises(LostBlock):
            await store.sync()


async def test_what_is_kept_is_bounded(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("venti.stores.redial.UNSYNCED", 100_000)
    server = Forgetful()
    async with redialled(Network(server).dial) as store, write_behind(store) as behind:
        for number in range(300):
            await behind.write(DATA, random.Random(number).randbytes(2000))
            assert store._size <= 100_000 + 64 * 2000
        await behind.sync()
        assert not store._kept
        assert store._size == 0
    assert len(server.safe) == 300


async def test_a_refusal_is_passed_on_and_not_kept(autojump_clock: MockClock) -> None:
    server = Forgetful()
    network = Network(server)
    async with redialled(network.dial) as store:
        server.full = True
        with pytest.raises(StoreFull):
            await store.write(DATA, b"no room")
        with pytest.raises(StoreFull):
            await store.begin_write(DATA, b"no room", Score.of(b"no room")).wait()
        server.full = False
        network.cut()
        await store.sync()
    assert not server.safe


@given(some.lists(some.sampled_from(["write", "write", "write", "read", "cut", "crash", "sync"]), max_size=40))
def test_nothing_acknowledged_is_lost(steps: list[str]) -> None:
    async def run() -> None:
        server = Forgetful()
        network = Network(server)
        written: dict[Score, bytes] = {}
        async with redialled(network.dial) as store, write_behind(store, window=4) as behind:
            for number, step in enumerate(steps):
                if step == "write":
                    block = b"block %d" % number
                    written[await behind.write(DATA, block)] = block
                elif step == "read" and written:
                    score = list(written)[number % len(written)]
                    assert await behind.read(score, DATA, 100) == written[score]
                elif step == "sync":
                    await behind.sync()
                elif step == "cut":
                    network.cut()
                elif step == "crash":
                    server.crash()
                    network.cut()
                    await trio.sleep(number % 3)
            await behind.sync()
        server.crash()
        for score, block in written.items():
            assert await server.read(score, DATA, 100) == block

    trio.run(run, clock=MockClock(autojump_threshold=0))


async def test_a_long_backup_over_a_bad_line(autojump_clock: MockClock) -> None:
    """Cut every now and then while many writes are in flight."""
    server = Forgetful()
    network = Network(server)
    blocks = [random.Random(number).randbytes(500) for number in range(2000)]

    async with redialled(network.dial) as store, write_behind(store) as behind:
        for number, block in enumerate(blocks):
            await behind.write(DATA, block)
            if number % 250 == 125:
                await trio.sleep(1)
                server.crash()
                network.cut()
        await behind.sync()
        assert network.dialled == 9
    server.crash()
    for block in blocks:
        assert await server.read(Score.of(block), DATA, 1000) == block
