"""Every store passes the contract; the one on disk keeps its promises through crashes and damage."""

from __future__ import annotations

import errno
import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as some
from trio.testing import MockClock

from contracts.block_store import BlockStoreContract
from ninep.disk import PositionedFile
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import (
    BlockNotFound,
    DamagedBlock,
    DamagedStore,
    ScoreCollision,
    StoreFailed,
    StoreFull,
    StoreInUse,
)
from venti.blocks.score import Score
from venti.log import arena as arenas
from venti.log.clump import HEADER
from venti.log.files import OsFolder
from venti.log.index import LOCK_SIZE
from venti.log.opening import open_disk_store
from venti.log.space import PATIENCE
from venti.log.store import DiskStore
from venti.server import serve_stream
from venti.stores.interface import BlockStore
from venti.stores.memory import MemoryStore
from venti.stores.remote import connected

DATA = BlockType.DATA


class TestMemory(BlockStoreContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        yield MemoryStore()


class TestDisk(BlockStoreContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        with tempfile.TemporaryDirectory() as path:
            async with open_disk_store(path) as store:
                yield store


class TestSmallArenas(BlockStoreContract):
    """Arenas that are full after a few blocks."""

    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        with tempfile.TemporaryDirectory() as path:
            async with open_disk_store(path, arena_size=5000) as store:
                yield store


class Slow:
    """A store without the immediate methods."""

    def __init__(self) -> None:
        inner = MemoryStore()
        self.read, self.write, self.sync, self.aclose = inner.read, inner.write, inner.sync, inner.aclose


@pytest.mark.parametrize("version", ["02", "04"])
@pytest.mark.parametrize("inner", [MemoryStore, Slow])
class TestRemote(BlockStoreContract):
    @pytest.fixture(autouse=True)
    def _chosen(self, version: str, inner: type, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inner = inner
        monkeypatch.setattr("venti.protocol.handshake.LINE", f"venti-{version}-test\n".encode())

    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlockStore]:
        near, far = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_stream, far, self.inner())
            async with connected(near) as store:
                yield store


def blocks(count: int, seed: int = 0) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(source.randrange(1, 3000)) + bytes(source.randrange(500)) for _ in range(count)]


async def check(path: Path, written: list[bytes]) -> None:
    async with open_disk_store(path) as store:
        for block in written:
            assert await store.read(Score.of(block), DATA, 8192) == block


async def fill(path: Path, written: list[bytes], arena_size: int = 20_000) -> None:
    async with open_disk_store(path, arena_size=arena_size) as store:
        await write_all(store, written)


async def write_all(store: BlockStore, written: list[bytes]) -> None:
    for block in written:
        await store.write(DATA, block)


async def test_reopening(tmp_path: Path) -> None:
    written = blocks(100)
    await fill(tmp_path, written[:50])
    await fill(tmp_path, written[50:])
    await check(tmp_path, written)
    assert len(list((tmp_path / "arenas").iterdir())) > 3


async def test_sealed_arenas_verify_and_notice_damage(tmp_path: Path) -> None:
    await fill(tmp_path, blocks(100))
    path = arenas.arena_path(tmp_path / "arenas", 0)
    path.chmod(0o600)
    file = OsFolder(path.parent).open(path.name, writable=True)
    try:
        footer = arenas.verify_seal(file)
        assert footer["number"] == 0
        assert len(footer["directory"]) == footer["clumps"] * 37
        file.write((b"\xff",), 1000)
        with pytest.raises(DamagedStore):
            arenas.verify_seal(file)
    finally:
        file.close()


@pytest.mark.parametrize("how", ["deleted", "garbage", "empty"])
async def test_the_index_is_only_a_copy(tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    written = blocks(100)
    await fill(tmp_path, written)
    if how == "deleted":
        shutil.rmtree(tmp_path / "index")
    else:
        (tmp_path / "index" / "data.mdb").write_bytes(b"garbage" * 5000 if how == "garbage" else b"")
    await check(tmp_path, written)


@pytest.mark.expects_errors
async def test_index_ahead_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The disk kept the index and lost the end of the log: what is left is found, what is lost is told and missing."""
    written = blocks(20)
    await fill(tmp_path, written, arena_size=1 << 30)
    path = arenas.arena_path(tmp_path / "arenas", 0)
    os.truncate(path, path.stat().st_size - 100)
    async with open_disk_store(tmp_path) as store:
        for block in written[:-1]:
            assert await store.read(Score.of(block), DATA, 8192) == block
        with pytest.raises(BlockNotFound):
            await store.read(Score.of(written[-1]), DATA, 8192)
        await store.write(DATA, written[-1])
    assert "00000000.arena ends 100 bytes before what was safe in it" in caplog.text
    assert f"block {Score.of(written[-1])} was at arena 0 offset " in caplog.text
    await check(tmp_path, written)


async def test_a_torn_tail_is_cut_wherever_it_is_torn(tmp_path: Path) -> None:
    first, last = b"first" * 30, random.Random(1).randbytes(200)
    original = tmp_path / "original"
    await fill(original, [first, last])
    whole = arenas.arena_path(original / "arenas", 0).read_bytes()
    start = len(whole) - HEADER - len(last)
    for size in (*range(start, len(whole), 19), len(whole) - 1):
        for tail in (b"", bytes(len(whole) - size)):
            path = tmp_path / "copy"
            shutil.copytree(original, path)
            shutil.rmtree(path / "index")
            (path / "synced").unlink()
            arenas.arena_path(path / "arenas", 0).write_bytes(whole[:size] + tail)
            async with open_disk_store(path) as store:
                assert await store.read(Score.of(first), DATA, 8192) == first
                with pytest.raises(BlockNotFound):
                    await store.read(Score.of(last), DATA, 8192)
            assert arenas.arena_path(path / "arenas", 0).stat().st_size == start
            shutil.rmtree(path)


@pytest.mark.expects_errors
async def test_damage_in_the_middle_costs_what_it_hit(tmp_path: Path) -> None:
    written = blocks(5)
    await fill(tmp_path, written, arena_size=1 << 30)
    path = arenas.arena_path(tmp_path / "arenas", 0)
    whole = path.read_bytes()
    for at in range(arenas.START, arenas.START + HEADER + 40):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        shutil.rmtree(tmp_path / "index")
        async with open_disk_store(tmp_path) as store:
            with pytest.raises((DamagedBlock, BlockNotFound)):
                await store.read(Score.of(written[0]), DATA, 8192)
            for block in written[1:]:
                assert await store.read(Score.of(block), DATA, 8192) == block


@pytest.mark.expects_errors
async def test_damage_under_an_intact_index(tmp_path: Path) -> None:
    written = blocks(5)
    await fill(tmp_path, written, arena_size=1 << 30)
    path = arenas.arena_path(tmp_path / "arenas", 0)
    whole = path.read_bytes()
    for at in range(arenas.START, arenas.START + HEADER + 40):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        async with open_disk_store(tmp_path) as store:
            with pytest.raises(DamagedBlock, match="arena 0 offset 64"):
                await store.read(Score.of(written[0]), DATA, 8192)


@pytest.mark.expects_errors
async def test_writing_a_damaged_block_again_heals_it(tmp_path: Path) -> None:
    """Once the damage has been met; the new copy counts after a restart, too, and when the index is made anew."""
    written = blocks(5)
    await fill(tmp_path, written, arena_size=1 << 30)
    path = arenas.arena_path(tmp_path / "arenas", 0)
    whole = path.read_bytes()
    path.write_bytes(whole[: arenas.START + HEADER] + b"?" + whole[arenas.START + HEADER + 1 :])
    async with open_disk_store(tmp_path) as store:
        with pytest.raises(DamagedBlock):
            await store.read(Score.of(written[0]), DATA, 8192)
        assert await store.write(DATA, written[0]) == Score.of(written[0])
        assert await store.read(Score.of(written[0]), DATA, 8192) == written[0]
        await store.write(DATA, written[0])
    size = path.stat().st_size
    assert len(whole) < size <= len(whole) + HEADER + len(written[0])
    for _ in range(2):
        await check(tmp_path, written)
        shutil.rmtree(tmp_path / "index")
    await check(tmp_path, written)


async def test_two_at_once(tmp_path: Path) -> None:
    async with open_disk_store(tmp_path):
        with pytest.raises(StoreInUse, match=f"in use by process {os.getpid()}: stop it"):
            async with open_disk_store(tmp_path):
                pass


async def test_what_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "format").write_text("ninegrid venti store 99\n")
    with pytest.raises(DamagedStore, match="newer"):
        async with open_disk_store(tmp_path):
            pass


async def test_missing_arena(tmp_path: Path) -> None:
    await fill(tmp_path, blocks(100))
    arenas.arena_path(tmp_path / "arenas", 1).unlink()
    with pytest.raises(DamagedStore, match="missing: put them back, or an empty file"):
        async with open_disk_store(tmp_path):
            pass


@pytest.mark.expects_errors
async def test_an_arena_that_is_lost_for_good_costs_what_was_in_it(tmp_path: Path) -> None:
    written = blocks(100)
    await fill(tmp_path, written)
    path = arenas.arena_path(tmp_path / "arenas", 1)
    path.unlink()
    path.touch()
    lost = 0
    for _ in range(2):
        async with open_disk_store(tmp_path) as store:
            for block in written:
                try:
                    assert await store.read(Score.of(block), BlockType.DATA, 1 << 16) == block
                except (BlockNotFound, DamagedBlock):
                    lost += 1
                    await store.write(BlockType.DATA, block)
    assert 0 < lost < len(written) / 2


async def test_crash_while_sealing(tmp_path: Path) -> None:
    written = blocks(60)
    await fill(tmp_path, written)
    path = arenas.arena_path(tmp_path / "arenas", 0)
    whole = path.read_bytes()
    path.chmod(0o600)
    file = OsFolder(path.parent).open(path.name, writable=False)
    end = arenas.sealed_at(file)
    file.close()
    assert end is not None
    for size in (end, end + 1, len(whole) - 1):
        path.chmod(0o600)
        path.write_bytes(whole[:size])
        shutil.rmtree(tmp_path / "index")
        await check(tmp_path, written)
        assert path.read_bytes()[:end] == whole[:end]
        assert path.read_bytes().endswith(arenas.SEAL)


async def test_forged_collision(tmp_path: Path) -> None:
    """Two blocks under one SHA-1 are told apart, before and after the index has the first."""
    forged = Score(b"collides" + bytes(12))
    for _ in range(2):
        async with open_disk_store(tmp_path, score_of=lambda _: forged) as store:
            assert await store.write(DATA, b"one") == forged
            with pytest.raises(ScoreCollision, match=str(forged)):
                await store.write(DATA, b"two")
            assert await store.write(DATA, b"one") == forged
            assert await store.read(forged, DATA, 10) == b"one"


@pytest.mark.expects_errors
async def test_failed_sync_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = False

    def sync(file: PositionedFile) -> None:
        if broken:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(PositionedFile, "sync", sync)
    async with open_disk_store(tmp_path) as store:
        score = await store.write(DATA, b"safe")
        await store.sync()
        await store.write(DATA, b"doubtful")
        broken = True
        with pytest.raises(StoreFailed, match="fdatasync failed"):
            await store.sync()
        broken = False
        with pytest.raises(StoreFailed, match="restart"):
            await store.sync()
        with pytest.raises(StoreFailed, match="restart"):
            await store.write(DATA, b"more")
        assert await store.read(score, DATA, 10) == b"safe"
    await check(tmp_path, [b"safe"])


@pytest.mark.parametrize("kept", [0, 1, 79, 80, 500])
async def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int, autojump_clock: MockClock) -> None:
    """A write that the disk has no room for is refused; nothing of it stays, everything else does, and goes on."""
    async with open_disk_store(tmp_path) as store:
        await store.write(DATA, b"before")
        real = os.pwritev

        def pwritev(descriptor: int, pieces: list[bytes], offset: int) -> int:
            os.pwrite(descriptor, b"".join(pieces)[:kept], offset)
            raise OSError(errno.ENOSPC, "No space left on device")

        block = random.Random(1).randbytes(1000)
        monkeypatch.setattr(os, "pwritev", pwritev)
        with pytest.raises(StoreFull):
            await store.write(DATA, block)
        with pytest.raises(BlockNotFound):
            await store.read(Score.of(block), DATA, 1000)
        await store.write(DATA, b"before")
        await store.sync()
        monkeypatch.setattr(os, "pwritev", real)
        with pytest.raises(StoreFull):
            await store.write(DATA, block)
        await trio.sleep(PATIENCE)
        await store.write(DATA, block)
        await store.write(DATA, b"more")
    await check(tmp_path, [b"before", block, b"more"])


async def test_a_part_of_the_disk_is_left_alone(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The store stops before the disk is full, so that index and seals have room, and starts again by itself."""
    free = 10_000

    class Shrinking(OsFolder):
        def free(self) -> int:
            return free - sum(file.stat().st_size for file in (tmp_path / "arenas").iterdir())

    written = [random.Random(n).randbytes(1000) for n in range(20)]
    async with open_disk_store(tmp_path, folder=Shrinking, reserve=2000) as store:
        with pytest.raises(StoreFull):
            await write_all(store, written)
        taken = (tmp_path / "arenas/00000000.arena").stat().st_size
        assert free - 4000 < taken < free
        with pytest.raises(StoreFull, match="no space left"):
            await store.write(DATA, b"more")
        await trio.sleep(PATIENCE)
        with pytest.raises(StoreFull):
            await store.write(DATA, b"more")
        assert await store.read(Score.of(written[0]), DATA, 1000) == written[0]
        assert await store.write(DATA, written[0]) == Score.of(written[0])
        free = 100_000
        await trio.sleep(PATIENCE)
        await write_all(store, written)
    assert [record.message[:28] for record in caplog.records] == [
        "the disk is almost full: the",
        "there is room on the disk ag",
    ]
    await check(tmp_path, written)


async def test_short_writes_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwritev(descriptor: int, pieces: list[bytes], offset: int) -> int:
        return os.pwrite(descriptor, b"".join(pieces)[:37], offset)

    monkeypatch.setattr(os, "pwritev", pwritev)
    written = blocks(20)
    await fill(tmp_path, written)
    await check(tmp_path, written)


async def test_many_entries_reach_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("venti.log.store.BATCH", 50)
    written = [b"%d" % n for n in range(1000)]
    async with open_disk_store(tmp_path) as store:
        for number, block in enumerate(written):
            await store.write(DATA, block)
            if number % 60 == 0:
                await trio.sleep(0.002)
                assert await store.read(Score.of(written[number // 2]), DATA, 10) == written[number // 2]
        assert store._index.covered is not None
    await check(tmp_path, written)


@given(
    some.lists(
        some.one_of(
            some.tuples(some.just("write"), some.integers(0, 30)),
            some.tuples(some.just("sync"), some.just(0)),
            some.tuples(some.just("reopen"), some.just(0)),
            some.tuples(some.just("crash"), some.integers(0, 2000)),
        ),
        max_size=25,
    )
)
def test_what_was_synced_survives_any_crash(steps: list[tuple[str, int]]) -> None:
    """A crash loses up to so many bytes of what was not synced, and never more; what is there is right."""

    async def scene(path: Path) -> None:
        safe: set[int] = set()
        maybe: set[int] = set()
        synced: dict[str, int] = {}
        content = {n: random.Random(n).randbytes(20 + n * 17) for n in range(31)}
        queue = [*steps, ("crash", 300)]
        while queue:
            async with open_disk_store(path / "store", arena_size=1500) as store:
                assert isinstance(store, DiskStore)
                for n in content:
                    try:
                        assert await store.read(Score.of(content[n]), DATA, 8192) == content[n]
                        maybe.add(n)
                    except BlockNotFound:
                        assert n not in safe
                        maybe.discard(n)
                while queue:
                    action, number = queue.pop(0)
                    if action == "write":
                        await store.write(DATA, content[number])
                        maybe.add(number)
                    elif action == "sync":
                        await store.sync()
                        safe |= maybe
                        synced = {file.name: file.stat().st_size for file in (path / "store" / "arenas").iterdir()}
                    elif action == "reopen":
                        safe |= maybe
                        break
                    else:
                        shutil.copytree(path / "store", path / "crashed")
                        last = max((path / "crashed" / "arenas").iterdir())
                        least = synced.get(last.name, arenas.START)
                        os.truncate(last, max(least, last.stat().st_size - number))
                        break
            if (path / "crashed").exists():
                shutil.rmtree(path / "store")
                (path / "crashed").rename(path / "store")
            else:
                synced = {file.name: file.stat().st_size for file in (path / "store" / "arenas").iterdir()}

    with tempfile.TemporaryDirectory() as folder:
        trio.run(scene, Path(folder))


async def test_the_index_has_the_room_that_it_maps(tmp_path: Path) -> None:
    """A hole in what is mapped kills the process where the disk is full."""
    await fill(tmp_path, blocks(1))
    status = (tmp_path / "index/lock.mdb").stat()
    assert status.st_blocks * 512 >= status.st_size >= LOCK_SIZE
    (tmp_path / "index/lock.mdb").unlink()
    os.close(os.open(tmp_path / "index/lock.mdb", os.O_CREAT, 0o600))
    os.truncate(tmp_path / "index/lock.mdb", 640)
    await fill(tmp_path, blocks(2))
    status = (tmp_path / "index/lock.mdb").stat()
    assert status.st_blocks * 512 >= status.st_size >= LOCK_SIZE


async def test_a_disk_without_room_for_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reserve(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PositionedFile, "reserve", reserve)
    with pytest.raises(OSError, match=r"No space left on device: .*lock.mdb"):
        await fill(tmp_path, blocks(1))
    monkeypatch.undo()
    await fill(tmp_path, blocks(1))
