"""The file system: the contract of served trees, the past, restarts, and a model of all of it."""

from __future__ import annotations

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

from contracts.served_file import OWNER, ServedTreeContract
from fossil.data import extents as ranges
from fossil.data.extents import LONGEST, Extent
from fossil.files.rules import Rules
from fossil.live.filesystem import ROOT
from fossil.live.users import Users
from fossil.past.history import ARCHIVE, SNAPSHOT
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.errors import FileNotFound
from ninep.protocol.stat import Stat
from ninep.server.files import FileTree
from programs.opened_fossil import Emptied, Opened, client


@pytest.mark.parametrize("durable", [False, True])
class TestFossil(ServedTreeContract):
    @pytest.fixture(autouse=True)
    def _durable(self, durable: bool) -> None:
        self.durable = durable

    @asynccontextmanager
    async def tree(self) -> AsyncIterator[FileTree]:
        with tempfile.TemporaryDirectory() as path, Opened(Path(path), durable=self.durable) as opened:
            yield Emptied(opened)


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(300_000)
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            await raw.made("dir", perm=st.DMDIR | 0o755)
            await raw.made("dir", "small", data=b"text")
            fid = await raw.create("dir", "large")
            for at in range(0, len(content), 40_000):
                await raw.ask(m.Twrite(fid, at, content[at : at + 40_000]))
            await raw.made("gone", data=b"gone")
            await raw.ask(m.Tremove(await raw.walk("gone")))
            before = await raw.stat("dir", "small")
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            assert await raw.content("dir", "large") == content
            assert await raw.stat("dir", "small") == before
            assert {entry.name for entry in await raw.list()} == {"adm", "dir"}
            await raw.made("new", data=b"new")
            paths = {(await raw.stat(name)).qid.path for name in ("adm", "dir", "new")}
            assert len(paths) == 3


async def test_answered_requests_survive_without_a_close(tmp_path: Path) -> None:
    """What a copy of the directory has, taken at any moment after an answer."""
    with Opened(tmp_path / "live") if (tmp_path / "live").mkdir() is None else Opened(tmp_path) as opened:
        async with client(opened) as raw:
            for n in range(10):
                await raw.made(f"{n}", data=b"%d" % n * 1000)
                shutil.copytree(tmp_path / "live", tmp_path / "copy")
                with Opened(tmp_path / "copy") as copy:
                    async with client(copy) as other:
                        for k in range(n + 1):
                            assert await other.content(f"{k}") == b"%d" % k * 1000
                shutil.rmtree(tmp_path / "copy")


async def test_snapshots_do_not_change(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            await raw.made("dir", perm=st.DMDIR | 0o755)
            await raw.made("dir", "file", data=b"first version")
            await raw.made("doomed", data=b"still here")
            first = opened.history.take(SNAPSHOT)
            fid = await raw.open("dir", "file", mode=m.OWRITE)
            await raw.ask(m.Twrite(fid, 6, b"VER"))
            await raw.ask(m.Twstat(fid, Stat(name="renamed")))
            await raw.ask(m.Tremove(await raw.walk("doomed")))
            second = opened.history.take(ARCHIVE)
            await raw.ask(m.Twstat(fid, Stat(length=3)))
    for _ in range(2):
        with Opened(tmp_path) as opened:
            async with client(opened, aname="main") as raw:
                assert [entry.name for entry in await raw.list()] == ["active", "archive", "snapshot"]
                was = ["snapshot", *first.name.split("/")]
                assert await raw.content(*was, "dir", "file") == b"first version"
                assert await raw.content(*was, "doomed") == b"still here"
                later = ["archive", *second.name.split("/")]
                assert await raw.content(*later, "dir", "renamed") == b"first VERsion"
                assert {entry.name for entry in await raw.list(*later)} == {"adm", "dir"}
                assert await raw.content("active", "dir", "renamed") == b"fir"
                fid = await raw.walk(*was, "dir")
                assert await raw.refused(m.Tcreate(fid, "x", 0o644, m.OWRITE)) == "file is read only"
                assert await raw.refused(m.Tremove(fid)) == "file is read only"
                up = await raw.walk(*was, "dir", "..", "..")
                assert (await raw.ask(m.Tstat(up))).stat.name == first.name.split("/")[1]


@pytest.mark.parametrize(
    ("aname", "names"),
    [
        ("main", {"active", "archive", "snapshot"}),
        ("main/", {"active", "archive", "snapshot"}),
        ("main/active", {"adm"}),
        ("", {"adm"}),
        ("main/archive", set()),
        ("main/snapshot", set()),
    ],
)
async def test_attach_names(tmp_path: Path, aname: str, names: set[str]) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened, aname=aname) as raw:
            assert {entry.name for entry in await raw.list()} == names
            for bad, text in (
                ("nosuch", "fsys: 'nosuch' not found"),
                ("main/nosuch", "file does not exist"),
                ("main/active/nosuch", "file does not exist"),
                ("main//active", "file does not exist"),
                ("//", "file does not exist"),
                ("main/active/..", "file does not exist"),
            ):
                assert await raw.refused(m.Tattach(50, m.NOFID, OWNER, bad)) == text


async def test_names_of_snapshots_of_one_minute(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        opened.system.clock = lambda: 1_795_000_000
        names = [opened.history.take(ARCHIVE).name for _ in range(3)]
        assert names[1:] == [f"{names[0]}.1", f"{names[0]}.2"]


async def test_a_fresh_tree_is_its_starters(tmp_path: Path) -> None:
    with Opened(tmp_path, owner="alice") as opened:
        async with client(opened, "alice") as raw:
            await raw.made("file")
            assert (await raw.stat("file")).uid == "alice"
            assert b"alice:alice" in await raw.content("adm", "users")
        async with client(opened, "stranger") as raw:
            assert await raw.refused(m.Tcreate(0, "x", 0o644, m.OREAD)) == "permission denied"
            assert await raw.content("file") == b""


async def test_without_permissions(tmp_path: Path) -> None:
    with Opened(tmp_path, rules=Rules(permissions=False)) as opened:
        async with client(opened, "stranger") as raw:
            await raw.made("file", data=b"x")
            assert (await raw.stat("file")).uid == "none"


@pytest.mark.expects_errors
async def test_damaged_data_is_an_error_and_never_served(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            await raw.made("file", data=b"precious" * 1000)
            await raw.made("other", data=b"fine")
    with (tmp_path / "data").open("r+b") as file:
        data = file.read()
        file.seek(data.index(b"precious") + 4000)
        file.write(b"!")
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            fid = await raw.open("file")
            assert await raw.refused(m.Tread(fid, 10, 100)) == "i/o error: /file is damaged in bytes 0 to 7999"
            assert await raw.content("other") == b"fine"


@pytest.mark.expects_errors
async def test_damage_is_told_with_the_bytes_and_the_end_of_a_long_name(tmp_path: Path) -> None:
    """Plan 9 keeps 127 bytes of an error."""
    names = ["d" * 50, "\u00e9" * 60, "file"]
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            await raw.made(names[0], perm=st.DMDIR | 0o755)
            await raw.made(*names[:2], perm=st.DMDIR | 0o755)
            fid = await raw.create(*names, data=b"fine" * 1000)
            await raw.ask(m.Twrite(fid, 65536, b"precious" * 900))
    with (tmp_path / "data").open("r+b") as file:
        data = file.read()
        file.seek(data.index(b"precious") + 4000)
        file.write(b"!")
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            fid = await raw.open(*names)
            assert (await raw.ask(m.Tread(fid, 0, 8))).data == b"finefine"
            text = await raw.refused(m.Tread(fid, 65530, 1000))
            assert len(text.encode()) <= 127
            assert text.startswith("i/o error: ...\u00e9")
            assert text.endswith("\u00e9/file is damaged in bytes 65536 to 72735")


async def test_expiry(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            await raw.made("file", data=b"old" * 20_000)
            opened.history.take(SNAPSHOT)
            archive = opened.history.take(ARCHIVE)
            await raw.ask(m.Tremove(await raw.walk("file")))
            opened.history.take(SNAPSHOT)
            assert opened.history.expire(1 << 40) == 2
            assert opened.history.all(SNAPSHOT) == []
        async with client(opened, aname="main") as raw:
            assert await raw.content("archive", *archive.name.split("/"), "file") == b"old" * 20_000


async def test_cost_of_a_snapshot_does_not_grow(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            for n in range(500):
                await raw.made(f"{n}")
            opened.system.commit()
            rows = opened.system.database.total_changes
            opened.history.take(SNAPSHOT)
            assert opened.system.database.total_changes - rows <= 3


@given(some.lists(some.tuples(some.integers(0, 60), some.integers(1, 30)), max_size=20))
def test_cutting_is_like_cutting_bytes(writes: list[tuple[int, int]]) -> None:
    content = bytearray(100)
    extents: list[Extent] = []
    pieces: dict[int, bytes] = {}
    for number, (start, length) in enumerate(writes):
        piece = bytes((number + 1,)) * length
        place = number * 1000
        pieces[place] = piece
        ranges.cut(extents, start, start + length, 1)
        ranges.insert(extents, Extent(start, length, place, 0, length, b"", 1))
        content[start : start + length] = piece
    seen = bytearray(100)
    end = 0
    for extent in extents:
        assert extent.start >= end
        end = extent.end
        seen[extent.start : end] = pieces[extent.place][extent.skip : extent.skip + extent.length]
    assert seen == content


NAMES = ["a", "b", "c"]
step = some.one_of(
    some.tuples(some.just("create"), some.sampled_from(NAMES), some.just(0)),
    some.tuples(some.just("write"), some.sampled_from(NAMES), some.integers(0, 200_000)),
    some.tuples(some.just("cut"), some.sampled_from(NAMES), some.integers(0, 200_000)),
    some.tuples(some.just("remove"), some.sampled_from(NAMES), some.just(0)),
    some.tuples(some.just("rename"), some.sampled_from(NAMES), some.integers(0, 2)),
    some.tuples(some.just("snapshot"), some.just(""), some.just(0)),
    some.tuples(some.just("reopen"), some.just(""), some.just(0)),
    some.tuples(some.just("expire"), some.just(""), some.just(0)),
)


@given(some.lists(step, max_size=40))
def test_like_a_dictionary_with_a_past(steps: list[tuple[str, str, int]]) -> None:
    """Random changes, snapshots and restarts against dictionaries of bytes."""

    def look(read: object, view: object) -> dict[str, bytes]:
        root = view.node(2)
        found = {}
        for name in view.children(root):
            if name != "adm":
                node = view.child(root, name)
                data = view.read(node, 0, 1 << 30)
                found[name] = bytes(
                    data if not hasattr(data, "send") else trio.run(lambda waiting=data: _wait(waiting))
                )
        return found

    with tempfile.TemporaryDirectory() as folder:
        opened = Opened(Path(folder))
        live: dict[str, bytearray] = {}
        past: dict[int, dict[str, bytes]] = {}
        seed = random.Random(5)
        try:
            for action, name, number in steps:
                system = opened.system
                root = system.node(2)
                node = system.child(root, name) if name else None
                assert (node is not None) == (name in live)
                if action == "create" and node is None:
                    system.create(root, name, 0o644, OWNER, OWNER)
                    live[name] = bytearray()
                elif action == "write" and node is not None:
                    data = seed.randbytes(seed.randrange(1, 100_000))
                    system.write(node, number, data, OWNER)
                    content = live[name]
                    content.extend(bytes(max(0, number + len(data) - len(content))))
                    content[number : number + len(data)] = data
                elif action == "cut" and node is not None:
                    system.truncate(node, number, OWNER, counts=True)
                    live[name].extend(bytes(max(0, number - len(live[name]))))
                    del live[name][number:]
                elif action == "remove" and node is not None:
                    system.remove(node, OWNER)
                    del live[name]
                elif action == "rename" and node is not None and NAMES[number] not in live:
                    system.rename(node, NAMES[number], OWNER)
                    live[NAMES[number]] = live.pop(name)
                elif action == "snapshot":
                    taken = opened.history.take(ARCHIVE if len(past) % 2 else SNAPSHOT)
                    past[taken.epoch] = {name: bytes(data) for name, data in live.items()}
                elif action == "expire":
                    system.commit()
                    opened.history.expire(1 << 40)
                    while opened.history.sweep():
                        pass
                    system.freed.settle()
                    system.freed.release()
                    kept = {taken.epoch for taken in opened.history.all(ARCHIVE)}
                    past = {epoch: tree for epoch, tree in past.items() if epoch in kept}
                elif action == "reopen":
                    opened.system.close()
                    opened = Opened(Path(folder))
                if seed.random() < 0.5:
                    opened.system.commit()
            assert look(None, opened.system) == {name: bytes(data) for name, data in live.items()}
            opened.system.close()
            opened = Opened(Path(folder))
            assert look(None, opened.system) == {name: bytes(data) for name, data in live.items()}
            for epoch, tree in past.items():
                assert look(None, opened.history.past(epoch)) == tree
        finally:
            opened.system.close()


async def _wait(waiting: object) -> bytes:
    return bytes(await waiting)


async def test_stable_storage_can_be_asked_for_at_any_time(tmp_path: Path) -> None:
    """A wstat that changes nothing, while others write."""
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            fid = await raw.create("file")
            calls = []
            for n in range(200):
                calls += [raw.client.begin(m.Twrite(fid, n, b"x")), raw.client.begin(m.Twstat(fid, Stat()))]
                if n % 10 == 0:
                    await raw.client.wait(calls[-1])
            for call in calls:
                await raw.client.wait(call)
            await raw.ask(m.Twstat(fid, await raw.stat("file")))
    assert opened.system.stopped is None


async def test_missing_file(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            with pytest.raises(FileNotFound):
                await raw.walk("missing")


@given(
    some.lists(some.tuples(some.integers(0, 300_000), some.integers(1, 200_000)), max_size=8), some.integers(0, 400_000)
)
def test_covered_ranges(pieces: list[tuple[int, int]], length: int) -> None:
    """Every byte of every extent, once, and no other."""
    extents = [Extent(start, count, 0, 0, count, b"", 1) for start, count in pieces]
    seen: set[int] = set()
    for start, count in ranges.covered(extents, length):
        assert 0 < count <= ranges.LONGEST
        assert not seen & {start, start + count - 1}
        seen |= set(range(start, start + count))
    assert seen == {at for start, count in pieces for at in range(start, min(start + count, length))}


async def test_a_listing_says_what_stat_says_whatever_was_listed_before(tmp_path: Path) -> None:
    """Entries are kept packed until something about a file changes."""
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            fid = await raw.create("file", data=b"content")
            other = await raw.walk("file")
            changes: list[m.Request] = [
                m.Twrite(fid, 7, b", more of it"),
                m.Twstat(other, Stat(mode=0o600)),
                m.Twstat(other, Stat(mtime=12345)),
                m.Twstat(other, Stat(length=3)),
                m.Twstat(other, Stat(name="renamed")),
                m.Tread(fid, 0, 10),
            ]
            for change in changes:
                before = {entry.name: entry for entry in await raw.list()}
                await raw.ask(change)
                stat = (await raw.ask(m.Tstat(other))).stat
                after = {entry.name: entry for entry in await raw.list()}
                assert after[stat.name] == stat
                assert isinstance(change, m.Tread) or stat != before.get(stat.name)
            opened.system.users = Users.parse(opened.system.users.text().replace(f"{OWNER}:{OWNER}", f"{OWNER}:other"))
            assert {entry.uid for entry in await raw.list() if entry.name == "renamed"} == {"other"}


def test_who_writes_may_use_his_buffer_again(tmp_path: Path) -> None:
    """What waits until it is handed to the operating system, with other small pieces, is not his buffer."""
    with Opened(tmp_path) as opened:
        system, buffer = opened.system, bytearray(b"first")
        node = system.create(system.node(ROOT), "a", 0o644, OWNER, OWNER)
        system.write(node, 0, buffer, OWNER)
        buffer[:] = b"other"
        system.write(node, 5, memoryview(buffer), OWNER)
        buffer[:] = b"wrong"
        system.commit()
        assert bytes(system.read(node, 0, 99)) == b"firstother"  # type: ignore[arg-type]
    with Opened(tmp_path) as opened:
        node = opened.system.child(opened.system.node(ROOT), "a")  # type: ignore[assignment]
        assert bytes(opened.system.read(node, 0, 99)) == b"firstother"  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 1000, 8192, LONGEST - 1, LONGEST])
def test_pieces_that_are_written_one_after_the_other(tmp_path: Path, size: int) -> None:
    """They come together in memory, in the log, and in extents, whoever looks between them."""
    source = random.Random(size)
    data = source.randbytes(3 * LONGEST + 5)[: 40 * size]
    with Opened(tmp_path) as opened:
        system = opened.system
        node = system.create(system.node(ROOT), "a", 0o644, OWNER, OWNER)
        for at in range(0, len(data), size):
            system.write(node, at, data[at : at + size], OWNER)
            look = source.randrange(4)
            if look == 1:
                assert bytes(system.read(node, 0, at + size)) == data[: at + size]  # type: ignore[arg-type]
            elif look == 2:
                system.record()
        assert [extent.length for extent in system.extents(node)] == lengths(len(data), size)
        assert bytes(system.read(node, 0, len(data))) == data  # type: ignore[arg-type]
    with Opened(tmp_path) as opened:
        node = opened.system.child(opened.system.node(ROOT), "a")  # type: ignore[assignment]
        assert bytes(opened.system.read(node, 0, len(data))) == data  # type: ignore[arg-type]


def lengths(total: int, size: int) -> list[int]:
    """Of pieces, where ``total`` bytes are written by ``size`` and a piece takes what fits it whole."""
    full = LONGEST // size * size
    return [full] * (total // full) + ([total % full] if total % full else [])


def test_what_is_removed_takes_no_memory(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        system = opened.system
        root = system.node(ROOT)
        system.commit()
        before = system.log._cached
        for number in range(3):
            node = system.create(root, "a", 0o644, OWNER, OWNER)
            for at in range(0, 4 * LONGEST, 8192):
                system.write(node, at, bytes((number,)) * 8192, OWNER)
            system.record()
            assert system.log._cached > before + 2 * LONGEST
            system.remove(node, OWNER)
            system.record()
        assert system.log._cached < before + 1000
