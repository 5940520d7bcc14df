"""Damage, accident and malice under the store on disk: it says so, and never gives other bytes than were stored."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import lmdb
import msgpack
import pytest
from blake3 import blake3

from ninep.disk import PositionedFile
from venti.blocks.blocktype import BlockType
from venti.blocks.compression import compressed
from venti.blocks.errors import (
    BlockNotFound,
    DamagedBlock,
    DamagedStore,
    NoStore,
    ReadOnlyStore,
    StoreInUse,
    VentiError,
)
from venti.blocks.score import Score
from venti.log import arena as arenas
from venti.log import claim
from venti.log.clump import HEADER, pack_header
from venti.log.files import OsFolder
from venti.log.index import Place, pack_place
from venti.log.opening import open_disk_store

DATA = BlockType.DATA


def noise(count: int, size: int = 1000) -> list[bytes]:
    return [random.Random(n).randbytes(size) for n in range(count)]


async def fill(path: Path, written: list[bytes], arena_size: int = 1 << 30) -> None:
    async with open_disk_store(path, arena_size=arena_size) as store:
        for block in written:
            await store.write(DATA, block)


def arena(path: Path, number: int = 0) -> Path:
    return arenas.arena_path(path / "arenas", number)


FIELDS = {
    "magic": (0, 4),
    "type": (4, 1),
    "encoding": (5, 1),
    "zero": (6, 2),
    "stored": (8, 4),
    "size": (12, 4),
    "time": (16, 8),
    "score": (24, 20),
    "blake3": (44, 32),
    "crc": (76, 4),
    "data": (80, 1000),
}


@pytest.mark.expects_errors
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("index", [True, False])
async def test_a_flipped_bit_in_any_field(
    tmp_path: Path, field: str, index: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The block is damaged where the index or what is left of its header says so; its neighbours are untouched."""
    written = noise(3)
    await fill(tmp_path, written)
    path = arena(tmp_path)
    whole = path.read_bytes()
    start = arenas.START + HEADER + 1000
    first, length = FIELDS[field]
    for bit in random.Random(field).sample(range(length * 8), min(8, length * 8)):
        hurt = bytearray(whole)
        hurt[start + first + bit // 8] ^= 1 << bit % 8
        path.write_bytes(hurt)
        if not index:
            shutil.rmtree(tmp_path / "index")
        caplog.clear()
        async with open_disk_store(tmp_path) as store:
            with pytest.raises(DamagedBlock, match=str(Score.of(written[1]))):
                await store.read(Score.of(written[1]), DATA, 8192)
            for block in (written[0], written[2]):
                assert await store.read(Score.of(block), DATA, 8192) == block
        if index:
            assert f"arena 0 offset {start}" in caplog.text


@pytest.mark.expects_errors
async def test_a_block_that_looks_like_a_clump_is_no_clump(tmp_path: Path) -> None:
    """Bytes inside a block are never taken for a stored block, wherever the header of the true one is damaged."""
    lie = b"not what the score says" * 10
    claimed = b"the true block" * 10
    encoding, stored = compressed(lie)
    header = pack_header(DATA.wire, encoding, len(stored), len(lie), 1, Score.of(claimed), blake3(lie).digest())
    forged = b"".join((header, stored))
    carrier = random.Random(1).randbytes(100) + forged + random.Random(2).randbytes(100)
    await fill(tmp_path, [carrier, b"after"])
    path = arena(tmp_path)
    whole = bytearray(path.read_bytes())
    whole[arenas.START] ^= 1
    path.write_bytes(whole)
    shutil.rmtree(tmp_path / "index")
    async with open_disk_store(tmp_path) as store:
        with pytest.raises(BlockNotFound):
            await store.read(Score.of(claimed), DATA, 8192)
        assert await store.read(Score.of(b"after"), DATA, 8192) == b"after"


async def test_a_block_that_looks_like_a_seal_is_no_seal(tmp_path: Path) -> None:
    """An arena stays open however its last block ends."""
    source = random.Random(1)
    before = source.randbytes(500)
    footer = msgpack.packb({"format": 1, "number": 0, "clumps": 0, "end": 64, "blake3": bytes(32), "directory": b""})
    for length in (len(footer), len(footer) + 300, 1, 0):
        block = source.randbytes(600) + footer + length.to_bytes(8, "little") + arenas.SEAL
        path = tmp_path / str(length)
        await fill(path, [before, block])
        for _ in range(2):
            async with open_disk_store(path) as store:
                assert await store.read(Score.of(block), DATA, 8192) == block
                assert not store.log.is_sealed(0)
                await store.write(DATA, b"more")
            shutil.rmtree(path / "index")


async def test_sealed_arenas_are_read_only_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no right to write, and nothing opens them for writing any more."""
    await fill(tmp_path, noise(30), arena_size=5000)
    names = sorted(path.name for path in (tmp_path / "arenas").iterdir())
    assert len(names) > 4
    assert [arena(tmp_path, n).stat().st_mode & 0o222 for n in range(len(names) - 1)] == [0] * (len(names) - 1)
    assert arena(tmp_path, len(names) - 1).stat().st_mode & 0o200
    before = {name: (tmp_path / "arenas" / name).read_bytes() for name in names[:-1]}
    opened: list[tuple[str, bool]] = []
    original = OsFolder.open

    def note(folder: OsFolder, name: str, *, writable: bool) -> PositionedFile:
        opened.append((name, writable))
        return original(folder, name, writable=writable)

    monkeypatch.setattr(OsFolder, "open", note)
    shutil.rmtree(tmp_path / "index")
    async with open_disk_store(tmp_path, arena_size=5000) as store:
        for block in noise(40):
            assert await store.read(await store.write(DATA, block), DATA, 8192) == block
    assert {name for name, writable in opened if writable} == {names[-1], "synced"}
    assert before == {name: (tmp_path / "arenas" / name).read_bytes() for name in names[:-1]}


async def test_arenas_of_many_small_blocks_are_sealed_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their directories would be large; restarts change nothing about that."""
    monkeypatch.setattr("venti.log.log.MOST_CLUMPS", 100)
    for first in range(0, 1000, 30):
        await fill(tmp_path, [b"%d" % number for number in range(first, first + 30)])
    count = len(list((tmp_path / "arenas").iterdir()))
    assert 9 <= count <= 12


@pytest.mark.expects_errors
async def test_a_sealed_arena_that_lost_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is served as far as it goes, told of, and not touched: the rest may come back from a copy."""
    written = noise(12)
    await fill(tmp_path, written, arena_size=5000)
    path = arena(tmp_path)
    whole = path.read_bytes()
    path.chmod(0o600)
    os.truncate(path, 3000)
    path.chmod(0o400)
    async with open_disk_store(tmp_path, arena_size=5000) as store:
        assert await store.read(Score.of(written[0]), DATA, 8192) == written[0]
        with pytest.raises(DamagedBlock):
            await store.read(Score.of(written[3]), DATA, 8192)
        await store.write(DATA, written[3])
        assert await store.read(Score.of(written[3]), DATA, 8192) == written[3]
    assert "00000000.arena has lost its end" in caplog.text
    assert path.read_bytes() == whole[:3000]


async def test_short_reads_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = noise(20, 300)
    await fill(tmp_path, written, arena_size=3000)
    pread, preadv = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda descriptor, size, at: pread(descriptor, min(size, 29), at))
    monkeypatch.setattr(
        os,
        "preadv",
        lambda descriptor, buffers, at, flags: preadv(descriptor, [memoryview(buffers[0])[:50]], at, flags),
    )
    shutil.rmtree(tmp_path / "index")
    async with open_disk_store(tmp_path) as store:
        for block in written:
            assert await store.read(Score.of(block), DATA, 8192) == block


async def test_an_arena_whose_making_was_cut_short(tmp_path: Path) -> None:
    for content in (b"", b"ninegrid", bytes(64)):
        await fill(tmp_path, noise(3))
        last = max((tmp_path / "arenas").iterdir())
        number = int(last.stem) + 1
        arena(tmp_path, number).write_bytes(content)
        async with open_disk_store(tmp_path) as store:
            for block in noise(3):
                assert await store.read(Score.of(block), DATA, 8192) == block
            await store.write(DATA, content + b"x")
            assert store.log.tail.arena == number
            assert await store.read(Score.of(content + b"x"), DATA, 8192) == content + b"x"


@pytest.mark.parametrize("index", [True, False])
async def test_read_only(tmp_path: Path, index: bool) -> None:
    """Nothing is written, not even to cut a torn tail; several may read at once, and nobody may write meanwhile."""
    written = noise(12)
    await fill(tmp_path, written, arena_size=5000)
    last = max((tmp_path / "arenas").iterdir())
    with last.open("ab") as file:
        file.write(b"9clp, a torn tail")
    if not index:
        shutil.rmtree(tmp_path / "index")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    async with open_disk_store(tmp_path, read_only=True) as store, open_disk_store(tmp_path, read_only=True) as other:
        for block in written:
            assert await store.read(Score.of(block), DATA, 8192) == block
            assert await other.read(Score.of(block), DATA, 8192) == block
            with pytest.raises(ReadOnlyStore, match="read only"):
                await store.write(DATA, block)
        await store.sync()
        with pytest.raises(StoreInUse, match="another process"):
            await fill(tmp_path, written)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    async with open_disk_store(tmp_path):
        with pytest.raises(StoreInUse, match=str(os.getpid())):
            async with open_disk_store(tmp_path, read_only=True):
                pass
    with pytest.raises(NoStore, match="holds no store"):
        async with open_disk_store(tmp_path / "nothing", read_only=True):
            pass


async def test_the_number_of_a_dead_holder_is_not_told(tmp_path: Path) -> None:
    await fill(tmp_path, [b"x"])
    async with open_disk_store(tmp_path, read_only=True):
        (tmp_path / "lock").write_text("4194304999\n")
        with pytest.raises(StoreInUse, match="another process"):
            await fill(tmp_path, [b"x"])


@pytest.mark.expects_errors
async def test_damage_is_logged_once_and_forgotten_when_healed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written = noise(3)
    await fill(tmp_path, written)
    path = arena(tmp_path)
    whole = bytearray(path.read_bytes())
    whole[arenas.START + HEADER] ^= 1
    path.write_bytes(whole)
    async with open_disk_store(tmp_path) as store:
        for _ in range(3):
            with pytest.raises(DamagedBlock):
                await store.read(Score.of(written[0]), DATA, 8192)
        assert len(caplog.records) == 1
        found = next(store.log.clumps(0))
        assert isinstance(store.distrust(0, found, "seen by a scrub"), VentiError)
        await store.write(DATA, written[0])
        assert await store.read(Score.of(written[0]), DATA, 8192) == written[0]
        assert store.distrust(0, found, "seen by a scrub") is None


ENTRIES: dict[str, Callable[[Place], bytes]] = {
    "cut": lambda place: pack_place(*place)[:20],
    "empty place": lambda place: bytes(36),
    "offset": lambda place: pack_place(*place._replace(offset=1 << 63)),
    "far": lambda place: pack_place(*place._replace(offset=1 << 40)),
    "stored": lambda place: pack_place(*place._replace(stored=(1 << 32) - 1)),
    "size": lambda place: pack_place(*place._replace(size=(1 << 32) - 1)),
    "arena": lambda place: pack_place(*place._replace(arena=4000)),
    "digest": lambda place: pack_place(*place._replace(check=bytes(16))),
}


@pytest.mark.expects_errors
@pytest.mark.parametrize("what", ENTRIES)
async def test_a_damaged_entry_of_the_index(tmp_path: Path, what: str) -> None:
    """It is told for what it is, no bytes are wrong, no block is called a forgery, and writing the block heals."""
    written = noise(3)
    await fill(tmp_path, written)
    async with open_disk_store(tmp_path) as store:
        place = store.locate(Score.of(written[1]), DATA)
        assert place is not None
    environment = lmdb.open(str(tmp_path / "index"))
    with environment.begin(write=True) as transaction:
        transaction.put(Score.of(written[1]) + bytes((DATA.wire,)), ENTRIES[what](place))
    environment.close()
    async with open_disk_store(tmp_path) as store:
        with nullcontext() if what == "digest" else pytest.raises(DamagedBlock):
            assert await store.read(Score.of(written[1]), DATA, 8192) == written[1]
        if what != "empty place":
            await store.write(DATA, written[1])
            assert await store.read(Score.of(written[1]), DATA, 8192) == written[1]


@pytest.mark.expects_errors
async def test_an_index_that_fails_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody hears what is wrong and what to do, and nothing is taken for absent."""
    await fill(tmp_path, noise(3))
    async with open_disk_store(tmp_path) as store:

        def fails(key: bytes) -> bytes:
            raise lmdb.CorruptedError("a page is no page")

        monkeypatch.setattr(store._index, "_get", fails)
        monkeypatch.setattr(store._index, "renew", lambda: None)
        with pytest.raises(DamagedStore, match="rebuild-index"):
            await store.read(Score.of(noise(3)[1]), DATA, 8192)
        with pytest.raises(DamagedStore, match="rebuild-index"):
            await store.write(DATA, noise(3)[1])
        monkeypatch.undo()


async def test_a_format_that_nobody_knows(tmp_path: Path) -> None:
    """It is one that the arenas tell of as well."""
    await fill(tmp_path, noise(1))
    (tmp_path / "format").write_bytes(b"ninegrid venti store 2\n")
    head = bytearray(arena(tmp_path).read_bytes())
    head[16] = 2
    arena(tmp_path).write_bytes(head)
    with pytest.raises(DamagedStore, match="which this program does not know"):
        await fill(tmp_path, noise(1))
    assert (tmp_path / "format").read_bytes() == b"ninegrid venti store 2\n"


@pytest.mark.expects_errors
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"ninegrid venti store 2\n", b"ninegrid\0venti store 1\n"])
async def test_a_damaged_format_costs_nothing(tmp_path: Path, content: bytes | None, read_only: bool) -> None:
    await fill(tmp_path, noise(2))
    (tmp_path / "format").unlink()
    if content is not None:
        (tmp_path / "format").write_bytes(content)
    async with open_disk_store(tmp_path, read_only=read_only) as store:
        for block in noise(2):
            assert await store.read(Score.of(block), DATA, 8192) == block
    if not read_only:
        assert (tmp_path / "format").read_text() == claim.FORMAT


async def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "format").write_text("A5, landscape\n")
    with pytest.raises(DamagedStore, match="no store"):
        await fill(tmp_path, noise(1))
    assert (tmp_path / "format").read_text() == "A5, landscape\n"


@pytest.mark.expects_errors
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("at", [0, 5, 15, 16, 19, 20, 23, 24, 31, 32, 63])
async def test_a_damaged_head_costs_no_block(tmp_path: Path, at: int, read_only: bool) -> None:
    """Of any arena: the first, which is sealed, and the last. Opened to be written it is mended where it can be."""
    await fill(tmp_path, noise(30), arena_size=5000)
    last = len(list((tmp_path / "arenas").iterdir())) - 1
    before = {number: arena(tmp_path, number).read_bytes() for number in (0, last)}
    for number, whole in before.items():
        path = arena(tmp_path, number)
        mode = path.stat().st_mode
        path.chmod(0o600)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        path.chmod(mode)
    for index in (True, False):
        async with open_disk_store(tmp_path, arena_size=5000, read_only=read_only) as store:
            for block in noise(30):
                assert await store.read(Score.of(block), DATA, 8192) == block
            if not read_only:
                await store.write(DATA, b"more" * (1 + index))
        if not index or read_only:
            break
        shutil.rmtree(tmp_path / "index")
    if not read_only:
        for number, whole in before.items():
            # An arena without a clump yet is begun once more, at the time when that happens.
            length = arenas.START if len(whole) > arenas.START else 24
            head = arena(tmp_path, number).read_bytes()[:length]
            assert (head == whole[:length]) == (length == 24 or not 24 <= at < 32)
        assert not arena(tmp_path).stat().st_mode & 0o222


@pytest.mark.expects_errors
async def test_an_arena_of_zeros_costs_what_was_in_it(tmp_path: Path) -> None:
    written = noise(30)
    await fill(tmp_path, written, arena_size=5000)
    path = arena(tmp_path)
    lost = [block for block in written if compressed(block)[1] in path.read_bytes()]
    path.chmod(0o600)
    path.write_bytes(bytes(path.stat().st_size))
    path.chmod(0o400)
    async with open_disk_store(tmp_path, arena_size=5000) as store:
        for block in written:
            if block in lost:
                with pytest.raises(DamagedBlock):
                    await store.read(Score.of(block), DATA, 8192)
            else:
                assert await store.read(Score.of(block), DATA, 8192) == block


@pytest.mark.expects_errors
async def test_one_damaged_page_of_the_index(tmp_path: Path) -> None:
    """Costs what is on it: all else is found, and what is not says why."""
    written = noise(2000, 60)
    await fill(tmp_path, written)
    file = tmp_path / "index" / "data.mdb"
    pages = bytearray(file.read_bytes())
    leaves = [at for at in range(2 * 4096, len(pages), 4096) if pages[at + 10] == 2 and pages[at + 12] > 100]
    pages[leaves[1] + 10] = 0
    file.write_bytes(pages)
    async with open_disk_store(tmp_path) as store:
        told = []
        for block in written:
            try:
                assert await store.read(Score.of(block), DATA, 8192) == block
            except DamagedStore as error:
                told.append(str(error))
    assert 0 < len(told) < 200
    assert all("rebuild-index" in text for text in told)


@pytest.mark.expects_errors
@pytest.mark.parametrize("gone", [[2], [1, 2], [0, 1, 2]])
async def test_the_last_arenas_are_missed_too(
    tmp_path: Path, gone: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """What was synced there is known, and is not made anew in silence; an empty file says that it is lost."""
    written = noise(25)
    await fill(tmp_path, written, arena_size=10_000)
    assert arena(tmp_path, 2).exists()
    for number in range(3, 10):
        assert not arena(tmp_path, number).exists()
    for number in gone:
        arena(tmp_path, number).unlink()
    for read_only in (True, False):
        with pytest.raises(DamagedStore, match="are missing"):
            async with open_disk_store(tmp_path, read_only=read_only):
                pass
    assert all(not arena(tmp_path, number).exists() for number in gone)
    for number in gone:
        arena(tmp_path, number).touch()
    async with open_disk_store(tmp_path) as store:
        assert "00000002.arena ends" in caplog.text
        for block in written:
            await store.write(DATA, block)
            assert await store.read(Score.of(block), DATA, 60_000) == block
