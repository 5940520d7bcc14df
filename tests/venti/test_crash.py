"""The store on disk opened after a crash at every moment: what was synced is there, and nothing is invented."""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from fakes.recorded_disk import RecordedDisk
from programs.quick_disk import quick_path
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, StoreFailed, StoreFull
from venti.blocks.score import Score
from venti.log.arena import START, Gap, is_whole
from venti.log.index import Index
from venti.log.log import Position
from venti.log.opening import open_disk_store
from venti.log.store import DiskStore

__all__ = ["quick_path"]

DATA = BlockType.DATA
ARENA = 9000


def block(number: int) -> bytes:
    """Of many sizes, some of them compressible."""
    source = random.Random(number)
    return source.randbytes(source.randrange(1, 1500)) + bytes(source.choice((0, 0, 2000)))


BLOCKS = {Score.of(block(number)): block(number) for number in range(60)}
NUMBERED = list(BLOCKS)


class Promises:
    """What a store has answered, each with the number of steps that its disk had taken by then."""

    def __init__(self) -> None:
        self.acknowledged: list[tuple[int, Score]] = []
        self.synced: list[tuple[int, set[Score]]] = []
        self.indexes: list[tuple[int, Path]] = []

    def answered_by(self, steps: int) -> set[Score]:
        return {score for at, score in self.acknowledged if at <= steps}

    def synced_by(self, steps: int) -> set[Score]:
        return set().union(*(scores for at, scores in self.synced if at <= steps))


@asynccontextmanager
async def opened(path: Path, disk: RecordedDisk, index: Path | None = None) -> AsyncIterator[DiskStore]:
    """A store with its arenas on ``disk``, and its index a copy of ``index`` if there is one."""
    shutil.rmtree(path, ignore_errors=True)
    (path / "arenas").mkdir(parents=True)
    (path / "format").write_text("ninegrid venti store 1\n")
    if index is not None:
        shutil.copytree(index, path / "index")
    async with open_disk_store(path, folder=lambda _: disk, arena_size=ARENA, clock=lambda: 1.0) as store:
        yield store


async def life(path: Path, disk: RecordedDisk, monkeypatch: pytest.MonkeyPatch) -> Promises:
    """Writes, repeats, syncs and seals some arenas; keeps every state of the index."""
    promises = Promises()
    source = random.Random(3)
    original = Index.write

    def write(index: Index, batch: dict[bytes, bytes], covered: Position) -> None:
        original(index, batch, covered)
        copy = path / f"index-{len(promises.indexes)}"
        shutil.copytree(path / "store/index", copy)
        promises.indexes.append((len(disk.steps), copy))

    with monkeypatch.context() as patch:
        patch.setattr(Index, "write", write)
        patch.setattr("venti.log.store.BATCH", 12)
        async with opened(path / "store", disk) as store:
            for number, score in enumerate(NUMBERED):
                assert await store.write(DATA, BLOCKS[score]) == score
                promises.acknowledged.append((len(disk.steps), score))
                if source.random() < 0.3:
                    await store.write(DATA, BLOCKS[NUMBERED[number // 2]])
                if source.random() < 0.25:
                    before = promises.answered_by(len(disk.steps))
                    await store.sync()
                    promises.synced.append((len(disk.steps), before))
                await trio.sleep(0.001)
    return promises


async def check(path: Path, disk: RecordedDisk, index: Path | None, certain: set[Score]) -> None:
    """Opens what a crash left, compares it with the promises, goes on with it, and compares again."""
    async with opened(path, disk, index) as store:
        for score, data in BLOCKS.items():
            try:
                assert await store.read(score, DATA, 8192) == data
            except BlockNotFound:
                assert score not in certain
        gaps: list[Gap] = []
        for number in store.log.numbers:
            left = list(store.log.clumps(number, gaps=gaps))
            assert {found.clump.score for found in left} <= BLOCKS.keys()
            # Nothing is left that looks like damage: none was done.
            assert all(is_whole(store.log.file(number), found) for found in left)
        assert gaps == []
        for score, data in BLOCKS.items():
            assert await store.write(DATA, data) == score
        await store.sync()
        kept = disk.after_power_loss(len(disk.steps), random.Random(1))
    async with opened(path, kept) as store:
        for score, data in BLOCKS.items():
            assert await store.read(score, DATA, 8192) == data


async def test_every_prefix(quick_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash after each step that the disk took: of the process alone, and of the power with writes lost and torn."""
    disk = RecordedDisk()
    promises = await life(quick_path, disk, monkeypatch)
    assert len(disk.names()) > 3
    assert len(promises.indexes) > 2
    assert len(promises.synced) > 8
    for count in range(len(disk.steps) + 1):
        source = random.Random(count)
        indexes = [copy for at, copy in promises.indexes if at <= count]
        index = source.choice([None, *indexes[-2:]])
        await check(quick_path / "killed", disk.after_kill(count), index, promises.answered_by(count))
        for _ in range(2):
            found = disk.after_power_loss(count, source)
            index = source.choice([None, *indexes[-2:]])
            await check(quick_path / "cut", found, index, promises.synced_by(count))


@pytest.mark.expects_errors
@pytest.mark.parametrize("which", range(6))
async def test_failed_sync(quick_path: Path, monkeypatch: pytest.MonkeyPatch, which: int) -> None:
    """The system drops what it could not write: what was promised before is there, and nothing is promised after."""
    disk = RecordedDisk()
    syncs = 0

    def fails(name: str) -> bool:
        nonlocal syncs
        if len(disk.files[name]) <= START:
            return False  # A new arena that fails is removed again: nothing was promised about it.
        syncs += 1
        return syncs == 3 + which * 2

    disk.sync_fails = fails
    certain: set[Score] = set()
    written: set[Score] = set()
    failed = False
    monkeypatch.setattr("venti.log.store.BATCH", 12)
    async with opened(quick_path / "store", disk) as store:
        for number, (score, data) in enumerate(BLOCKS.items()):
            try:
                await store.write(DATA, data)
                written.add(score)
                if number % 5 == 4:
                    before = set(written)
                    await store.sync()
                    certain |= before
            except StoreFailed:
                failed = True
            else:
                assert not failed, "a store that failed must not take anything"
            await trio.sleep(0.001)
        assert failed
        steps = len(disk.steps)
    assert [step for step in disk.steps[steps:] if step.what != "protect"] == []
    for seed in range(20):
        await check(quick_path / "cut", disk.after_power_loss(steps, random.Random(seed)), None, certain)


async def test_full_disk_at_every_byte(quick_path: Path) -> None:
    """However little room there was: what was answered is there, what was refused is not, and it goes on with room."""
    for room in range(100, 8000, 371):
        disk = RecordedDisk()
        answered: set[Score] = set()
        async with opened(quick_path / "store", disk) as store:
            disk.room = room
            for score, data in BLOCKS.items():
                try:
                    answered.add(await store.write(DATA, data))
                except StoreFull:
                    with pytest.raises(BlockNotFound):
                        await store.read(score, DATA, 8192)
            for score in answered:
                assert await store.read(score, DATA, 8192) == BLOCKS[score]
            await store.sync()
            count = len(disk.steps)
            disk.room = None
        assert len(answered) < len(BLOCKS)
        await check(quick_path / "cut", disk.after_power_loss(count, random.Random(room)), None, answered)
