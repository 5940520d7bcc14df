"""history, diff and restore: the past against the present, and brought back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as some

from fakes.ninep_client import Raw
from fossil.errors import ConsoleRefused, DamagedData, NoSnapshot
from fossil.past.difference import differences
from fossil.past.history import ARCHIVE, SNAPSHOT
from fossil.past.retrieval import bring_back
from fossil.past.versions import versions
from fossil.past.views import Views, names_of
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.errors import NinepError
from ninep.protocol.stat import Stat
from programs.opened_fossil import Opened, client


class Clock:
    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


class Kept:
    """A file system with a client and a clock."""

    def __init__(self, opened: Opened, raw: Raw) -> None:
        self.opened = opened
        self.raw = raw
        self.views = Views(opened.system, opened.history)
        self.clock = Clock()
        opened.system.clock = self.clock

    def snap(self, kind: str = SNAPSHOT) -> str:
        self.clock.now += 3600
        taken = self.opened.history.take(kind)
        return f"/{taken.kind}/{taken.name}"

    async def put(self, path: str, data: bytes, perm: int = 0o644) -> None:
        *above, name = path.split("/")
        self.clock.now += 60
        fid = await self.raw.walk(*above)
        try:
            await self.raw.ask(m.Tcreate(fid, name, perm, m.OWRITE))
        except Exception:
            fid = await self.raw.open(*above, name, mode=m.OWRITE | m.OTRUNC)
        for at in range(0, len(data), 50_000):
            await self.raw.ask(m.Twrite(fid, at, data[at : at + 50_000]))
        await self.raw.ask(m.Tclunk(fid))

    async def mkdir(self, path: str) -> None:
        await self.raw.made(*path.split("/"), perm=st.DMDIR | 0o755)

    async def remove(self, path: str) -> None:
        await self.raw.ask(m.Tremove(await self.raw.walk(*path.split("/"))))

    async def wstat(self, path: str, changes: Stat) -> None:
        self.clock.now += 60
        await self.raw.ask(m.Twstat(await self.raw.walk(*path.split("/")), changes))

    async def diff(self, first: str, second: str, path: str = "") -> list[str]:
        found = differences(self.views, self.views.named(first), self.views.named(second), names_of(path))
        return [f"{one.kind} {one.path}" + (f" was {one.old}" if one.old else "") async for one in found]

    async def restore(self, snap: str, path: str, *, delete: bool = False, dry: bool = False) -> list[str]:
        found = bring_back(self.views, self.views.named(snap), names_of(path), delete=delete, dry=dry)
        return [f"{one.kind} {one.path}" async for one in found]


@asynccontextmanager
async def kept(path: Path) -> AsyncIterator[Kept]:
    with Opened(path) as opened:
        async with client(opened) as raw:
            yield Kept(opened, raw)


async def test_versions_of_a_file(tmp_path: Path) -> None:
    async with kept(tmp_path) as past:
        first = past.snap()
        await past.put("file", b"one")
        second = past.snap()
        past.snap()
        await past.put("file", b"three")
        third = past.snap(ARCHIVE)
        await past.wstat("file", Stat(mode=0o600))
        fourth = past.snap()
        await past.remove("file")
        fifth = past.snap()
        await past.put("file", b"again")
        found = await versions(past.views, ["file"])
        seen = [(one.moment.name, one.node and (one.node.length, one.node.mode)) for one in found]
        assert seen == [
            ("/active", (5, 0o644)),
            (fifth, None),
            (fourth, (5, 0o600)),
            (third, (5, 0o644)),
            (second, (3, 0o644)),
        ]
        assert first not in {one.moment.name for one in found}
        assert await versions(past.views, ["nosuch"]) == []


async def test_differences(tmp_path: Path) -> None:
    async with kept(tmp_path) as past:
        for name in ("same", "gone", "moved", "other"):
            await past.mkdir(name)
            await past.put(f"{name}/file", b"text")
        await past.put("text", b"text")
        await past.put("mode", b"text")
        await past.put("kind", b"text")
        before = past.snap()
        assert await past.diff(before, "active") == []
        await past.remove("gone/file")
        await past.remove("gone")
        await past.wstat("moved", Stat(name="was"))
        await past.put("was/file", b"other")
        await past.put("was/new", b"new")
        await past.put("text", b"Text")
        await past.wstat("mode", Stat(mode=0o600))
        await past.remove("kind")
        await past.mkdir("kind")
        await past.put("kind/inner", b"")
        await past.put("other/file", b"TEXT")
        expected = [
            "- gone",
            "- gone/file",
            "- kind",
            "+ kind",
            "+ kind/inner",
            "m mode",
            "M other/file",
            "M text",
            "R was was moved",
            "M was/file",
            "+ was/new",
        ]
        assert await past.diff(before, "active") == expected
        after = past.snap(ARCHIVE)
        assert await past.diff(before, after) == expected
        assert await past.diff(after, "active") == []
        assert await past.diff(after, before, "/active/other") == ["M other/file"]
        assert await past.diff(before, after, "gone") == ["- gone", "- gone/file"]
        assert await past.diff(before, after, "was/new") == ["+ was/new"]
        with pytest.raises(NoSnapshot, match="snapshots"):
            past.views.named("/snapshot/2001/0101/0000")


async def test_cost_follows_the_change(tmp_path: Path) -> None:
    async with kept(tmp_path) as past:
        for folder in range(20):
            await past.mkdir(f"{folder}")
            for number in range(20):
                await past.put(f"{folder}/{number}", b"text")
        before = past.snap()
        await past.put("7/7", b"other")
        after = past.snap()
        queries: list[str] = []
        past.opened.system.database.set_trace_callback(queries.append)
        assert await past.diff(before, after) == ["M 7/7"]
        assert len(queries) < 150


async def test_restore(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    async with kept(tmp_path) as past:
        await past.mkdir("dir")
        await past.put("dir/file", content, perm=0o640)
        await past.put("dir/gone", b"gone")
        await past.put("dir/name", b"name")
        await past.mkdir("dir/deep")
        await past.put("dir/deep/file", b"deep")
        was = {name: await past.raw.stat("dir", *name.split("/")) for name in ("file", "gone", "name", "deep/file")}
        then = past.snap()
        await past.put("dir/file", b"short")
        await past.wstat("dir/file", Stat(mode=0o600))
        await past.remove("dir/gone")
        await past.wstat("dir/name", Stat(name="new-name"))
        await past.remove("dir/deep/file")
        await past.remove("dir/deep")
        await past.put("dir/since", b"since")
        versions_seen = (await past.raw.stat("dir", "file")).qid.version
        planned = await past.restore(then, "/active/dir", dry=True)
        assert planned == ["+ dir/deep", "+ dir/deep/file", "M dir/file", "+ dir/gone", "R dir/name"]
        assert await past.raw.content("dir", "file") == b"short"
        assert await past.restore(then, "/active/dir") == planned
        for name, before in was.items():
            now = await past.raw.stat("dir", *name.split("/"))
            assert (now.mode, now.mtime, now.length, now.uid, now.gid, now.muid) == (
                (before.mode, before.mtime, before.length, before.uid, before.gid, before.muid)
            )
        assert await past.raw.content("dir", "file") == content
        assert await past.raw.content("dir", "deep", "file") == b"deep"
        now = await past.raw.stat("dir", "file")
        assert now.qid.path == was["file"].qid.path
        assert now.qid.version > versions_seen
        assert await past.raw.content("dir", "since") == b"since"
        assert await past.diff(then, "active", "dir") == ["+ dir/since"]
        assert await past.restore(then, "dir", delete=True, dry=True) == ["- dir/since"]
        await past.restore(then, "dir", delete=True)
        assert {entry.name for entry in await past.raw.list("dir")} == {"file", "gone", "name", "deep"}
        assert await past.raw.content("dir", "file") == content


async def test_restore_of_large_files(tmp_path: Path) -> None:
    """They share the bytes with the snapshot, whatever happens to either then."""
    content = os.urandom(1_000_000)
    async with kept(tmp_path) as past:
        fid = await past.raw.create("file")
        for at in range(0, len(content), 50_000):
            await past.raw.ask(m.Twrite(fid, at + 10_000_000, content[at : at + 50_000]))
        then = past.snap()
        await past.raw.ask(m.Twstat(fid, Stat(length=10)))
        await past.restore(then, "file")
        assert (await past.raw.stat("file")).length == 11_000_000
        for at in range(0, len(content), 50_000):
            assert await past.raw.read(fid, at + 10_000_000, 50_000) == content[at : at + 50_000]
        assert await past.raw.read(fid, 5, 10) == bytes(10)
        await past.raw.ask(m.Twrite(fid, 10_000_100, b"changed"))
        past.opened.history.expire(1 << 40)
        while past.opened.history.sweep():
            pass
        past.opened.system.commit()
        past.opened.system.freed.settle()
        past.opened.system.freed.release()
        wanted = content[:100] + b"changed" + content[107:50_000]
        assert await past.raw.read(fid, 10_000_000, 50_000) == wanted
        assert await past.raw.read(fid, 10_900_000, 50_000) == content[900_000:950_000]


@pytest.mark.expects_errors
async def test_what_is_damaged_does_not_take_the_place_of_what_is_there(tmp_path: Path) -> None:
    async with kept(tmp_path) as past:
        fid = await past.raw.create("file", data=b"precious" * 1000)
        then = past.snap()
        await past.raw.ask(m.Twrite(fid, 0, b"present"))
    with (tmp_path / "data").open("r+b") as file:
        file.seek(file.read().index(b"precious") + 3)
        file.write(b"!")
    async with kept(tmp_path) as past:
        with pytest.raises(DamagedData):
            await past.restore(then, "file")
        assert await past.raw.read(await past.raw.open("file"), 0, 7) == b"present"


async def test_what_cannot_be_restored(tmp_path: Path) -> None:
    async with kept(tmp_path) as past:
        await past.mkdir("dir")
        await past.put("dir/file", b"text")
        await past.put("kind", b"text")
        await past.put("temp", b"text", perm=st.DMTMP | 0o644)
        then = past.snap(ARCHIVE)
        await past.remove("dir/file")
        await past.remove("dir")
        await past.remove("kind")
        await past.mkdir("kind")
        with pytest.raises(ConsoleRefused, match="does not exist"):
            await past.restore(then, "nosuch")
        with pytest.raises(ConsoleRefused, match="bring that back first"):
            await past.restore(then, "dir/file")
        with pytest.raises(ConsoleRefused, match="kind is of another kind now: remove it first"):
            await past.restore(then, "kind")
        await past.remove("kind")
        assert await past.restore(then, "/", delete=True) == ["+ dir", "+ dir/file", "+ kind"]
        assert await past.raw.content("temp") == b"text"


NAMES = ["a", "b"]
change = some.tuples(
    some.sampled_from(["put", "mkdir", "remove", "rename", "mode"]),
    some.lists(some.sampled_from(NAMES), min_size=1, max_size=3).map("/".join),
    some.integers(0, 3),
)


async def tree(raw: Raw, *names: str) -> dict[str, tuple[int, bytes | None]]:
    """Mode and content of everything below a directory."""
    found: dict[str, tuple[int, bytes | None]] = {}
    for entry in await raw.list(*names):
        path = "/".join((*names, entry.name))
        if entry.mode & st.DMDIR:
            found[path] = entry.mode, None
            found |= await tree(raw, *names, entry.name)
        else:
            found[path] = entry.mode, await raw.content(*names, entry.name)
    return found


async def do(past: Kept, steps: list[tuple[str, str, int]]) -> None:
    """Random changes; those that cannot be done are left out."""
    for what, path, number in steps:
        try:
            if what == "put":
                await past.put(path, b"%d" % number * number * 20_000)
            elif what == "mkdir":
                await past.mkdir(path)
            elif what == "remove":
                await past.remove(path)
            elif what == "rename":
                await past.wstat(path, Stat(name=NAMES[number % 2]))
            else:
                mode = (await past.raw.stat(*path.split("/"))).mode
                await past.wstat(path, Stat(mode=mode & ~7 | number))
        except (NinepError, AssertionError):
            continue


@settings(max_examples=40)
@given(some.lists(change, max_size=12), some.lists(change, max_size=12))
def test_a_restored_tree_is_what_it_was(then: list[tuple[str, str, int]], since: list[tuple[str, str, int]]) -> None:
    """Whatever happened before and since, unless a file has become a directory or the reverse."""

    async def run(folder: str) -> None:
        async with kept(Path(folder)) as past:
            await do(past, then)
            before = await tree(past.raw)
            snap = past.snap()
            await do(past, since)
            try:
                await past.restore(snap, "/", delete=True)
            except ConsoleRefused:
                changed = await past.diff("active", snap)
                assert {one[2:] for one in changed if one[0] == "+"} & {one[2:] for one in changed if one[0] == "-"}
                return
            assert await tree(past.raw) == before
            assert await past.diff(snap, "active") == []

    with tempfile.TemporaryDirectory() as folder:
        trio.run(run, folder)


def test_paths() -> None:
    assert names_of("/active/dir/file") == ["dir", "file"]
    assert names_of("dir/file") == names_of("/dir//file/") == ["dir", "file"]
    assert names_of("active/file") == ["active", "file"]
    assert names_of("/") == names_of("/active") == []
