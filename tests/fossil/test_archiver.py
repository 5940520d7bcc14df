"""Archives: what is in them, what they cost, and what becomes of them when venti or the server goes away."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from contracts.served_file import OWNER
from fakes.flaky_venti import FlakyVenti
from fakes.ninep_client import Raw, connected
from fossil.errors import FossilError, NoSnapshot
from fossil.live.filesystem import ROOT, FileSystem
from fossil.metadata.node import Node
from fossil.past.history import ARCHIVE, SNAPSHOT
from fossil.server.service import Fossil, open_fossil
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from venti.vac import label
from venti.vac.reader import VacFile, VacReader, open_archive


@asynccontextmanager
async def opened(path: Path, venti: FlakyVenti) -> AsyncIterator[Fossil]:
    async with open_fossil(path, owner=OWNER, open_store=venti.connect, clock=trio.current_time) as fossil:
        yield fossil


@asynccontextmanager
async def client(fossil: Fossil, aname: str = "") -> AsyncIterator[Raw]:
    async with connected(fossil.tree, OWNER, aname=aname) as raw:
        yield raw


async def archived(fossil: Fossil) -> str:
    """Takes an archive and waits until it is in venti; its score."""
    fossil.history.take(ARCHIVE)
    await fossil.archiver.idle()
    score = fossil.history.last().score
    assert score is not None
    return score


async def reader(venti: FlakyVenti, score: str) -> VacReader:
    return await open_archive(venti.store, label.parse(score))


async def tree_of(file: VacFile) -> dict[str, bytes | None]:
    """Path to content, None for a directory, of everything below."""
    found: dict[str, bytes | None] = {}
    for inner in await file.files():
        path = inner.path.removeprefix(file.path).lstrip("/")
        found[path] = None if inner.info.directory else await inner.read(0, inner.size)
        if inner.info.directory:
            found |= {f"{path}/{name}": data for name, data in (await tree_of(inner)).items()}
    return found


def fill(system: FileSystem, parent: Node, count: int, size: int = 100) -> None:
    for n in range(count):
        node = system.create(parent, f"f{n:05}", 0o644, OWNER, OWNER)
        system.write(node, 0, b"%d" % n * size, OWNER)
    system.commit()


async def test_one_score_has_the_whole_past(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil, client(fossil) as raw:
        await raw.made("dir", perm=st.DMDIR | 0o755)
        await raw.made("dir", "file", data=b"first")
        await raw.made("log", data=b"x", perm=st.DMAPPEND | 0o644)
        await raw.made("scratch", data=b"temporary", perm=st.DMTMP | 0o644)
        first = await archived(fossil)
        fid = await raw.open("dir", "file", mode=m.OWRITE)
        await raw.ask(m.Twrite(fid, 0, b"second"))
        fossil.history.take(SNAPSHOT)
        second = await archived(fossil)
        stat = await raw.stat("dir", "file")
    archive = await reader(venti, second)
    assert archive.root.name == "fossil"
    assert archive.root.previous == label.parse(first)
    assert archive.top.info.qid_space is not None
    assert archive.top.info.qid_space.limit > stat.qid.path
    found = await tree_of(archive.top)
    days = sorted(name for name in found if name.count("/") == 2 and name.startswith("archive/"))
    assert days == [days[0], f"{days[0]}.1"]
    assert found["active/dir/file"] == b"second"
    assert found[f"{days[0]}/dir/file"] == b"first"
    assert found[f"{days[1]}/dir/file"] == b"second"
    assert found["snapshot"] is None
    assert "active/scratch" not in found
    entry = (await archive.walk(["active", "dir", "file"])).info
    assert (entry.qid, entry.mcount, entry.mtime) == (stat.qid.path, stat.qid.version, stat.mtime)
    assert (await archive.walk(["active", "log"])).info.mode & 0o777 == 0o644


async def test_the_cost_follows_the_change(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil:
        system = fossil.system
        root = system.node(ROOT)
        for n in range(20):
            fill(system, system.create(root, f"dir{n}", st.DMDIR | 0o755, OWNER, OWNER), 50)
        await archived(fossil)
        everything = venti.written
        await archived(fossil)
        assert venti.written - everything < 20
        nothing = venti.written
        changed = system.child(system.node(ROOT), "dir7")
        assert changed is not None
        node = system.child(changed, "f00007")
        assert node is not None
        system.write(node, 0, b"changed", OWNER)
        score = await archived(fossil)
        assert everything > 1000
        assert venti.written - nothing < 20
    archive = await reader(venti, score)
    assert (await (await archive.walk(["active", "dir7", "f00007"])).read(0, 7)) == b"changed"
    assert len(await (await archive.walk(["active", "dir3"])).files()) == 50


CHANGES: list[tuple[str, Callable[[FileSystem, Node, bytearray], None]]] = []


def change(function: Callable[[FileSystem, Node, bytearray], None]) -> None:
    CHANGES.append((function.__name__, function))


@change
def a_byte(system: FileSystem, node: Node, content: bytearray) -> None:
    system.write(node, 2_000_001, b"!", OWNER)
    content[2_000_001:2_000_002] = b"!"


@change
def the_end(system: FileSystem, node: Node, content: bytearray) -> None:
    system.write(node, len(content), b"more" * 5000, OWNER)
    content += b"more" * 5000


@change
def cut_within_a_leaf(system: FileSystem, node: Node, content: bytearray) -> None:
    system.truncate(node, 1_500_001, OWNER, counts=True)
    del content[1_500_001:]


@change
def cut_and_grown(system: FileSystem, node: Node, content: bytearray) -> None:
    system.truncate(node, 1_500_001, OWNER, counts=True)
    system.truncate(node, 1_600_000, OWNER, counts=True)
    del content[1_500_001:]
    content += bytes(1_600_000 - len(content))


@change
def a_hole_at_the_end(system: FileSystem, node: Node, content: bytearray) -> None:
    system.truncate(node, 5_000_000, OWNER, counts=True)
    content += bytes(5_000_000 - len(content))


@change
def nothing_but_the_mode(system: FileSystem, node: Node, content: bytearray) -> None:
    node.set_mode(0o600)
    system.touch(node)


@change
def everything(system: FileSystem, node: Node, content: bytearray) -> None:
    system.truncate(node, 0, OWNER, counts=True)
    system.write(node, 0, b"other" * 250_000, OWNER)
    content[:] = b"other" * 250_000


@pytest.mark.parametrize(("name", "how"), CHANGES)
async def test_a_large_file_keeps_the_leaves_that_did_not_change(
    tmp_path: Path, autojump_clock: MockClock, name: str, how: Callable[[FileSystem, Node, bytearray], None]
) -> None:
    venti = FlakyVenti()
    content = bytearray(random.Random(1).randbytes(3_000_000))
    async with opened(tmp_path, venti) as fossil:
        system = fossil.system
        node = system.create(system.node(ROOT), "large", 0o644, OWNER, OWNER)
        system.write(node, 0, content, OWNER)
        await archived(fossil)
        before = venti.written
        how(system, node, content)
        score = await archived(fossil)
        if name != "everything":
            assert venti.written - before < 40
    file = await (await reader(venti, score)).walk(["active", "large"])
    assert file.size == len(content)
    assert await file.read(0, len(content)) == content


async def test_a_sparse_file_costs_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil:
        system = fossil.system
        node = system.create(system.node(ROOT), "sparse", 0o644, OWNER, OWNER)
        system.truncate(node, 1 << 43, OWNER, counts=True)
        system.write(node, 1 << 42, b"in the middle", OWNER)
        score = await archived(fossil)
    file = await (await reader(venti, score)).walk(["active", "sparse"])
    assert file.size == 1 << 43
    assert await file.read((1 << 42) - 2, 20) == b"\0\0in the middle\0\0\0\0\0"


async def test_deep_trees(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil:
        system = fossil.system
        node = system.node(ROOT)
        for _ in range(1500):
            node = system.create(node, "d", st.DMDIR | 0o755, OWNER, OWNER)
        score = await archived(fossil)
    archive = await reader(venti, score)
    assert (await archive.walk(["active", *["d"] * 1500])).info.directory


async def test_venti_goes_away_in_the_middle_and_comes_back(tmp_path: Path, autojump_clock: MockClock) -> None:
    """What it had acknowledged is not sent again; clients notice nothing; nothing has to be restarted."""
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil, client(fossil) as raw:
        fill(fossil.system, fossil.system.node(ROOT), 3000)
        venti.fail_after = 2000
        fossil.history.take(ARCHIVE)
        with pytest.raises(FossilError, match="venti is away"):
            await fossil.archiver.idle()
        await raw.made("meanwhile", data=b"still served")
        assert await raw.content("meanwhile") == b"still served"
        await trio.sleep(600)
        assert fossil.archiver.trouble is not None
        assert fossil.history.waiting()
        venti.away = False
        await trio.sleep(120)
        assert fossil.archiver.trouble is None
        assert not fossil.history.waiting()
        score = fossil.history.last().score
        assert score is not None
        assert venti.written < 3000 + 700
    found = await tree_of((await reader(venti, score)).top)
    assert sum(name.startswith("active/f") for name in found) == 3000
    assert found["active/f01234"] == b"1234" * 100


async def test_a_venti_that_says_nothing_more_is_dialled_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    """As after a cut line, or when its machine lost its power: nobody tells that the connection is lost."""
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil:
        fill(fossil.system, fossil.system.node(ROOT), 3000)
        venti.mute_after = 2000
        fossil.history.take(ARCHIVE)
        with trio.fail_after(300):
            with pytest.raises(FossilError, match="it does not answer"):
                await fossil.archiver.idle()
            await trio.sleep(60)
        assert not fossil.history.waiting()
        score = fossil.history.last().score
        assert score is not None
        assert venti.dialled == 2
    assert (await tree_of((await reader(venti, score)).top))["active/f01234"] == b"1234" * 100


async def test_an_archive_goes_on_after_a_restart(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil:
        fill(fossil.system, fossil.system.node(ROOT), 2000)
        fossil.history.take(ARCHIVE)
        venti.fail_after = 1500
        with pytest.raises(FossilError):
            await fossil.archiver.idle()
    venti.away = False
    before = venti.written
    async with opened(tmp_path, venti) as fossil:
        await fossil.archiver.idle()
        assert fossil.history.last().score is not None
    assert before < 1600
    assert venti.written - before < 1200


async def test_started_before_venti(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    venti.away = True
    async with opened(tmp_path, venti) as fossil:
        fossil.history.take(ARCHIVE)
        fossil.archiver.wake()
        await trio.sleep(300)
        assert fossil.history.waiting()
        venti.away = False
        await trio.sleep(120)
        assert not fossil.history.waiting()
        # It is closed when nobody needs it, and dialled anew when somebody does.
        dialled = venti.dialled
        await trio.sleep(60)
        await archived(fossil)
        assert venti.dialled > dialled


async def test_progress_is_visible(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil:
        fill(fossil.system, fossil.system.node(ROOT), 2000)
        taken = fossil.history.take(ARCHIVE)
        seen: list[int] = []
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                while True:
                    progress = fossil.archiver.progress
                    if progress is not None:
                        assert progress.name == f"/archive/{taken.name}"
                        seen.append(progress.files)
                    await trio.lowlevel.checkpoint()

            nursery.start_soon(watch)
            await fossil.archiver.idle()
            nursery.cancel_scope.cancel()
    assert fossil.archiver.progress is None
    assert len(set(seen)) >= 3
    assert sorted(seen) == seen


async def test_an_unfinished_archive_holds_up_no_expiry(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    venti.away = True
    async with opened(tmp_path, venti) as fossil, client(fossil) as raw:
        fossil.history.take(ARCHIVE)
        await raw.made("big", data=os.urandom(60_000))
        fossil.history.take(SNAPSHOT)
        await raw.ask(m.Tremove(await raw.walk("big")))
        await fossil.settle()
        assert (tmp_path / "data").stat().st_blocks * 512 > 60_000
        assert fossil.history.expire(fossil.system.now() + 1) == 1
        while fossil.history.sweep():
            pass
        await fossil.settle()
        assert (tmp_path / "data").stat().st_blocks * 512 < 60_000
        assert len(fossil.history.waiting()) == 1


async def test_an_archive_that_is_given_up_holds_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    """So that there is a way out where the disk is full and an archive cannot be written for that."""
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil, client(fossil) as raw:
        await raw.made("file", data=os.urandom(60_000))
        for _ in range(2):
            venti.fail_after = 0
            taken = fossil.history.take(ARCHIVE)
            with pytest.raises(FossilError, match="venti is away"):
                await fossil.archiver.idle()
            fossil.history.forget([taken.epoch])
            assert not fossil.history.waiting()
            venti.away = False
            await trio.sleep(120)
            assert fossil.archiver.trouble is None
        await raw.ask(m.Tremove(await raw.walk("file")))
        for _ in range(3):
            await fossil.settle()
            while fossil.history.sweep():
                pass
        assert fossil.system.log.used() < 60_000
        score = await archived(fossil)
        assert [one.score for one in fossil.history.all(ARCHIVE)] == [score]


async def test_an_archive_that_is_given_up_while_it_is_written(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil:
        fill(fossil.system, fossil.system.node(ROOT), 3000)
        taken = fossil.history.take(ARCHIVE)
        fossil.archiver.wake()
        while not venti.written:
            await trio.lowlevel.checkpoint()
        assert fossil.archiver.progress is not None
        fossil.history.forget([taken.epoch])
        await trio.sleep(120)
        assert fossil.archiver.trouble is None
        assert fossil.history.all(ARCHIVE) == []
        with pytest.raises(NoSnapshot):
            fossil.history.last()
        assert (await tree_of((await reader(venti, await archived(fossil))).top))["active/f01234"] == b"1234" * 100


@pytest.mark.parametrize("now", [6_500_000_000, -300_000_000])
async def test_a_clock_that_is_far_off(tmp_path: Path, now: float, autojump_clock: MockClock) -> None:
    """Before 1970 and after 2106 archives and directories tell the nearest time that they can; nothing waits for it."""
    venti = FlakyVenti()
    for clock in (lambda: now, lambda: 1_700_000_000):
        async with open_fossil(tmp_path, owner=OWNER, open_store=venti.connect, clock=clock) as fossil:
            system = fossil.system
            node = system.create(system.node(ROOT), f"file-{clock()}", 0o644, OWNER, OWNER)
            system.write(node, 0, b"content", OWNER)
            score = await archived(fossil)
            async with client(fossil, "main/archive") as raw:
                (year, *_) = fossil.history.last().name.split("/")
                assert 0 <= (await raw.stat(year)).mtime < 1 << 32
    found = await tree_of((await reader(venti, score)).top)
    assert found[f"active/file-{now}"] == b"content"
    assert sum(name.startswith("archive/") and name.endswith(f"/file-{now}") for name in found) == 2
