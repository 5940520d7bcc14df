"""What a sync has promised never counts as what a crash left half written: damage to it is told, kept, and healed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from blake3 import blake3

from fakes.damaged_store import DATA, blocks, memory
from programs.venti_program import serving, venti
from venti.blocks.errors import BlockNotFound, DamagedBlock
from venti.blocks.score import Score
from venti.log import synced
from venti.log.arena import arena_path
from venti.log.clump import HEADER, Clump, pack_header, recognise, unpack_header
from venti.log.files import OsFolder
from venti.log.index import Place
from venti.log.opening import open_disk_store

WRITTEN = [*blocks(5), b"compresses " * 200]
LAST = Score.of(WRITTEN[-1])


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Place]:
    """A store as it was after a sync, when its process was killed; and where the last block is."""
    path = tmp_path_factory.mktemp("killed")

    async def live() -> Place:
        async with open_disk_store(path / "live") as store:
            for block in WRITTEN:
                await store.write(DATA, block)
            await store.sync()
            shutil.copytree(path / "live", path / "killed")
            place = store.locate(LAST, DATA)
            assert place is not None
            return place

    return path / "killed", trio.run(live)


@pytest.fixture
def store(killed: tuple[Path, Place], tmp_path: Path) -> Iterator[tuple[Path, Place]]:
    """A copy of it."""
    shutil.copytree(killed[0], tmp_path / "store")
    return tmp_path / "store", killed[1]


def flip(path: Path, at: int, bit: int = 0) -> bytes:
    """Damages the arena; gives what it is then."""
    file = arena_path(path / "arenas", 0)
    data = bytearray(file.read_bytes())
    data[at] ^= 1 << bit
    file.write_bytes(data)
    return bytes(data)


DIGEST = blake3(b"block").digest()
HEADERS = (0, 4, 5, 9, 13, 17, 25, 45, 77)
"""A byte of every field."""


@pytest.mark.expects_errors
@pytest.mark.parametrize("at", [*HEADERS, HEADER + 3, -1])
@pytest.mark.parametrize("index", [True, False])
async def test_a_flipped_bit_in_the_last_block(store: tuple[Path, Place], at: int, index: bool) -> None:
    """Whatever byte it is in: the block is named, its bytes are kept, and the next who writes it heals it."""
    path, place = store
    data = flip(path, place.offset + at if at >= 0 else -1)
    if not index:
        shutil.rmtree(path / "index")
    for _ in range(2):
        async with open_disk_store(path) as opened:
            with pytest.raises(DamagedBlock, match=str(LAST)):
                await opened.read(LAST, DATA, 8192)
            for block in WRITTEN[:-1]:
                assert await opened.read(Score.of(block), DATA, 8192) == block
        assert arena_path(path / "arenas", 0).read_bytes() == data
    assert await venti("verify", "--store", path) == 4
    async with open_disk_store(path) as opened:
        with pytest.raises(DamagedBlock):
            await opened.read(LAST, DATA, 8192)
        await opened.write(DATA, WRITTEN[-1])
        assert await opened.read(LAST, DATA, 8192) == WRITTEN[-1]
    assert arena_path(path / "arenas", 0).read_bytes().startswith(data)
    assert await venti("verify", "--store", path) == 0


@pytest.mark.expects_errors
async def test_repair_heals_it(store: tuple[Path, Place], capsys: pytest.CaptureFixture[str]) -> None:
    path, place = store
    flip(path, place.offset + 30)
    async with serving(await memory(WRITTEN)) as address:
        assert await venti("repair", "--from", address, "--store", path) == 0
    assert capsys.readouterr().out == "1 blocks repaired, 0 are left\n"
    assert await venti("verify", "--store", path) == 0


@pytest.mark.expects_errors
async def test_a_block_that_nothing_identifies(store: tuple[Path, Place], caplog: pytest.LogCaptureFixture) -> None:
    """Header and contents are damaged: nobody knows which it was, but the bytes are kept and told of."""
    path, place = store
    flip(path, place.offset + 3)
    data = flip(path, place.offset + HEADER + 3)
    async with open_disk_store(path) as opened:
        with pytest.raises(BlockNotFound):
            await opened.read(LAST, DATA, 8192)
    assert f"arena 0 offset {place.offset}: {len(data) - place.offset} bytes that were safe" in caplog.text
    assert arena_path(path / "arenas", 0).read_bytes() == data
    assert await venti("verify", "--store", path) == 4


@pytest.mark.expects_errors
async def test_what_was_lost_with_the_end_of_the_log_comes_back(
    store: tuple[Path, Place], capsys: pytest.CaptureFixture[str]
) -> None:
    """The index is made anew without it; who lost what is remembered, until it is there again."""
    path, place = store
    async with open_disk_store(path):
        pass
    with arena_path(path / "arenas", 0).open("r+b") as file:
        file.truncate(place.offset - 10)
    async with open_disk_store(path) as opened:
        await opened.write(DATA, b"goes on")
    lost = {str(Score.of(block)) for block in WRITTEN[-2:]}
    assert await venti("verify", "--store", path) == 4
    out = capsys.readouterr().out
    assert {line.split()[6][:40] for line in out.splitlines() if "block " in line} == lost
    async with serving(await memory(WRITTEN)) as address:
        assert await venti("repair", "--from", address, "--store", path) == 0
    async with open_disk_store(path) as opened:
        for block in (*WRITTEN, b"goes on"):
            assert await opened.read(Score.of(block), DATA, 8192) == block


@pytest.mark.expects_errors
async def test_a_sealed_arena_that_was_copied_and_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It may be written, so its seal is doubted; it is not opened again for all that, and nothing of it is cut."""
    written = blocks(60)
    async with open_disk_store(tmp_path, arena_size=20_000) as opened:
        for block in written:
            await opened.write(DATA, block)
        assert len(opened.log.numbers) > 3
        place = opened.locate(Score.of(written[3]), DATA)
    assert place is not None
    file = arena_path(tmp_path / "arenas", place.arena)
    file.chmod(0o600)
    data = bytearray(file.read_bytes())
    data[place.offset + 20] ^= 1
    file.write_bytes(data)
    async with open_disk_store(tmp_path, arena_size=20_000) as opened:
        assert opened.log.is_sealed(place.arena)
    assert file.read_bytes() == data
    assert "is damaged: what is sound is served" in caplog.text
    assert await venti("verify", "--store", tmp_path) == 4


def test_the_record_of_what_was_synced() -> None:
    ends = {number: number * 1000 + 64 for number in range(7, 60)}
    data = synced.pack(ends)
    assert len(data) <= 512
    assert synced.unpack(data + b"rest") == {number: ends[number] for number in range(20, 60)}
    assert synced.unpack(synced.pack({})) == {}
    for size in range(len(data)):
        assert synced.unpack(data[:size]) == {}
    source = random.Random(1)
    for _ in range(200):
        torn = bytearray(data)
        torn[source.randrange(len(torn))] ^= 1 << source.randrange(8)
        assert synced.unpack(bytes(torn)) == {}


async def test_a_record_that_cannot_be_read_is_no_record(store: tuple[Path, Place]) -> None:
    path, _ = store
    (path / "synced").write_bytes(b"nonsense")
    assert synced.read(OsFolder(path)) == {}
    async with open_disk_store(path) as opened:
        assert await opened.read(LAST, DATA, 8192) == WRITTEN[-1]
        await opened.sync()
        assert synced.read(OsFolder(path)) == {0: opened.log.flushed.offset}


def test_a_clump_is_recognised_by_either_hash() -> None:
    header = pack_header(13, 0, 5, 5, 77, Score.of(b"block"), b"x" * 32)
    assert recognise(header + b"block") == unpack_header(header)._replace(digest=DIGEST)
    assert recognise(header + b"blocK") is None
    assert recognise(header[:50]) is None
    assert recognise(bytes(85)) is None
    wrong = pack_header(200, 0, 5, 5, 77, Score.of(b"block"), DIGEST)
    assert recognise(wrong + b"block") is None
    assert isinstance(recognise(header + b"block"), Clump)
