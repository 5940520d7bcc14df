"""A disk that is full or fails, and the room of what was removed."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest
from blake3 import blake3

from contracts.served_file import OWNER
from fakes.ninep_client import connected
from fossil.data.datalog import DataLog
from fossil.data.disk import DiskFile
from fossil.past.history import SNAPSHOT
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol import stat as st
from ninep.protocol.errors import FileSystemFull, NinepError
from ninep.wire.dialect import Buffer
from programs.opened_fossil import Opened, client


@pytest.mark.expects_errors
async def test_a_full_disk_refuses_what_grows_and_recovers(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            await raw.made("before", data=b"safe")
            pages = opened.system.database.execute("PRAGMA page_count").fetchone()[0]
            opened.system.database.execute(f"PRAGMA max_page_count={pages + 1}")
            names = 0
            refused = []
            while not opened.system.full and names < 3000:
                fid = raw.fid()
                calls = [raw.client.begin(m.Twalk(0, fid, [])), raw.client.begin(m.Tcreate(fid, f"{names}" * 20, 0, 0))]
                names += 1
                try:
                    for call in calls:
                        await raw.client.wait(call)
                except Exception as error:
                    assert str(error) == "file system is full"  # noqa: PT017 which write fails depends on the disk
                    refused.append(f"{names - 1}" * 20)
            assert opened.system.full
            assert opened.system.stopped is None
            assert await raw.refused(m.Tcreate(0, "after", 0o644, m.OREAD)) == "file system is full"
            # Whoever only reads does not notice.
            assert await raw.content("before") == b"safe"
            assert {entry.name for entry in await raw.list()} >= {"before"}
            opened.system.database.execute("PRAGMA max_page_count=1000000")
            await raw.ask(m.Tremove(await raw.walk("before")))
            assert not opened.system.full
            await raw.made("after", data=b"safe, too")
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            assert await raw.content("after") == b"safe, too"
            assert "before" not in {entry.name for entry in await raw.list()}


@pytest.mark.expects_errors
async def test_failed_commit_is_told_and_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            await raw.made("before", data=b"safe")
            opened.system.database.execute("PRAGMA query_only=1")

            def pwrite(*_: object) -> int:
                raise OSError(5, "Input/output error")

            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", pwrite)
                assert await raw.refused(m.Tcreate(await raw.walk(), "lost", 0o644, m.OREAD)) == "i/o error"
            assert opened.system.stopped is not None
            opened.system.database.execute("PRAGMA query_only=0")
            assert await raw.refused(m.Tcreate(0, "after", 0o644, m.OREAD)) == "i/o error"
            assert await raw.content("before") == b"safe"
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            assert await raw.content("before") == b"safe"
            assert {entry.name for entry in await raw.list()} == {"adm", "before"}


async def test_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            fid = await raw.create("file", data=b"before")

            def pwrite(*_: object) -> int:
                raise OSError(28, "No space left on device")

            opened.system.log.trim()
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", pwrite)
                patch.setattr(DiskFile, "reserve", pwrite)
                assert await raw.refused(m.Twrite(fid, 0, b"after!")) == "file system is full"
            assert await raw.content("file") == b"before"
            await raw.ask(m.Twrite(fid, 0, b"after!"))
            assert await raw.content("file") == b"after!"


async def test_freed_room_is_given_back(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            await raw.made("kept", data=b"k" * 60_000)
            for _ in range(20):
                await raw.made("file", data=os.urandom(60_000))
                await raw.ask(m.Tremove(await raw.walk("file")))
            opened.system.freed.settle()
            opened.system.freed.release()
            assert (tmp_path / "data").stat().st_blocks * 512 < 300_000
            fid = await raw.create("open", data=b"o" * 60_000)
            await raw.ask(m.Tremove(await raw.walk("open")))
            opened.system.freed.settle()
            opened.system.freed.release()
            assert await raw.read(fid, 0, 10) == b"o" * 10
            assert await raw.content("kept") == b"k" * 60_000


async def test_a_removed_file_keeps_its_pieces_while_it_is_open(tmp_path: Path) -> None:
    """Also those that were freed in part before, and those that a snapshot showed that is gone, too."""
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            old, new = os.urandom(50_000), os.urandom(50_000)
            first = await raw.create("first", data=old)
            second = await raw.create("second", data=new)
            taken = opened.history.take(SNAPSHOT)
            third = await raw.create("third", data=old)
            await raw.ask(m.Twrite(third, 0, new[:10_000]))
            for name in ("first", "second", "third"):
                await raw.ask(m.Tremove(await raw.walk(name)))
            opened.history.forget([taken.epoch])
            while opened.history.sweep():
                pass
            opened.history.take(SNAPSHOT)
            while opened.history.sweep():
                pass
            for _ in range(2):
                opened.system.freed.settle()
                opened.system.freed.release()
                opened.system.log._cache.clear()
                for fid, content in ((first, old), (second, new), (third, new[:10_000] + old[10_000:])):
                    assert await raw.read(fid, 0, 50_000) == content
            before = (tmp_path / "data").stat().st_blocks
            for fid in (first, second, third):
                await raw.ask(m.Tclunk(fid))
            opened.system.freed.settle()
            opened.system.freed.release()
            assert (tmp_path / "data").stat().st_blocks < before


def test_a_piece_that_is_freed_twice_gives_nothing_of_others_back(tmp_path: Path) -> None:
    with contextlib.closing(DataLog(tmp_path / "data", 0)) as log:
        pieces = [bytes((number,)) * 1000 for number in range(9)]
        places = [log.append(memoryview(piece)) for piece in pieces]
        log.flush()
        log.trim()
        for _ in range(10):
            log.free(places[1], 1000)
            log.free(places[5], 1000)
        for number in (0, 2, 3, 4, 6, 7, 8):
            digest = blake3(pieces[number]).digest()
            assert log.verify(places[number], 1000, digest) == pieces[number]
        before = (tmp_path / "data").stat().st_blocks
        for number in range(9):
            log.free(places[number], 1000)
        assert before - (tmp_path / "data").stat().st_blocks == 2 * 4096 // 512


class Filling:
    """A disk that has room for so many more bytes of data."""

    def __init__(self, patch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        write = DiskFile.write

        def limited(file: DiskFile, data: Buffer, place: int) -> None:
            if len(data) > self.room:
                raise OSError(28, "No space left on device")
            self.room -= len(data)
            write(file, data, place)

        patch.setattr(DiskFile, "write", limited)
        patch.setattr(DiskFile, "reserve", lambda *_: False)


@pytest.mark.parametrize("version", [m.VERSION, "9P2000.L"])
@pytest.mark.parametrize("perm", [0o644, st.DMAPPEND | 0o644])
async def test_a_large_write_on_a_disk_that_fills_up_is_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, perm: int
) -> None:
    """What was put there counts, as with write(2): the length, the version and the answer say so."""
    old, new = os.urandom(900_000), os.urandom(900_000)
    appends = bool(perm & st.DMAPPEND)
    with Opened(tmp_path) as opened:
        opened.system.writer.flush()
        async with connected(opened.tree, OWNER, msize=1 << 20) as raw:
            await raw.made("file", perm=perm, data=old)
            before = (await raw.stat("file")).qid.version
        async with connected(opened.tree, OWNER, msize=1 << 20, version=version, attach=False) as raw:
            await raw.ask(m.Tattach(0, m.NOFID, OWNER, ""))
            fid = raw.fid()
            await raw.ask(m.Twalk(0, fid, ["file"]))
            await raw.ask(m.Topen(fid, m.OWRITE) if version == m.VERSION else lm.Tlopen(fid, os.O_WRONLY))
            with monkeypatch.context() as patch:
                disk = Filling(patch, 200_000)
                written = (await raw.ask(m.Twrite(fid, 0, new))).count
                assert 131_072 <= written <= 200_000
                for _ in range(2):
                    with pytest.raises(NinepError) as refused:
                        await raw.ask(m.Twrite(fid, written, new[written:]))
                    assert isinstance(refused.value, FileSystemFull)
                disk.room = 1 << 30
                assert (await raw.ask(m.Twrite(fid, written, new[written:]))).count == len(new) - written
        async with client(opened) as raw:
            assert await raw.content("file") == (old + new if appends else new)
            assert (await raw.stat("file")).qid.version == before + 2
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            assert await raw.content("file") == (old + new if appends else new)


async def test_what_a_short_write_took_outlasts_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = os.urandom(900_000), os.urandom(900_000)
    (tmp_path / "a").mkdir()
    with Opened(tmp_path / "a") as opened:
        async with connected(opened.tree, OWNER, msize=1 << 20) as raw:
            fid = await raw.create("file", data=old)
            with monkeypatch.context() as patch:
                Filling(patch, 200_000)
                written = (await raw.ask(m.Twrite(fid, 0, new))).count
                shutil.copytree(tmp_path / "a", tmp_path / "b")
    with Opened(tmp_path / "b") as opened:
        async with client(opened) as raw:
            assert await raw.content("file") == new[:written] + old[written:]
