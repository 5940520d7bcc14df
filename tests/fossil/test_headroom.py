"""A disk that another program fills: what is refused is not done, nothing is broken, and all goes on by itself."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from contracts.served_file import OWNER
from fossil.live.filesystem import ROOT, FileSystem
from fossil.metadata import headroom, ledger, redo
from fossil.metadata.headroom import ROW, Headroom, is_full
from fossil.metadata.redolog import RedoLog
from fossil.metadata.schema import Database
from fossil.metadata.settled import boot
from fossil.server import service
from fossil.server.service import open_fossil
from ninep import disk
from ninep.disk import PositionedFile
from ninep.protocol import messages as m
from ninep.protocol.stat import Stat
from programs.opened_fossil import Opened, client


@contextmanager
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The disk has nothing left, but for what was taken of it before."""

    def reserve(*_: object) -> bool:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(PositionedFile, "reserve", reserve)
        yield


@pytest.mark.expects_errors
@pytest.mark.parametrize("durable", [False, True])
async def test_what_is_refused_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool) -> None:
    """Removing goes on for as long as room that was taken beforehand lasts."""
    monkeypatch.setattr(headroom, "AHEAD", 16)
    with Opened(tmp_path, durable=durable) as opened:
        async with client(opened) as raw:
            names = [f"f{number}" for number in range(600)]
            for name in names:
                await raw.made(name)
                opened.system.commit()
            done = []
            with full(monkeypatch):
                for name in names:
                    opened.system.commit()
                    try:
                        await raw.ask(m.Tremove(await raw.walk(name)))
                    except Exception as error:
                        assert str(error) == "file system is full"  # noqa: PT017 when it is depends on the disk
                        break
                    done.append(name)
                assert 0 < len(done) < len(names)
                left = names[len(done) :]
                for changes in (Stat(name="renamed"), Stat(mode=0o600), Stat(length=5)):
                    assert await raw.refused(m.Twstat(await raw.walk(left[0]), changes)) == "file system is full"
                cut = m.Topen(await raw.walk(left[0]), m.OWRITE | m.OTRUNC)
                assert await raw.refused(cut) == "file system is full"
                assert await raw.refused(m.Tcreate(await raw.walk(), "new", 0o644, 0)) == "file system is full"
                fid = await raw.walk(left[0])
                await raw.ask(m.Topen(fid, m.OWRITE))
                assert await raw.refused(m.Twrite(fid, 0, b"more")) == "file system is full"
                assert {entry.name for entry in await raw.list()} - {"adm"} == set(left)
                assert await raw.content(left[0]) == b""
            await raw.ask(m.Twrite(fid, 0, b"more"))
            await raw.ask(m.Tremove(await raw.walk(left[1])))
            assert not opened.system.full
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            assert {entry.name for entry in await raw.list()} - {"adm"} == set(left) - {left[1]}
            assert await raw.content(left[0]) == b"more"


def test_room_is_taken_for_every_row(tmp_path: Path) -> None:
    system = FileSystem(tmp_path, owner=OWNER)
    room = Headroom(system.database.files, tmp_path)
    room.ensure(1000)
    assert (tmp_path / "metadata-wal").stat().st_blocks * 512 >= 1000 * ROW
    system.close()


@pytest.mark.expects_errors
async def test_a_database_that_cannot_grow_is_no_broken_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = trio.Event()
    limit = service.checkpoint

    def checkpoint(database: Database) -> None:
        trio.from_thread.run_sync(failed.set)
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(service, "checkpoint", checkpoint)
    async with open_fossil(tmp_path, owner=OWNER) as fossil:
        await failed.wait()
        await fossil.settle()
        assert fossil.system.stopped is None
        node = fossil.system.create(fossil.system.node(ROOT), "large", 0o644, OWNER, OWNER)
        fossil.system.write(node, 0, b"x" * 65536, OWNER)
        await fossil.settle()
        before = fossil.system.log.used()
        fossil.system.remove(node, OWNER)
        await fossil.settle()
        assert fossil.system.log.used() < before
        monkeypatch.setattr(service, "checkpoint", limit)
        fossil.system.create(fossil.system.node(ROOT), "more", 0o644, OWNER, OWNER)
        fossil.system.record()
        await fossil.settle()


@pytest.mark.parametrize(
    ("code", "room", "told"),
    [
        (sqlite3.SQLITE_FULL, True, True),
        (sqlite3.SQLITE_IOERR_WRITE, True, False),
        (sqlite3.SQLITE_IOERR_WRITE, False, True),
        (sqlite3.SQLITE_IOERR_SHMSIZE, False, True),
        (sqlite3.SQLITE_CANTOPEN, False, True),
        (sqlite3.SQLITE_CORRUPT, False, False),
    ],
)
def test_a_full_disk_is_told_from_a_broken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, room: bool, told: bool
) -> None:
    """SQLite says nothing of quotas, nor of why it could not lengthen the files beside the database."""
    monkeypatch.setattr(disk, "has_room", lambda folder: room)
    error = sqlite3.OperationalError("something")
    error.sqlite_errorcode = code
    assert is_full(error, tmp_path) is told


def test_the_redo_log_keeps_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not given back when a file system is opened, since another program may have it then."""
    FileSystem(tmp_path, owner=OWNER).close()
    path = tmp_path / "redo"
    before = path.stat()
    path.write_bytes(path.read_bytes()[: redo.HEADER] + b"left over" + path.read_bytes()[redo.HEADER + 9 :])
    monkeypatch.setattr(os, "ftruncate", lambda *_: pytest.fail("it is cut"))
    RedoLog(path).close()
    assert path.stat().st_size == before.st_size
    assert path.read_bytes()[redo.HEADER : redo.HEADER + 9] == b"left over"


@pytest.mark.expects_errors
def test_groups_from_before_a_loss_of_power_stay_old(tmp_path: Path) -> None:
    """The file is begun again with the boot id of today, and they stand behind the new groups."""
    system = FileSystem(tmp_path, owner=OWNER)
    for name in ("one", "two"):
        system.create(system.node(ROOT), name, 0o644, OWNER, OWNER)
        system.record()
    generation = system.ledger.generation
    data = (tmp_path / "redo").read_bytes()
    groups = list(redo.groups(data, generation, boot()))
    assert len(groups) >= 2
    system.close()
    (tmp_path / "redo").write_bytes(redo.header("another") + data[redo.HEADER :])
    system = FileSystem(tmp_path, owner=OWNER)
    found = (tmp_path / "redo").read_bytes()
    assert not list(redo.groups(found, system.ledger.generation, boot()))
    system.close()


@pytest.mark.expects_errors
def test_a_redo_log_that_had_no_room_is_made_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(path: Path) -> RedoLog:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "RedoLog", no_room)
        system = FileSystem(tmp_path, owner=OWNER)
    assert system.ledger.log is None
    system.create(system.node(ROOT), "one", 0o644, OWNER, OWNER)
    system.record()
    system.ledger.begin_log()
    assert system.ledger.log is not None
    system.create(system.node(ROOT), "two", 0o644, OWNER, OWNER)
    system.record()
    assert system.ledger.behind
    system.close()
