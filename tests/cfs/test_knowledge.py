"""What is not asked about again: trees that cannot change, and what the cache was told to trust for a while."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from cfs.errors import ServerGone
from cfs.known.frozen import OF_FOSSIL, Frozen, depth_of
from cfs.known.note import Note
from cfs.known.notebook import Notebook
from fakes.ninep_client import Raw, connected
from ninep.net.errors import Malformed
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.errors import FileNotFound, PermissionDenied
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat
from ninep.ram.tree import RamTree
from programs.behind_cache import Grid, grid

OWNER = "glenda"
FROZEN = [":past/*"]
DATA = bytes(range(256)) * 400


@asynccontextmanager
async def setting(directory: Path, **options: Any) -> AsyncIterator[tuple[Grid, Raw]]:
    """A tree with a past that is said to be frozen, and a present; a client of the file server itself."""
    tree = RamTree(OWNER, mode=0o777)
    async with connected(tree, OWNER, msize=1 << 20) as direct:
        for path in (("past",), ("past", "1"), ("past", "1", "lib"), ("now",)):
            await direct.made(*path, perm=st.DMDIR | 0o755)
        await direct.made("past", "1", "lib", "a", data=DATA)
        await direct.made("past", "1", "lib", "empty")
        await direct.made("past", "1", "secret", perm=0o600, data=b"secret")
        await direct.made("past", "1", "private", perm=st.DMDIR | 0o700)
        await direct.made("past", "1", "private", "inner", data=b"inner")
        await direct.made("now", "a", data=DATA)
        async with grid(tree, directory, **{"frozen": FROZEN, **options}) as one:
            yield one, direct


async def visit(raw: Raw, *names: str) -> dict[str, object]:
    """All that there is below a directory, in the way that programs look."""
    found: dict[str, object] = {}
    for entry in await raw.list(*names):
        path = (*names, entry.name)
        assert await raw.stat(*path) == entry
        if entry.is_directory:
            found[entry.name] = await visit(raw, *path)
        else:
            found[entry.name] = await raw.content(*path)
    return found


WHOLE = {"lib": {"a": DATA, "empty": b""}, "secret": b"secret", "private": {"inner": b"inner"}}


async def test_a_tree_that_cannot_change_is_asked_about_once(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, _):
        async with one.client() as raw:
            assert await visit(raw, "past", "1") == WHOLE
            one.forget_sent()
            assert await visit(raw, "past", "1") == WHOLE
            fid = await raw.walk("past", "1", "lib")
            with pytest.raises(FileNotFound):
                await raw.walk("missing", start=fid)
            assert len((await raw.ask(m.Twalk(0, 902, ["past", "1", "lib", "missing", "x"]))).wqids) == 3
            assert len((await raw.ask(m.Twalk(fid, 900, ["..", "lib", "a"]))).wqids) == 3
            assert len((await raw.ask(m.Twalk(fid, 901, ["a", "b"]))).wqids) == 1
            assert one.sent == Counter(), "not one message"
        async with one.client() as raw:
            one.forget_sent()
            assert await visit(raw, "past", "1") == WHOLE
            assert one.sent == Counter(Tattach=1, Twalk=1, Tstat=1, Tclunk=1), "a new client looks at the root once"


async def test_it_is_remembered_across_a_restart(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, _):
        async with one.client() as raw:
            await visit(raw, "past", "1")
        tree = one.tree
    async with grid(tree, tmp_path, frozen=FROZEN) as one, one.client() as raw:
        one.forget_sent()
        assert await visit(raw, "past", "1") == WHOLE
        with pytest.raises(FileNotFound):
            await raw.walk("missing", start=await raw.walk("past", "1", "lib"))
        assert one.sent == Counter(Tattach=1, Twalk=1, Tstat=1, Tclunk=1)


async def test_what_is_not_there_is_asked_once_too(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, _), one.client() as raw:
        lib = await raw.walk("past", "1", "lib")
        for turn in range(2):
            one.forget_sent()
            with pytest.raises(FileNotFound):
                await raw.walk("missing", start=lib)
            assert one.sent["Twalk"] == (turn == 0)


async def test_rights_are_each_users_own(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, _), one.client() as raw, one.client("mallory") as other:
        assert await visit(raw, "past", "1") == WHOLE
        for _turn in range(2):
            with pytest.raises(PermissionDenied):
                await other.open("past", "1", "secret")
            with pytest.raises(PermissionDenied):
                await other.open("past", "1", "private")
            assert (await other.stat("past", "1", "secret")).length == 6
            assert await other.content("past", "1", "lib", "a") == DATA
        one.forget_sent()
        assert await other.content("past", "1", "lib", "a") == DATA
        assert not one.sent["Tread"]


async def test_listing_is_no_right_to_search(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, direct), one.client("mallory") as other:
        await direct.ask(m.Twstat(await direct.walk("past", "1", "lib"), Stat(mode=st.DMDIR | 0o754)))
        assert [entry.name for entry in await other.list("past", "1", "lib")] == ["a", "empty"]
        for _turn in range(2):
            with pytest.raises(PermissionDenied):
                await other.ask(m.Twalk(await other.walk("past", "1", "lib"), 900, ["a"]))


async def test_another_tree_in_its_place_is_another(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The server was set up anew, or the root was made again."""
    async with setting(tmp_path) as (one, direct), one.client() as raw:
        assert await visit(raw, "past", "1") == WHOLE
        await direct.ask(m.Twstat(await direct.walk("past", "1"), Stat(name="old")))
        await direct.made("past", "1", perm=st.DMDIR | 0o755)
        await direct.made("past", "1", "other", data=b"other")
        assert await visit(raw, "past", "1") == WHOLE, "that was said to be impossible, and is not looked for"
        await one.cut()
        await trio.sleep(1)
        assert await visit(raw, "past", "1") == {"other": b"other"}
        async with one.client() as other:
            assert await visit(other, "past", "1") == {"other": b"other"}


async def test_it_stays_readable_while_the_server_is_away(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path) as (one, _), one.client(offline=100, patience=5) as raw, one.client() as late:
        assert await visit(raw, "past", "1") == WHOLE
        one.reachable = False
        await one.cut()
        for client in (raw, late):
            assert await visit(client, "past", "1") == WHOLE
            assert await client.refused(m.Twalk(0, 900, ["now", "a"])) == ServerGone.text
        await trio.sleep(101)
        assert await raw.refused(m.Twalk(0, 900, ["past", "1", "lib"])) == ServerGone.text
        one.reachable = True
        await trio.sleep(60)
        assert await visit(raw, "past", "1") == WHOLE


async def test_without_trust_everything_else_is_asked(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, direct), one.client() as raw:
        assert await visit(raw, "now") == {"a": DATA}
        await direct.made("now", "b", data=b"b")
        assert await visit(raw, "now") == {"a": DATA, "b": b"b"}
        await direct.ask(m.Tremove(await direct.walk("now", "a")))
        assert await visit(raw, "now") == {"b": b"b"}


async def test_trust(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path, trust=10) as (one, direct), one.client() as raw:
        assert await visit(raw, "now") == {"a": DATA}
        one.forget_sent()
        await direct.made("now", "b", data=b"b")
        await trio.sleep(9)
        assert await visit(raw, "now") == {"a": DATA}
        assert one.sent == Counter()
        await trio.sleep(2)
        assert await visit(raw, "now") == {"a": DATA, "b": b"b"}


async def test_what_is_trusted_never_grows_older_than_that(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path, trust=10) as (one, direct), one.client() as raw:
        for _ in range(20):
            await raw.stat("now", "a")
            await trio.sleep(3)
            await direct.ask(m.Twstat(await direct.walk("now", "a"), Stat(mtime=int(trio.current_time()) + 1000)))
            seen = (await raw.stat("now", "a")).mtime - 1000
            assert seen < 0 or trio.current_time() - seen <= 11 or seen > 10**8
        assert (await raw.stat("now", "a")).mtime < 2000


async def test_changes_through_the_cache_end_all_trust(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with setting(tmp_path, trust=1000) as (one, _), one.client() as raw, one.client() as other:

        async def seen() -> object:
            return await visit(raw, "now")

        assert await seen() == {"a": DATA}
        await other.made("now", "b", data=b"12345")
        assert await seen() == {"a": DATA, "b": b"12345"}
        fid = await other.open("now", "b", mode=m.OWRITE)
        await other.ask(m.Twrite(fid, 2, b"xx"))
        assert await seen() == {"a": DATA, "b": b"12xx5"}
        await other.ask(m.Twstat(fid, Stat(length=3)))
        assert await seen() == {"a": DATA, "b": b"12x"}
        await other.ask(m.Twstat(fid, Stat(name="c")))
        assert await seen() == {"a": DATA, "c": b"12x"}
        await other.ask(m.Tclunk(await other.open("now", "c", mode=m.OWRITE | m.OTRUNC)))
        assert await seen() == {"a": DATA, "c": b""}
        await other.ask(m.Tremove(await other.walk("now", "c")))
        assert await seen() == {"a": DATA}


async def test_trust_in_rights_is_each_users_own(tmp_path: Path) -> None:
    async with (
        setting(tmp_path, trust=1000, frozen=[]) as (one, _),
        one.client() as raw,
        one.client("mallory") as other,
    ):
        assert await visit(raw, "past", "1") == WHOLE
        with pytest.raises(PermissionDenied):
            await other.open("past", "1", "secret")


@pytest.mark.parametrize(
    ("aname", "path", "depth"),
    [
        ("main", "archive/2026/1123/lib", 3),
        ("main", "archive/2026/1123.1", 3),
        ("main", "archive/2026", None),
        ("main", "active/2026/1123", None),
        ("main", "snapshot/2026/1123/1530/x", 4),
        ("main", "snapshot/2026/1123", None),
        ("main/archive", "2026/1123", 2),
        ("main/snapshot", "2026/1123/0001.12/x", 3),
        ("main/active", "archive/2026/1123/lib", None),
        ("", "archive/2026/1123/lib", None),
    ],
)
def test_what_cannot_change_in_a_fossil(aname: str, path: str, depth: int | None) -> None:
    assert depth_of(Frozen(OF_FOSSIL).below(aname), path.split("/")) == depth


def test_patterns() -> None:
    assert depth_of(Frozen([":"]).below(""), ["a", "b"]) == 0
    assert depth_of(Frozen(["*:x/*"]).below("any"), ["x", "b", "c"]) == 2
    assert Frozen(["a:x"]).below("b") == []


def sample(number: int = 0) -> Note:
    note = Note(Qid(0x80, 7, 1000 + number))
    note.searched = note.opened = True
    note.stat = Stat(0, 0, note.qid, st.DMDIR | 0o755, 1, 2, 0, f"dir {number}", "glenda", "sys", "glenda")
    note.entries = {
        name: Stat(0, 0, Qid(0, 1, 2), 0o644, 1, 2, 3, name, "glenda", "sys", "glenda") for name in ("é", "b", "\udcff")
    }
    return note


def same(one: Note | None, other: Note) -> bool:
    return one is not None and one.pack() == other.pack()


def test_a_note_as_bytes() -> None:
    note = sample()
    again = Note.unpack(note.pack())
    assert (again.qid, again.stat, again.entries) == (note.qid, note.stat, note.entries)
    assert again.searched
    assert again.opened
    assert not again.missing
    assert Note.unpack(Note(Qid(0, 0, 0), missing=True).pack()).missing
    for cut in range(len(note.pack())):
        with pytest.raises(Malformed):
            Note.unpack(note.pack()[:cut]) if cut < 18 else Note.unpack(note.pack()[:18] + b"x" * (cut - 17))


def test_notes_on_disk(tmp_path: Path) -> None:
    book = Notebook(tmp_path / "notes", 1 << 20, "server")
    for number in range(100):
        book.put(("tree", "glenda", f"path/{number}"), sample(number))
    book.close()
    book = Notebook(tmp_path / "notes", 1 << 20, "server")
    for number in range(100):
        assert same(book.get(("tree", "glenda", f"path/{number}")), sample(number))
    assert book.get(("tree", "mallory", "path/1")) is None
    book.close()


def test_notes_keep_within_their_bound(tmp_path: Path) -> None:
    bound = 1 << 20
    book = Notebook(tmp_path / "notes", bound, "server")
    for number in range(10_000):
        book.put(("tree", "glenda", f"{number}"), sample(number))
    book.flush()
    assert book.size <= bound
    book.close()
    book = Notebook(tmp_path / "notes", bound, "server")
    kept = [number for number in range(10_000) if book.get(("tree", "glenda", f"{number}"))]
    assert len(kept) > 500
    assert min(kept) > 5000, "the oldest went"
    book.close()


@pytest.mark.parametrize("column", ["what", "sum"])
def test_damaged_notes_are_dropped(tmp_path: Path, column: str) -> None:
    path = tmp_path / "notes"
    book = Notebook(path, 1 << 20, "server")
    book.put(("tree", "glenda", "a"), sample())
    book.close()
    with sqlite3.connect(path) as database:
        data = bytearray(database.execute(f"SELECT {column} FROM note").fetchone()[0])
        data[5] ^= 1
        database.execute(f"UPDATE note SET {column} = ?", (bytes(data),))
    database.close()
    book = Notebook(path, 1 << 20, "server")
    assert book.get(("tree", "glenda", "a")) is None
    book.put(("tree", "glenda", "a"), sample())
    book.close()


@pytest.mark.parametrize("how", ["rubbish", "another server", "torn"])
def test_a_book_of_no_use_is_made_anew(tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "notes"
    book = Notebook(path, 1 << 20, "another" if how == "another server" else "server")
    for number in range(300):
        book.put(("tree", "glenda", f"{number}"), sample(number))
    book.close()
    if how == "rubbish":
        path.write_bytes(b"not a database, but long enough to be looked at as one" * 100)
    elif how == "torn":
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
    book = Notebook(path, 1 << 20, "server")
    for number in range(300):
        found = book.get(("tree", "glenda", f"{number}"))
        assert found is None or same(found, sample(number))
    book.put(("tree", "glenda", "new"), sample(1))
    book.close()
    assert "made anew" in caplog.text
    assert ("name mismatch" in caplog.text) == (how == "another server")


async def test_whoever_goes_through_a_directory_finds_its_files_there(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, direct), one.client() as raw:
        for number in range(200):
            await direct.made("past", "1", "lib", f"{number:03}", data=b"%d" % number * 100)
        names = [entry.name for entry in await raw.list("past", "1", "lib")]
        asked = 0
        for name in names:
            one.forget_sent()
            assert (
                len(await raw.content("past", "1", "lib", name)) == (await direct.stat("past", "1", "lib", name)).length
            )
            asked += one.sent["Topen"] > 0 and one.cache.counts.values["nlocalopen"] == 0
            await trio.testing.wait_all_tasks_blocked()
        assert one.cache.counts.values["nahead"] >= 190
        assert one.cache.counts.values["nlocalopen"] >= 190
        assert asked == 1, "only the first had to be waited for"


async def test_whoever_jumps_gets_what_he_asks_for(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, direct), one.client() as raw:
        for number in range(50):
            await direct.made("past", "1", "lib", f"{number:03}", data=b"x")
        await raw.list("past", "1", "lib")
        for name in ("040", "020", "030"):
            await raw.content("past", "1", "lib", name)
            await trio.testing.wait_all_tasks_blocked()
        assert not one.cache.counts.values["nahead"]


async def test_nobody_reads_ahead_what_he_may_not(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, direct), one.client("mallory") as raw:
        for number in range(5):
            await direct.made("past", "1", "lib", f"{number}", perm=0o644 if number < 2 else 0o600, data=b"x")
        for entry in await raw.list("past", "1", "lib"):
            if entry.mode & 0o004:
                await raw.content("past", "1", "lib", entry.name)
            else:
                with pytest.raises(PermissionDenied):
                    await raw.open("past", "1", "lib", entry.name)
            await trio.testing.wait_all_tasks_blocked()


async def forest(direct: Raw, folders: int, files: int) -> None:
    """Directories below ``past/2``, each with files and a directory with one file."""
    await direct.made("past", "2", perm=st.DMDIR | 0o755)
    for folder in range(folders):
        await direct.made("past", "2", f"{folder}", perm=st.DMDIR | 0o755)
        await direct.made("past", "2", f"{folder}", "z", perm=st.DMDIR | 0o755)
        for number in range(files):
            await direct.made("past", "2", f"{folder}", f"{number:02}", data=b"%d" % number * 10)
        await direct.made("past", "2", f"{folder}", "z", "last", data=b"last")


async def test_whoever_goes_through_a_tree_finds_the_next_directories_there(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, direct), one.client() as raw:
        await forest(direct, 12, 10)
        asked = []

        async def through(*names: str) -> None:
            for entry in await raw.list(*names):
                one.forget_sent()
                if entry.is_directory:
                    await through(*names, entry.name)
                else:
                    local = one.cache.counts.values["nlocalopen"]
                    assert await raw.content(*names, entry.name)
                    if one.cache.counts.values["nlocalopen"] == local:
                        asked.append("/".join((*names, entry.name)))
                await trio.testing.wait_all_tasks_blocked()

        await through("past", "2")
        assert len(asked) <= 8, "of 132"


async def test_whoever_only_lists_gets_no_files_ahead(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, direct), one.client() as raw:
        await forest(direct, 12, 10)
        for folder in await raw.list("past", "2"):
            await raw.list("past", "2", folder.name)
            await raw.list("past", "2", folder.name, "z")
            await trio.testing.wait_all_tasks_blocked()
        assert not one.cache.counts.values["nahead"]
        assert one.cache.counts.values["nlocaldir"] >= 15


async def test_what_nobody_asks_for_is_not_fetched_without_bound(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, direct), one.client() as raw:
        await forest(direct, 60, 4)
        entries = await raw.list("past", "2")
        for folder in entries[:2]:
            for entry in await raw.list("past", "2", folder.name):
                if not entry.is_directory:
                    await raw.content("past", "2", folder.name, entry.name)
                await trio.testing.wait_all_tasks_blocked()
        assert 10 < one.cache.counts.values["nahead"] < 100


async def test_who_comes_for_what_is_on_its_way_waits_for_it(tmp_path: Path) -> None:
    async with setting(tmp_path) as (one, direct), one.client() as raw:
        for number in range(20):
            await direct.made("past", "1", "lib", f"{number:02}", data=b"%d" % number * 100)
        await raw.list("past", "1", "lib")
        await raw.content("past", "1", "lib", "00")
        before = one.sent["Topen"]
        for number in range(1, 20):
            assert await raw.content("past", "1", "lib", f"{number:02}") == b"%d" % number * 100
        await trio.testing.wait_all_tasks_blocked()
        assert one.sent["Topen"] - before <= 21
