"""Another venti, or an older state of the right one: it is noticed, and what it lacks is written again."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from types import CoroutineType

import pytest
import trio
from trio.testing import MockClock

from contracts.served_file import OWNER
from fakes.flaky_venti import FlakyVenti
from fossil.archive.eviction import Evictor
from fossil.archive.restored import restore
from fossil.errors import DamagedData, FossilError
from fossil.live.filesystem import ROOT, FileSystem
from fossil.past.history import ARCHIVE
from fossil.past.past import Past
from fossil.server.service import Fossil, open_fossil
from ninep.protocol import stat as st
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.stores.interface import BlockStore
from venti.stores.memory import MemoryStore
from venti.vac import label
from venti.vac.check import ArchiveFault, Checker

KIB = 1024
pytestmark = pytest.mark.expects_errors
"""A venti without our blocks is one."""


class Grid:
    """Ventis by address, and which of them a file system dials."""

    def __init__(self) -> None:
        self.ventis: dict[str, FlakyVenti] = {name: FlakyVenti() for name in ("a", "b", "c")}
        self.now = "a"

    def dial(self, address: str) -> AbstractAsyncContextManager[BlockStore]:
        return self.ventis[address].connect()

    @property
    def venti(self) -> FlakyVenti:
        return self.ventis[self.now]

    @asynccontextmanager
    async def opened(self, path: Path) -> AsyncIterator[Fossil]:
        async with open_fossil(
            path,
            owner=OWNER,
            open_store=lambda: self.dial(self.now),
            where=lambda: self.now,
            dial=self.dial,
            clock=trio.current_time,
        ) as fossil:
            yield fossil


def fill(system: FileSystem, seed: int, *, count: int = 30, size: int = 20 * KIB) -> dict[str, bytes]:
    source = random.Random(seed)
    found = {}
    for n in range(count):
        above = system.node(ROOT)
        if n % 3 == 0:
            above = system.create(above, f"d{seed}.{n}", st.DMDIR | 0o755, OWNER, OWNER)
        name = f"f{seed}.{n}"
        node = system.create(above, name, 0o644, OWNER, OWNER)
        found[name] = source.randbytes(size)
        system.write(node, 0, found[name], OWNER)
    system.commit()
    return found


async def archived(fossil: Fossil) -> str:
    fossil.history.take(ARCHIVE)
    await fossil.archiver.idle()
    score = fossil.history.last().score
    assert score
    return score


async def faults(store: BlockStore, score: str) -> list[ArchiveFault]:
    found: list[ArchiveFault] = []
    await Checker(store, found.append).run(label.parse(score))
    return found


async def all_whole(fossil: Fossil, venti: FlakyVenti) -> None:
    for snapshot in fossil.history.all(ARCHIVE):
        assert snapshot.score
        assert await faults(venti.store, snapshot.score) == []


async def content(view: FileSystem | Past, name: str) -> bytes:
    node = view.child(view.node(ROOT), name)
    assert node is not None
    data = view.read(node, 0, node.length)
    return bytes(await data if isinstance(data, CoroutineType) else data)


def older(venti: FlakyVenti, blocks: int) -> None:
    """What a copy of the store's disk had when it had so many blocks."""
    store = MemoryStore()
    store._blocks = dict(list(venti.store._blocks.items())[:blocks])
    venti.store = store


async def test_another_venti_gets_everything_from_the_one_before(tmp_path: Path, autojump_clock: MockClock) -> None:
    grid = Grid()
    async with grid.opened(tmp_path) as fossil:
        fill(fossil.system, 1)
        first = await archived(fossil)
        fill(fossil.system, 2)
        second = await archived(fossil)
    grid.now = "b"
    async with grid.opened(tmp_path) as fossil:
        with trio.fail_after(600):
            third = await archived(fossil)
        assert fossil.trust.lacking is None
        assert [one.score for one in fossil.history.all(ARCHIVE)] == [first, second, third]
        await all_whole(fossil, grid.ventis["b"])


LOSSES: list[tuple[str, Callable[[FlakyVenti, int], None]]] = [
    ("an empty one", lambda venti, then: older(venti, 0)),
    ("an older state", older),
    ("an older state with half an archive", lambda venti, then: older(venti, then + 40)),
]


@pytest.mark.parametrize(("name", "how"), LOSSES, ids=[name for name, _ in LOSSES])
@pytest.mark.parametrize("running", [False, True], ids=["at start", "at a redial"])
async def test_a_venti_that_lost_blocks_gets_them_from_here(
    tmp_path: Path, autojump_clock: MockClock, name: str, how: Callable[[FlakyVenti, int], None], running: bool
) -> None:
    grid = Grid()
    async with grid.opened(tmp_path) as fossil:
        fill(fossil.system, 1)
        await archived(fossil)
        then = len(grid.venti.store)
        files = fill(fossil.system, 2)
        await archived(fossil)
        if running:
            grid.venti.away = True
            await trio.sleep(100)
            how(grid.venti, then)
            grid.venti.away = False
            with suppress(FossilError):
                await archived(fossil)
            with trio.fail_after(600):
                await fossil.archiver.idle()
            await all_whole(fossil, grid.venti)
    if not running:
        how(grid.venti, then)
    async with grid.opened(tmp_path) as fossil:
        with trio.fail_after(600):
            await fossil.archiver.looked.wait()
            await fossil.archiver.idle()
        assert fossil.trust.lacking is None
        await all_whole(fossil, grid.venti)
        assert await content(fossil.history.past(fossil.history.all(ARCHIVE)[-1].epoch), "f2.1") == files["f2.1"]


async def test_a_block_in_the_middle_is_missed_by_chance(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Nothing is asked for that is not there, until somebody reads it."""
    grid = Grid()
    async with grid.opened(tmp_path) as fossil:
        files = fill(fossil.system, 1)
        await archived(fossil)
        await evictor(fossil).evict()
        del grid.venti.store._blocks[Score.of(files["f1.1"][:8192]), BlockType.DATA.wire]
        with pytest.raises(DamagedData):
            await content(fossil.system, "f1.1")
        assert fossil.trust.lacking is not None
        with pytest.raises(FossilError, match=r"lacks 1 things that are in no archive that answers.*f1.1"):
            await fossil.archiver.idle()
        # Nothing is claimed while that is so; and all is well when it is brought back.
        grid.venti.store.write_nowait(BlockType.DATA, files["f1.1"][:8192])
        await trio.sleep(100)
        with trio.fail_after(600):
            await fossil.archiver.idle()
        assert await content(fossil.system, "f1.1") == files["f1.1"]
        await all_whole(fossil, grid.venti)


def evictor(fossil: Fossil) -> Evictor:
    return Evictor(fossil.system, fossil.history, KIB, fossil.archiver.wake, fossil.away.has)


async def test_nothing_is_evicted_that_is_not_there(tmp_path: Path, autojump_clock: MockClock) -> None:
    grid = Grid()
    async with grid.opened(tmp_path) as fossil:
        files = fill(fossil.system, 1)
        await archived(fossil)
        older(grid.venti, 20)
        await evictor(fossil).evict()
        grid.venti.away = True
        await fossil.settle()
        here = 0
        for name in files:
            if int(name.partition(".")[2]) % 3:
                with suppress(FossilError):
                    assert await content(fossil.system, name) == files[name]
                    here += 1
        assert here > 10


async def test_evicted_data_comes_from_an_earlier_archive_or_is_missed_in_so_many_words(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    grid = Grid()
    async with grid.opened(tmp_path) as fossil:
        files = fill(fossil.system, 1)
        await archived(fossil)
        await evictor(fossil).evict()
    grid.now = "b"
    grid.ventis["a"].away = True
    async with grid.opened(tmp_path) as fossil:
        with pytest.raises(FossilError, match=r"venti b lacks .*venti a cannot be asked: nobody answers.*venti copy"):
            await fossil.archiver.idle()
        with pytest.raises(FossilError, match="lacks"):
            await archived(fossil)
        assert fossil.trust.lacking is not None
    async with grid.opened(tmp_path) as fossil:
        grid.ventis["a"].away = False
        with trio.fail_after(600):
            await fossil.archiver.idle()
        await all_whole(fossil, grid.ventis["b"])
        grid.ventis["a"].away = True
        for name in ("f1.1", "f1.2"):
            assert await content(fossil.system, name) == files[name]


async def test_it_goes_on_where_it_was(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fossil.archive.refill.PAGE", 5)
    grid = Grid()
    async with grid.opened(tmp_path) as fossil:
        fill(fossil.system, 1, count=60)
        score = await archived(fossil)
    grid.now = "b"
    grid.ventis["b"].fail_after = 150
    async with grid.opened(tmp_path) as fossil:
        with pytest.raises(FossilError, match="venti is away"):
            await fossil.archiver.idle()
        assert (fossil.trust.pending() or {}).get("place")
    before = grid.ventis["a"].reads
    grid.ventis["b"].away = False
    async with grid.opened(tmp_path) as fossil:
        await fossil.archiver.idle()
        await all_whole(fossil, grid.ventis["b"])
        assert fossil.history.last().score == score
    assert grid.ventis["a"].reads - before < 220
    # At yet another one it begins at the beginning.
    grid.now = "c"
    grid.ventis["c"].fail_after = 150
    async with grid.opened(tmp_path) as fossil:
        with pytest.raises(FossilError, match="venti is away"):
            await fossil.archiver.idle()
    older(grid.ventis["c"], 0)
    grid.ventis["c"].away = False
    async with grid.opened(tmp_path) as fossil:
        await fossil.archiver.idle()
        await all_whole(fossil, grid.ventis["c"])


async def test_a_venti_that_is_the_right_one_is_asked_little(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Also under another address, and whatever has been begun elsewhere."""
    grid = Grid()
    async with grid.opened(tmp_path) as fossil:
        fill(fossil.system, 1, count=200, size=KIB)
        await archived(fossil)
    grid.now = "b"
    grid.ventis["b"].fail_after = 20
    async with grid.opened(tmp_path) as fossil:
        with pytest.raises(FossilError, match="venti is away"):
            await fossil.archiver.idle()
        assert fossil.trust.lacking is not None
    grid.now = "c"
    grid.ventis["c"].store = grid.ventis["a"].store
    async with grid.opened(tmp_path) as fossil:
        with trio.fail_after(10):
            await fossil.archiver.idle()
        assert fossil.trust.lacking is None
    assert grid.ventis["c"].reads < 100
    assert grid.ventis["c"].written < 5


async def test_a_data_directory_without_marks(tmp_path: Path, autojump_clock: MockClock) -> None:
    """As programs before this one left it: half of its archives are elsewhere."""
    grid = Grid()
    async with grid.opened(tmp_path) as fossil:
        fill(fossil.system, 1)
        await archived(fossil)
        lost = set(grid.venti.store._blocks)
        fill(fossil.system, 2)
        await archived(fossil)
        fossil.system.database.execute("DELETE FROM venti")
    for key in lost:
        del grid.venti.store._blocks[key]
    async with grid.opened(tmp_path) as fossil:
        await fossil.archiver.idle()
        await fossil.archiver.idle()
        await all_whole(fossil, grid.venti)


async def test_a_file_system_that_came_from_an_archive(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Directories that nobody has looked into are brought to another venti as well."""
    grid = Grid()
    async with grid.opened(tmp_path / "first") as fossil:
        fill(fossil.system, 1)
        await archived(fossil)
        files = fill(fossil.system, 2)
        score = await archived(fossil)
    (tmp_path / "second").mkdir()
    await restore(tmp_path / "second", grid.venti.store, label.parse(score))
    async with grid.opened(tmp_path / "second") as fossil:
        await fossil.archiver.looked.wait()
        await trio.sleep(10)
    grid.now = "b"
    async with grid.opened(tmp_path / "second") as fossil:
        await fossil.archiver.idle()
        await fossil.archiver.idle()
        await all_whole(fossil, grid.ventis["b"])
        await archived(fossil)
        grid.ventis["a"].away = True
        await all_whole(fossil, grid.ventis["b"])
        children = fossil.system.children
        while True:
            try:
                names = children(fossil.system.node(ROOT))
                break
            except Exception as error:
                await fossil.lister.fetch(error)  # type: ignore[arg-type]
        assert "f2.1" in names
        assert await content(fossil.system, "f2.1") == files["f2.1"]


async def test_two_file_systems_on_one_venti(tmp_path: Path, autojump_clock: MockClock) -> None:
    grid = Grid()
    async with grid.opened(tmp_path / "one") as one, grid.opened(tmp_path / "other") as other:
        fill(one.system, 1)
        fill(other.system, 1)
        await archived(one)
        await archived(other)
        grid.venti.away = True
        await trio.sleep(100)
        older(grid.venti, 30)
        grid.venti.away = False
        for fossil in (one, other):
            with suppress(FossilError):
                await archived(fossil)
        for fossil in (one, other):
            with trio.fail_after(600):
                await fossil.archiver.idle()
            await all_whole(fossil, grid.venti)
