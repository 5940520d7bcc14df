"""Qid paths: one for each file of a whole tree with its past, the same as long as the file is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as some
from trio.testing import MockClock

from contracts.served_file import OWNER
from contracts.walked_tree import all_of, check_unique
from fakes.flaky_venti import FlakyVenti
from fakes.ninep_client import connected
from fossil.archive.restored import restore
from fossil.past.history import ARCHIVE, SNAPSHOT
from fossil.past.qidspace import SHELVES, offset_of, past_path, shelf_path
from fossil.server.service import open_fossil
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.stat import Stat, unpack_directory
from programs.opened_fossil import Opened, client
from venti.stores.memory import MemoryStore
from venti.stores.write_behind import write_behind
from venti.vac import label
from venti.vac import mode as modes
from venti.vac.direntry import DirEntry, QidSpace
from venti.vac.reader import VacFile, open_archive
from venti.vac.writer import VacWriter

epochs = some.integers(1, 2**32 - 1)
paths = some.integers(1, 2**26 - 1)


@given(epochs, paths, epochs, paths)
def test_no_two_files_of_snapshots_have_one(epoch: int, path: int, other: int, different: int) -> None:
    one, two = past_path(epoch, path), past_path(other, different)
    assert (one == two) == ((epoch, path) == (other, different))
    assert one == offset_of(epoch) + path
    assert 1 << 62 <= one < 1 << 63


@pytest.mark.parametrize("epoch", [1, 2, 3, 1 << 20, (1 << 20) - 1, (1 << 32) - 1])
def test_spaces_end_where_the_next_begin(epoch: int) -> None:
    bits = 57 - (epoch.bit_length() - 1)
    last = past_path(epoch, (1 << bits) - 1)
    assert last == offset_of(epoch) + (1 << bits) - 1
    assert last < offset_of(epoch + 1)
    assert past_path(epoch, 1 << bits) >> 63 == 1, "what has no room there is elsewhere"


@given(some.integers(1 << 32, 1 << 62), some.integers(1, 1 << 62))
def test_numbers_beyond_all_bounds(epoch: int, path: int) -> None:
    assert 1 << 63 <= past_path(epoch, path) < 1 << 64
    assert past_path(epoch, path) == past_path(epoch, path)
    assert past_path(epoch, path) != past_path(epoch + 1, path)


def test_shelves_whose_names_have_one_checksum() -> None:
    """These two have one CRC-32."""
    assert shelf_path(("archive", "plumless")) != shelf_path(("archive", "buckeroo"))
    assert SHELVES <= shelf_path(("archive", "2026")) < 2 * SHELVES


async def _with_a_past(opened: Opened) -> None:
    async with client(opened) as raw:
        await raw.made("file", data=b"first")
        await raw.made("dir", perm=st.DMDIR | 0o755)
        await raw.made("dir", "inner", data=b"x")
    history = opened.history
    history.take(SNAPSHOT, "2026/1101/0900")
    history.take(ARCHIVE, "2026/1101")
    async with client(opened) as raw:
        await raw.made("dir", "later", data=b"y")
        await raw.ask(m.Twrite(await raw.open("file", mode=m.OWRITE), 0, b"second"))
    first = history.find(SNAPSHOT, "2026/1101/0900")
    assert first is not None
    history.take(SNAPSHOT, "2026/1101/0930")
    history.take(SNAPSHOT, "2026/1101/1000", of=history.past(first.epoch))
    history.take(SNAPSHOT, "2025/0101/0000", top=opened.system.children(opened.system.node(2))["dir"][0])
    history.take(ARCHIVE, "2026/1102")
    history.take(SNAPSHOT, "before/upgrade")


async def test_a_tree_with_its_past(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        await _with_a_past(opened)
        async with client(opened, aname="main") as raw:
            whole = await all_of(raw)
            assert len(whole) > 40
            check_unique(whole)
            live = await all_of(raw, "active")
        for aname in ("main/snapshot", "main/archive"):
            async with client(opened, aname=aname) as raw:
                top = aname.removeprefix("main/")
                below = await all_of(raw)
                assert {f"{top}/{place}".rstrip("/"): qid for place, qid in below.items()} == {
                    place: qid for place, qid in whole.items() if place.split("/")[0] == top
                }
        async with client(opened) as raw:
            assert {f"active/{place}".rstrip("/"): qid for place, qid in (await all_of(raw)).items()} == live
    with Opened(tmp_path) as opened:
        async with client(opened, aname="main") as raw:
            assert await all_of(raw) == whole, "they are what they were, after a restart"


async def test_versions_of_the_past_stay(tmp_path: Path) -> None:
    """Same content, same version: what changes is whose it is."""
    with Opened(tmp_path) as opened:
        await _with_a_past(opened)
        async with client(opened, aname="main") as raw:
            past, live = await raw.stat("archive", "2026", "1102", "file"), await raw.stat("active", "file")
            assert past.qid.version == live.qid.version
            assert past.qid.path != live.qid.path


async def test_links_of_the_past_are_listed(tmp_path: Path) -> None:
    """What 9P2000.u adds to a listing comes from the file that is listed, whatever its qid."""
    with Opened(tmp_path) as opened:
        async with connected(opened.tree, OWNER, version="9P2000.u") as raw:
            await raw.ask(m.Tcreate(0, "link", st.DMSYMLINK | 0o777, m.OREAD, "target"))
        opened.history.take(SNAPSHOT, "2026/1101/0900")
        async with connected(opened.tree, OWNER, aname="main/snapshot", version="9P2000.u") as raw:
            fid = await raw.open("2026", "1101", "0900")
            entries = unpack_directory((await raw.ask(m.Tread(fid, 0, 8192))).data, Stat.unpack_unix)
            assert {entry.name: entry.extension for entry in entries} == {"adm": "", "link": "target"}


async def test_archives_move_the_ids_of_each_day(tmp_path: Path, autojump_clock: MockClock) -> None:
    """As vac(7) has it, and with what each file has when it is served: no id twice, and those of the live tree stay."""
    venti = FlakyVenti()
    async with open_fossil(tmp_path, owner=OWNER, open_store=venti.connect, clock=trio.current_time) as fossil:
        async with connected(fossil.tree, OWNER) as raw:
            await raw.made("file", data=b"first")
            await raw.made("dir", perm=st.DMDIR | 0o755)
            await raw.made("dir", "inner", data=b"x")
        for name in ("2026/1101", "2026/1102"):
            fossil.history.take(ARCHIVE, name)
            await fossil.archiver.idle()
        score = fossil.history.last().score
        async with connected(fossil.tree, OWNER, aname="main") as raw:
            served = {place: qid.path for place, qid in (await all_of(raw)).items()}
    assert score is not None
    ids = await _ids((await open_archive(venti.store, label.parse(score))).top)
    assert len(set(ids.values())) == len(ids)
    assert ids == {place: path for place, path in served.items() if place}


@pytest.mark.parametrize("limit", [1 << 48, 1 << 61, 1 << 63, (1 << 64) - 1])
async def test_an_archive_that_says_how_many_files_it_never_had(tmp_path: Path, limit: int) -> None:
    """New files have numbers that no other file has, in whatever archive they begin."""
    store = MemoryStore()
    async with write_behind(store) as behind:
        writer = VacWriter(behind)
        top, active = writer.directory(), writer.directory()
        for name, qid in (("large", 1 << 60), ("largest", (1 << 64) - 1), ("next", 17 + (1 << 24)), ("small", 16)):
            await active.add_file(DirEntry(name, 0o644, qid=qid), await writer.tree().finish())
        folder = DirEntry("active", modes.DIRECTORY | 0o755, qid=2, uid=OWNER)
        await top.add_directory(folder, await active.finish())
        await top.add_directory(folder._replace(name="archive", qid=3), await writer.directory().finish())
        info = folder._replace(name="root", qid=1, qid_space=QidSpace(0, limit))
        score = await writer.finish(info, await top.finish())
    await restore(tmp_path, store, score)
    venti = FlakyVenti()
    venti.store = store
    async with open_fossil(tmp_path, owner=OWNER, open_store=venti.connect) as fossil:
        async with connected(fossil.tree, OWNER) as raw:
            assert len(await raw.list()) == 4
            for name in ("new", "newer"):
                await raw.made(name, data=name.encode())
        fossil.history.take(SNAPSHOT)
        async with connected(fossil.tree, OWNER, aname="main") as raw:
            check_unique(await all_of(raw))
            assert await raw.content("active", "new") == b"new"


async def _ids(top: VacFile) -> dict[str, int]:
    found = {}
    for file in await top.files():
        found[file.path] = file.qid
        if file.info.directory:
            found |= await _ids(file)
    return found
