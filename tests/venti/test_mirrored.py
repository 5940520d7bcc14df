"""A store that heals itself from a mirror, as a store and in a server."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from contracts.block_store import BlockStoreContract
from ninep.net.errors import ConnectionLost, Unreachable
from programs.venti_program import serving
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, DamagedBlock, ReadTooSmall
from venti.blocks.score import Score
from venti.log import arena as arenas
from venti.log.clump import HEADER
from venti.log.opening import open_disk_store
from venti.server import serve_stream
from venti.stores.interface import BlockStore
from venti.stores.memory import MemoryStore
from venti.stores.mirrored import MirroredStore, PreparingMirroredStore, mirror
from venti.stores.remote import connect, connected

DATA = BlockType.DATA
BLOCKS = [bytes([n]) * 100 + bytes(range(n, n + 100)) for n in range(20)]


class TestMirrored(BlockStoreContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        yield MirroredStore(MemoryStore(), MemoryStore())


class TestMirroredWithMissing(BlockStoreContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        yield MirroredStore(MemoryStore(), MemoryStore(), missing=True)


class TestServedMirrored(BlockStoreContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        with tempfile.TemporaryDirectory() as path:
            near, far = trio.testing.memory_stream_pair()
            async with open_disk_store(path) as disk, trio.open_nursery() as nursery:
                nursery.start_soon(serve_stream, far, PreparingMirroredStore(disk, MemoryStore()))
                async with connected(near) as store:
                    yield store


async def damaged_store(path: Path, *numbers: int) -> None:
    """A store with ``BLOCKS`` in one arena, of which some are damaged."""
    async with open_disk_store(path) as store:
        for block in BLOCKS:
            await store.write(DATA, block)
        places = [store.locate(Score.of(BLOCKS[number]), DATA) for number in numbers]
    with arenas.arena_path(path / "arenas", 0).open("r+b") as file:
        for place in places:
            assert place is not None
            file.seek(place.offset + HEADER)
            file.write(b"??")


async def full_mirror() -> MemoryStore:
    store = MemoryStore()
    for block in BLOCKS:
        await store.write(DATA, block)
    return store


@pytest.mark.expects_errors
async def test_a_damaged_block_is_answered_and_healed(tmp_path: Path) -> None:
    await damaged_store(tmp_path, 3, 7)
    async with open_disk_store(tmp_path) as disk:
        healing = PreparingMirroredStore(disk, await full_mirror())
        async with serving(healing) as address, connect(address) as client:
            for block in BLOCKS:
                assert await client.read(Score.of(block), DATA, 200) == block
        assert healing.healed == 2
    async with open_disk_store(tmp_path) as disk:
        for block in BLOCKS:
            assert await disk.read(Score.of(block), DATA, 200) == block


@pytest.mark.expects_errors
async def test_the_limit_holds_for_healed_blocks(tmp_path: Path) -> None:
    await damaged_store(tmp_path, 3)
    async with open_disk_store(tmp_path) as disk:
        healing = MirroredStore(disk, await full_mirror())
        with pytest.raises(ReadTooSmall):
            await healing.read(Score.of(BLOCKS[3]), DATA, 10)
        assert await healing.read(Score.of(BLOCKS[3]), DATA, 200) == BLOCKS[3]


class Lying(MemoryStore):
    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        return b"something else"


class Silent(MemoryStore):
    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        await trio.sleep_forever()
        raise AssertionError


class Away(MemoryStore):
    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        raise Unreachable("nobody is there")


@pytest.mark.expects_errors
@pytest.mark.parametrize("useless", [MemoryStore, Lying, Silent, Away])
async def test_a_mirror_that_does_not_help(tmp_path: Path, useless: type, autojump_clock: trio.abc.Clock) -> None:
    """The client hears what is wrong with the store itself."""
    await damaged_store(tmp_path, 3)
    async with open_disk_store(tmp_path) as disk:
        healing = MirroredStore(disk, useless())
        with pytest.raises(DamagedBlock, match="arena 0 offset"):
            await healing.read(Score.of(BLOCKS[3]), DATA, 200)
        assert healing.healed == 0


async def test_only_missing_blocks_that_are_asked_for_are_fetched() -> None:
    there = await full_mirror()
    with pytest.raises(BlockNotFound):
        await MirroredStore(MemoryStore(), there).read(Score.of(BLOCKS[0]), DATA, 200)
    here = MemoryStore()
    assert await MirroredStore(here, there, missing=True).read(Score.of(BLOCKS[0]), DATA, 200) == BLOCKS[0]
    assert len(here) == 1


async def test_the_mirror_is_dialed_when_needed_and_again_when_lost() -> None:
    dialed = 0
    cut = trio.Event()

    class Breaking(MemoryStore):
        async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
            if cut.is_set() and dialed == 1:
                raise ConnectionLost("cut")
            return BLOCKS[0]

    @asynccontextmanager
    async def dial() -> AsyncIterator[BlockStore]:
        nonlocal dialed
        dialed += 1
        yield Breaking()

    async with mirror(dial) as there:
        assert dialed == 0
        for _ in range(3):
            await there.read(Score.of(BLOCKS[0]), DATA, 200)
        assert dialed == 1
        cut.set()
        assert await there.read(Score.of(BLOCKS[0]), DATA, 200) == BLOCKS[0]
        assert dialed == 2


async def test_a_mirror_that_is_not_there_now_may_be_there_later() -> None:
    async with serving(await full_mirror()) as address:
        pass
    async with mirror(lambda: connect(address)) as there:
        for _ in range(2):
            with pytest.raises(Unreachable):
                await there.read(Score.of(BLOCKS[0]), DATA, 200)
    async with serving(await full_mirror()) as address, mirror(lambda: connect(address)) as there:
        assert await there.read(Score.of(BLOCKS[0]), DATA, 200) == BLOCKS[0]
