"""Files with several names: in the live tree, in snapshots and archives, after a kill and a restart, for ``check``."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from contracts.served_file import OWNER
from fakes.flaky_venti import FlakyVenti
from fossil.files.rules import Rules
from fossil.live.filesystem import ROOT, FileSystem
from fossil.live.hardlinks import MOST, add, places
from fossil.metadata.node import Node
from fossil.past.history import ARCHIVE, SNAPSHOT
from fossil.past.retrieval import bring_back
from fossil.past.views import Views, waited
from fossil.server.check import Check, Finding
from fossil.server.service import Fossil, open_fossil
from ninep.client.connection import connected
from ninep.client.tree import RemoteTree
from ninep.protocol import messages_linux as lm
from ninep.protocol.errors import FileExists, FileNotFound, NotPermitted, TooManyLinks
from ninep.protocol.stat import DMDIR
from ninep.server.serve import serve_stream
from programs.opened_fossil import Opened
from venti.vac import label
from venti.vac.reader import open_archive

FREE = Rules(permissions=False)


@asynccontextmanager
async def connected_to(opened: Opened) -> AsyncIterator[RemoteTree]:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, opened.tree)
        async with connected(near, version=lm.VERSION) as connection:
            yield RemoteTree(await connection.attach(OWNER, ""))


def child(system: FileSystem, *names: str) -> Node:
    node = system.node(ROOT)
    for name in names:
        found = system.child(node, name)
        assert found is not None, names
        node = found
    return node


def linked(system: FileSystem) -> Node:
    """``a/one``, ``b/two`` and ``b/three`` are one file."""
    folders = [system.create(system.node(ROOT), name, DMDIR | 0o755, OWNER, OWNER) for name in ("a", "b")]
    node = system.create(folders[0], "one", 0o640, OWNER, OWNER)
    system.write(node, 0, b"content", OWNER)
    add(system, node, folders[1], "two", OWNER)
    add(system, node, folders[1], "three", OWNER)
    system.commit()
    return node


def test_names_go_one_by_one(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        system = opened.system
        node = linked(system)
        a, b = child(system, "a"), child(system, "b")
        assert places(node) == [(a.path, "one"), (b.path, "two"), (b.path, "three")]
        system.remove(node, OWNER)
        assert places(node) == [(b.path, "two"), (b.path, "three")]
        assert child(system, "b", "three") is node
        system.rename(node, "four", OWNER, directory=a, place=(b.path, "three"))
        assert places(node) == [(b.path, "two"), (a.path, "four")]
        system.remove(node, OWNER, (b.path, "two"))
        assert (places(node), node.links, node.removed) == ([(a.path, "four")], (), False)
        system.remove(node, OWNER)
        assert node.removed


def test_after_a_restart(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        path = linked(opened.system).path
    with Opened(tmp_path) as opened:
        system = opened.system
        assert [child(system, *names).path for names in (("a", "one"), ("b", "two"), ("b", "three"))] == [path] * 3
        system.write(child(system, "b", "two"), 0, b"changed", OWNER)
        assert system.read(child(system, "a", "one"), 0, 100) == b"changed"


async def test_snapshots_and_what_changed(tmp_path: Path) -> None:
    """A change by one name is one in all directories that have a name; old snapshots keep all of theirs."""
    async with open_fossil(tmp_path, owner=OWNER) as fossil:
        system = fossil.system
        node = linked(system)
        before = fossil.history.take(SNAPSHOT)
        system.write(node, 0, b"changed", OWNER)
        system.commit()
        assert child(system, "a").changed == child(system, "b").changed == system.epoch
        system.remove(node, OWNER)
        system.commit()
        past = fossil.history.past(before.epoch)
        old = past.child(past.node(child(system, "a").path), "one")
        assert old is not None
        assert len(old.links) == 2
        assert bytes(await waited(past.read(old, 0, 100))) == b"content"
        found: list[Finding] = []
        await Check(fossil, found.append).run()
        assert list(map(str, found)) == []


async def test_archives_have_a_file_for_each_name(tmp_path: Path, autojump_clock: MockClock) -> None:
    """They share their blocks, and no two have one number."""
    venti = FlakyVenti()
    data = random.Random(1).randbytes(20_000)
    async with open_fossil(tmp_path, owner=OWNER, open_store=venti.connect, clock=trio.current_time) as fossil:
        system = fossil.system
        node = linked(system)
        system.write(node, 0, data, OWNER)
        fossil.history.take(ARCHIVE)
        await fossil.archiver.idle()
        score = fossil.history.last().score
        assert score is not None
        archive = await open_archive(venti.store, label.parse(score))
        (active,) = [file for file in await archive.top.files() if file.info.name == "active"]
        found = {}
        for folder in await active.files():
            if folder.info.name in ("a", "b"):
                for file in await folder.files():
                    found[file.info.name] = file
        assert sorted(found) == ["one", "three", "two"]
        assert len({file.qid for file in found.values()}) == 3
        assert len({file.entry.score for file in found.values()}) == 1


async def test_over_9p(tmp_path: Path) -> None:
    with Opened(tmp_path, rules=FREE) as opened:
        async with connected_to(opened) as remote:
            await remote.mkdir("d")
            await remote.write_bytes("one", b"x")
            async with await remote.walk("one") as file, await remote.walk("d") as folder:
                await folder.link("two", file)
                assert (await file.getattr()).nlink == 2
                with pytest.raises(FileExists):
                    await folder.link("two", file)
                with pytest.raises(NotPermitted):
                    await remote.root.link("loop", folder)
                async with await remote.walk("d/two") as other:
                    assert (await other.getattr()).nlink == 2
                    assert other.qid.path == file.qid.path
                    assert (await other.stat()).name == "two"
                async with await remote.walk("d") as listing:
                    await listing.open()
                    assert [entry.name for entry in await listing.list()] == ["two"]
                await remote.root.renameat("one", folder, "two")
                await remote.root.unlinkat("one")
                assert (await file.getattr()).nlink == 1
                await file.open(2)
                await folder.unlinkat("two")
                assert (await file.getattr()).nlink == 0
                with pytest.raises(FileNotFound):
                    await folder.link("again", file)
                await file.write_range(0, b"still here")
                assert (await file.getattr()).size == 10


async def test_there_is_a_bound(tmp_path: Path) -> None:
    with Opened(tmp_path, rules=FREE) as opened:
        system = opened.system
        node = linked(system)
        for number in range(MOST - 3):
            add(system, node, system.node(ROOT), f"n{number}", OWNER)
        system.commit()
        async with connected_to(opened) as remote, await remote.walk("a/one") as file:
            assert (await file.getattr()).nlink == MOST
            with pytest.raises(TooManyLinks):
                await remote.root.link("more", file)


async def brought_back(fossil: Fossil, snapshot: str, path: str, *, delete: bool) -> None:
    views = Views(fossil.system, fossil.history)
    names = [name for name in path.split("/") if name]
    async for _ in bring_back(views, views.named(snapshot), names, delete=delete, dry=False):
        pass


def content(system: FileSystem) -> dict[str, bytes]:
    """Path to content of all files in ``a`` and ``b``."""
    found = {}
    for folder in ("a", "b"):
        for name in system.children(child(system, folder)):
            node = child(system, folder, name)
            found[f"{folder}/{name}"] = bytes(system.content.read(system.extents(node), node.length, 0, 1000))
    return found


async def no_damage(fossil: Fossil) -> None:
    found: list[Finding] = []
    await Check(fossil, found.append).run()
    assert list(map(str, found)) == []


async def test_restoring_removes_the_name_that_was_not_there(tmp_path: Path) -> None:
    """And not the first one of the file, which may be anywhere."""
    async with open_fossil(tmp_path, owner=OWNER) as fossil:
        system = fossil.system
        folders = [system.create(system.node(ROOT), name, DMDIR | 0o755, OWNER, OWNER) for name in ("a", "b")]
        node = system.create(folders[0], "one", 0o640, OWNER, OWNER)
        system.write(node, 0, b"content", OWNER)
        taken = fossil.history.take(SNAPSHOT)
        add(system, node, folders[1], "two", OWNER)
        add(system, node, folders[1], "three", OWNER)
        system.commit()
        await brought_back(fossil, f"/snapshot/{taken.name}", "b", delete=True)
        assert content(system) == {"a/one": b"content"}
        await no_damage(fossil)


async def test_restoring_renames_the_name_of_the_directory(tmp_path: Path) -> None:
    async with open_fossil(tmp_path, owner=OWNER) as fossil:
        system = fossil.system
        node = linked(system)
        taken = fossil.history.take(SNAPSHOT)
        b = child(system, "b")
        system.rename(node, "other", OWNER, place=(b.path, "three"))
        system.commit()
        await brought_back(fossil, f"/snapshot/{taken.name}", "/", delete=True)
        assert content(system) == {"a/one": b"content", "b/two": b"content", "b/three": b"content"}
        assert len({child(system, *path.split("/")).path for path in content(system)}) == 1
        await no_damage(fossil)


@pytest.mark.parametrize("path", ["/", "b"])
async def test_restoring_a_name_that_was_another_file(tmp_path: Path, path: str) -> None:
    """What is one file now and was two gets both contents back, and a name that is not restored keeps its own."""
    async with open_fossil(tmp_path, owner=OWNER) as fossil:
        system = fossil.system
        a, b = (system.create(system.node(ROOT), name, DMDIR | 0o755, OWNER, OWNER) for name in ("a", "b"))
        first, second = (system.create(where, "file", 0o640, OWNER, OWNER) for where in (a, b))
        system.write(first, 0, b"first", OWNER)
        system.write(second, 0, b"other", OWNER)
        taken = fossil.history.take(SNAPSHOT)
        system.remove(first, OWNER)
        add(system, second, a, "file", OWNER)
        system.write(second, 0, b"first", OWNER)
        system.commit()
        await brought_back(fossil, f"/snapshot/{taken.name}", path, delete=False)
        assert content(system) == {"a/file": b"first", "b/file": b"other"}
        await no_damage(fossil)
