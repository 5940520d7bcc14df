"""Archives over 9P: what was recorded of the original's, what is fetched, and what happens when venti is away."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from contracts.walked_tree import all_of, check_unique
from fakes import recorded_archives
from fakes.ninep_client import Raw, connected
from fossil.archive.vault import Vault
from fossil.archive.vaultstore import VaultStore
from fossil.errors import ArchiveAway
from fossil.files.vacfs import VacTree
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.stat import Stat
from ninep.server.files import FileTree
from programs.processes import Program, free_port, run
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, DamagedArchive
from venti.blocks.score import Score
from venti.stores.interface import BlockStore
from venti.stores.memory import MemoryStore
from venti.stores.write_behind import write_behind
from venti.vac import label
from venti.vac import mode as modes
from venti.vac.direntry import DirEntry
from venti.vac.reader import open_archive
from venti.vac.writer import VacWriter

ARCHIVES = recorded_archives.archives()
recorded = pytest.mark.parametrize("recorded", ARCHIVES, ids=[archive["name"] for archive in ARCHIVES])


class Counted:
    """Counts what is fetched from a store; can be told to be away."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.reads = 0
        self.opens = 0
        self.away = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[BlockStore]:
        self.opens += 1
        if self.away:
            raise OSError("connection refused")
        yield self

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        if self.away:
            raise OSError("connection reset")
        self.reads += 1
        return await self.store.read(score, type, limit)


@asynccontextmanager
async def client(tree: FileTree, user: str = "glenda", aname: str = "") -> AsyncIterator[Raw]:
    async with connected(tree, user, aname=aname) as raw:
        yield raw


@recorded
async def test_all_of_an_archive(recorded: dict[str, Any]) -> None:
    """Also where the original gave several files one qid: a client that keeps content by qid must not mix them up."""
    store = recorded_archives.store()
    tree = VacTree(store, label.parse(recorded["vac"]), permissions=False)
    archive = await open_archive(store, label.parse(recorded["vac"]))
    async with client(tree) as raw:
        assert (await raw.stat()).name == "/"
        paths = []
        for row in recorded["files"]:
            names = row["path"].split("/")
            file = await archive.walk(names)
            stat = await raw.stat(*names)
            assert (stat.name, stat.length, stat.mtime, stat.uid, stat.gid, stat.muid) == (
                (names[-1], file.size, file.info.mtime, file.info.uid, file.info.gid, file.info.mid)
            )
            assert stat.mode & 0o777 == file.info.mode & 0o777
            if file.info.directory:
                listed = await raw.list(*names)
                assert {entry.name for entry in listed} == {child.info.name for child in await file.files()}
                assert [await raw.stat(*names, entry.name) for entry in listed[:5]] == listed[:5]
            elif file.size < 1 << 20:
                assert await raw.content(*names) == await file.read(0, file.size)
            else:
                fid = await raw.open(*names)
                for offset in (0, file.size // 2, file.size - 10):
                    assert await raw.read(fid, offset, 100) == await file.read(offset, 100)
            paths.append(stat.qid.path)
        assert len(set(paths)) == len(paths)


@recorded
async def test_no_two_files_have_one_qid_path(recorded: dict[str, Any]) -> None:
    """Whatever ids the archive has, and the same at every start."""
    found = []
    for _ in range(2):
        tree = VacTree(recorded_archives.store(), label.parse(recorded["vac"]), permissions=False)
        async with client(tree) as raw:
            found.append(await all_of(raw))
            check_unique(found[-1])
    assert found[0] == found[1]


async def made(store: MemoryStore, names: dict[str, bytes], **info: Any) -> Score:
    """An archive with one directory, ``dir``."""
    async with write_behind(store) as behind:
        writer = VacWriter(behind)
        top, inner = writer.directory(), writer.directory()
        for number, (name, data) in enumerate(sorted(names.items(), key=lambda item: os.fsencode(item[0])), 3):
            tree = writer.tree()
            await tree.write(data)
            what = {"mode": 0o640, "uid": "rob", "gid": "dev", "mtime": 5, **info}
            await inner.add_file(DirEntry(name, qid=number, **what), await tree.finish())
        await top.add_directory(
            DirEntry("dir", modes.DIRECTORY | 0o755, qid=2, uid="rob", gid="dev"), await inner.finish()
        )
        return await writer.finish(DirEntry("root", modes.DIRECTORY | 0o755, qid=1, uid="rob"), await top.finish())


async def test_nothing_can_be_changed() -> None:
    store = MemoryStore()
    score = await made(store, {"file": b"text"})
    async with client(VacTree(store, score, permissions=False)) as raw:
        fid = await raw.walk("dir", "file")
        for request in (
            m.Topen(fid, m.OWRITE),
            m.Topen(fid, m.ORDWR),
            m.Topen(fid, m.OREAD | m.OTRUNC),
            m.Topen(fid, m.ORCLOSE),
            m.Tcreate(await raw.walk("dir"), "x", 0o644, m.OREAD),
            m.Twstat(fid, Stat(mode=0o600)),
            m.Tremove(fid),
        ):
            assert await raw.refused(request) == "read only file system"
        await raw.ask(m.Twstat(await raw.walk("dir", "file"), Stat()))


@pytest.mark.parametrize(
    ("user", "mode", "may"),
    [
        ("rob", 0o400, True),
        ("dev", 0o040, True),
        ("ken", 0o440, False),
        ("ken", 0o004, True),
        ("none", 0o770, False),
        ("rob", 0o000, False),
    ],
)
async def test_permissions(user: str, mode: int, may: bool) -> None:
    """A user and a group of his name; an archive knows no members."""
    store = MemoryStore()
    score = await made(store, {"file": b"text"}, mode=mode)
    async with client(VacTree(store, score), user) as raw:
        fid = await raw.walk("dir", "file")
        if may:
            await raw.ask(m.Topen(fid, m.OREAD))
        else:
            assert await raw.refused(m.Topen(fid, m.OREAD)) == "permission denied"
    async with client(VacTree(store, score, permissions=False), user) as raw:
        assert await raw.content("dir", "file") == b"text"


async def test_bits_and_names() -> None:
    store = MemoryStore()
    names = {"plain": b"1", "ümläut": b"2", os.fsdecode(b"latin\xe9"): b"3"}
    score = await made(store, names, mode=modes.APPEND | modes.TEMPORARY | 0o644)
    async with client(VacTree(store, score), aname="dir") as raw:
        entries = {entry.name: entry for entry in await raw.list()}
        assert set(entries) == {"plain", "ümläut", "latin\ufffd"}
        assert entries["plain"].mode == st.DMAPPEND | st.DMTMP | 0o644
        assert await raw.content("latin\ufffd") == b"3"
        assert [entry.name for entry in await raw.list("..", "..")] == ["dir"]
        assert await raw.refused(m.Twalk(0, raw.fid(), ["nosuch"])) == "file does not exist"


async def test_only_what_is_looked_at_is_fetched_and_only_once() -> None:
    store = MemoryStore()
    score = await made(store, {f"{number:03}": os.urandom(9000) for number in range(50)})
    counted = Counted(store)
    vault = Vault(counted.open)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(vault.run)
        async with client(VacTree(VaultStore(vault), score, permissions=False)) as raw:
            await raw.stat("dir", "017")
            before = counted.reads
            assert before < 20
            await raw.content("dir", "017")
            fetched = counted.reads - before
            assert 2 <= fetched <= 4
            await raw.content("dir", "017")
            await raw.stat("dir", "017")
            assert counted.reads == before + fetched
        nursery.cancel_scope.cancel()


async def test_the_cache_is_bounded() -> None:
    store = MemoryStore()
    scores = [await store.write(BlockType.DATA, os.urandom(1000)) for _ in range(20)]
    counted = Counted(store)
    vault = Vault(counted.open)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(vault.run)
        cached = VaultStore(vault, cache=5000)
        for _ in range(2):
            for score in scores:
                assert Score.of(await cached.read(score, BlockType.DATA, 1000)) == score
        assert counted.reads == 40
        for score in scores[-5:]:
            await cached.read(score, BlockType.DATA, 1000)
        assert counted.reads == 40
        nursery.cancel_scope.cancel()


@pytest.mark.expects_errors
async def test_venti_goes_away_and_comes_back(autojump_clock: trio.testing.MockClock) -> None:
    """What is in memory is served meanwhile; the rest is an i/o error, and never for longer than venti is away."""
    store = MemoryStore()
    score = await made(store, {"one": b"first", "two": b"second" * 2000})
    counted = Counted(store)
    vault = Vault(counted.open)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(vault.run)
        async with client(VacTree(VaultStore(vault), score, permissions=False)) as raw:
            assert await raw.content("dir", "one") == b"first"
            fid = await raw.open("dir", "two")
            counted.away = True
            assert await raw.refused(m.Tread(fid, 0, 10)) == "i/o error"
            await trio.sleep(600)
            assert await raw.refused(m.Tread(fid, 0, 10)) == "i/o error"
            assert await raw.content("dir", "one") == b"first"
            counted.away = False
            await trio.sleep(60)
            assert await raw.read(fid, 0, 10) == b"secondseco"
        nursery.cancel_scope.cancel()


async def test_scores_that_are_none(autojump_clock: trio.testing.MockClock) -> None:
    store = MemoryStore()
    with pytest.raises(BlockNotFound):
        await VacTree(store, Score.of(b"nothing")).top()
    block = os.urandom(300)
    score = await store.write(BlockType.ROOT, block)
    with pytest.raises(DamagedArchive):
        await VacTree(store, score).top()
    counted = Counted(store)
    counted.away = True
    vault = Vault(counted.open)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(vault.run)
        with pytest.raises(ArchiveAway):
            await VacTree(VaultStore(vault), score).top()
        nursery.cancel_scope.cancel()


def test_the_program(tmp_path: Path) -> None:
    """From a directory to an archive in a store, and back over 9P."""
    (tmp_path / "files" / "dir").mkdir(parents=True)
    (tmp_path / "files" / "dir" / "file").write_bytes(b"hello\n" * 5000)
    port, store = free_port(), tmp_path / "store"
    server = Program(port, "venti", "serve", f"tcp!127.0.0.1!{port}", "--store", str(store), log=tmp_path / "venti.log")
    try:
        score = run("venti", "vac", "-h", f"tcp!127.0.0.1!{port}", "files", cwd=tmp_path).split()[-1]
    finally:
        server.stop()
    port = free_port()
    address = f"tcp!127.0.0.1!{port}"
    words = ("fossil", "vacfs", "-p", "--store", str(store), score, address)
    served = Program(port, *words, log=tmp_path / "vacfs.log")
    try:
        assert run("ninep", "-a", address, "cat", "/files/dir/file") == "hello\n" * 5000
    finally:
        served.stop()
    assert f"serving {score} on {address}, read-only" in (tmp_path / "vacfs.log").read_text()
