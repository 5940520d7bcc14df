"""What a loss of power leaves: a state that was, at most as old as the last time that it was made durable."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import trio

from contracts.served_file import OWNER
from fossil.errors import DamagedData, WritesStopped
from fossil.live.filesystem import ROOT, FileSystem
from fossil.metadata import redo, settled
from fossil.metadata.schema import checkpoint, open_reader, pinned
from fossil.metadata.syncpoint import SyncPoint


def names(system: FileSystem) -> set[str]:
    return set(system.children(system.node(ROOT))) - {"adm"}


def make(system: FileSystem, name: str) -> None:
    node = system.create(system.node(ROOT), name, 0o644, OWNER, OWNER)
    system.write(node, 0, name.encode() * 100, OWNER)
    system.record()


def restarted(folder: Path) -> None:
    """Makes a note look as if the machine had been started anew since."""
    note = settled.unpack((folder / settled.NAME).read_bytes())
    assert note is not None
    (folder / settled.NAME).write_bytes(settled.pack(note._replace(boot="another")))
    log = folder / "redo"
    if log.exists():
        log.write_bytes(redo.header("another") + log.read_bytes()[redo.HEADER :])


def left_by(folder: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    return to


@pytest.mark.parametrize("moved", [False, True])
def test_what_came_after_the_mark_is_cut_only_after_a_restart(tmp_path: Path, moved: bool) -> None:
    live = tmp_path / "live"
    live.mkdir()
    system = FileSystem(live, owner=OWNER)
    reader = open_reader(live / "metadata")
    try:
        make(system, "before")
        mark = system.sync_point.mark()
        with pinned(reader):
            make(system, "meanwhile")
            system.sync_point.write(mark)
            if moved:
                checkpoint(system.database)
        make(system, "after")

        copy = FileSystem(left_by(live, tmp_path / "copy"), owner=OWNER)
        assert names(copy) == {"before", "meanwhile", "after"}
        copy.close()

        restarted(left_by(live, tmp_path / "copy"))
        copy = FileSystem(tmp_path / "copy", owner=OWNER)
        assert names(copy) == {"before"}
        make(copy, "new")
        copy.close()
        copy = FileSystem(tmp_path / "copy", owner=OWNER)
        assert names(copy) == {"before", "new"}
        copy.close()
    finally:
        reader.close()
        system.close()


def test_a_log_that_was_begun_anew_is_cut_whole(tmp_path: Path) -> None:
    """All was moved into the database, and the write-ahead log is another one now."""
    live = tmp_path / "live"
    live.mkdir()
    system = FileSystem(live, owner=OWNER)
    make(system, "before")
    mark = system.sync_point.mark()
    system.sync_point.write(mark)
    checkpoint(system.database)
    make(system, "after")
    system.commit()
    assert settled.here(system.database.files).salt != mark.salt if mark else False
    restarted(left_by(live, tmp_path / "copy"))
    copy = FileSystem(tmp_path / "copy", owner=OWNER)
    assert names(copy) == {"before"}
    copy.close()
    system.close()


def test_a_clean_end_leaves_nothing_to_cut(tmp_path: Path) -> None:
    system = FileSystem(tmp_path, owner=OWNER)
    make(system, "one")
    system.sync_point.write(system.sync_point.mark())
    make(system, "two")
    system.close()
    restarted(tmp_path)
    system = FileSystem(tmp_path, owner=OWNER)
    assert names(system) == {"one", "two"}
    system.close()


def test_durable_needs_no_cut(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    system = FileSystem(live, owner=OWNER, durable=True)
    make(system, "one")
    system.sync_point.write(system.sync_point.mark())
    make(system, "two")
    restarted(left_by(live, tmp_path / "copy"))
    copy = FileSystem(tmp_path / "copy", owner=OWNER, durable=True)
    assert names(copy) == {"one", "two"}
    copy.close()
    system.close()


def test_a_client_that_asks_for_a_sync_gets_one(tmp_path: Path) -> None:
    """Whatever else is going on: settling, other clients that ask, changes in between."""
    live = tmp_path / "live"
    live.mkdir()
    system = FileSystem(live, owner=OWNER)

    async def asks(name: str) -> None:
        make(system, name)
        await system.sync_point.reach()
        answered.add(name)
        make(system, f"after {name}")
        restarted(left_by(live, tmp_path / f"copy {name}"))
        durable[name] = set(answered)

    async def all_ask() -> None:
        async with trio.open_nursery() as nursery:
            for name in "abcdefgh":
                nursery.start_soon(asks, name)

    answered: set[str] = set()
    durable: dict[str, set[str]] = {}
    trio.run(all_ask)
    system.close()
    for name, known in durable.items():
        copy = FileSystem(tmp_path / f"copy {name}", owner=OWNER)
        assert known <= names(copy)
        copy.close()


def test_clients_that_ask_together_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = FileSystem(tmp_path, owner=OWNER)
    syncs = []
    write = SyncPoint.write
    monkeypatch.setattr(SyncPoint, "write", lambda self, mark: (syncs.append(mark), write(self, mark)))

    async def all_ask() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(system.sync_point.reach)

    trio.run(all_ask)
    system.close()
    assert 1 <= len(syncs) <= 2


@pytest.mark.expects_errors
def test_nothing_is_synced_behind_a_failure(tmp_path: Path) -> None:
    """What the kernel could not write it may have dropped; a second try would find nothing to do and lie."""
    system = FileSystem(tmp_path, owner=OWNER)
    system.stop("fdatasync failed")
    with pytest.raises(WritesStopped):
        trio.run(system.sync_point.reach)
    system.close()


@pytest.mark.parametrize("damaged", [0, settled.PLACE])
def test_one_damaged_place_of_the_note_is_no_matter(tmp_path: Path, damaged: int) -> None:
    live = tmp_path / "live"
    live.mkdir()
    system = FileSystem(live, owner=OWNER)
    for name in ("one", "two", "three"):
        make(system, name)
        trio.run(system.sync_point.reach)
        left_by(live, tmp_path / "copy")
        with (tmp_path / "copy" / settled.NAME).open("r+b") as file:
            file.seek(damaged + 20)
            file.write(b"?")
        restarted(tmp_path / "copy")
        copy = FileSystem(tmp_path / "copy", owner=OWNER)
        assert name in names(copy)
        copy.close()
    system.close()


@pytest.mark.parametrize(
    "note", [b"", b"{", b"\0" * 5000, b"\xff" * 5000, b'{"boot": "x", "salt": 1, "length": []}', b"[1]"]
)
def test_a_damaged_note_costs_nothing(tmp_path: Path, note: bytes, caplog: pytest.LogCaptureFixture) -> None:
    live = tmp_path / "live"
    live.mkdir()
    system = FileSystem(live, owner=OWNER)
    make(system, "one")
    system.commit()
    copy = left_by(live, tmp_path / "copy")
    system.close()
    (copy / settled.NAME).write_bytes(note)
    system = FileSystem(copy, owner=OWNER)
    assert "opened with all that is there" in caplog.text
    assert names(system) == {"one"}
    make(system, "two")
    system.close()
    system = FileSystem(copy, owner=OWNER)
    assert names(system) == {"one", "two"}
    system.close()


def test_a_note_of_an_older_program_counts(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    system = FileSystem(live, owner=OWNER)
    make(system, "before")
    mark = system.sync_point.mark()
    assert mark is not None
    make(system, "after")
    system.commit()
    copy = left_by(live, tmp_path / "copy")
    system.close()
    (copy / settled.NAME).write_text(json.dumps({"boot": "another", **mark._asdict()}))
    (copy / "redo").unlink()
    system = FileSystem(copy, owner=OWNER)
    assert names(system) == {"before"}
    note = settled.unpack((copy / settled.NAME).read_bytes())
    assert note is not None
    assert note.boot == settled.boot()
    system.close()


@pytest.mark.parametrize("again", [False, True], ids=["killed", "started anew"])
@pytest.mark.parametrize("at", [3, 17, 30, 32 + 9, 32 + 20, 32 + 500, -4100, -1, None])
def test_rot_in_what_was_durable_of_the_log_is_told(tmp_path: Path, at: int | None, again: bool) -> None:
    """SQLite would take the log up to there for all of it."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    live.mkdir()
    system = FileSystem(live, owner=OWNER)
    for name in ("one", "two", "three"):
        make(system, name)
        trio.run(system.sync_point.reach)
    mark = settled.here(system.database.files)
    make(system, "four")
    system.commit()
    left_by(live, copy)
    system.close()
    if again:
        restarted(copy)
    log = copy / "metadata-wal"
    sound = log.read_bytes()
    if at is None:
        log.write_bytes(sound[: mark.length - 1])
    else:
        damaged = bytearray(sound)
        damaged[at % mark.length] ^= 1
        log.write_bytes(damaged)
    found = log.read_bytes()
    for _ in range(2):
        with pytest.raises(DamagedData, match=r"metadata-wal is damaged: .* restore the directory"):
            FileSystem(copy, owner=OWNER)
        assert log.read_bytes() == found
    log.write_bytes(sound)
    system = FileSystem(copy, owner=OWNER)
    assert names(system) == {"one", "two", "three"} | ({"four"} - {"four" if again else ""})
    system.close()


def test_a_durable_server_is_not_held_to_an_older_mark(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    system = FileSystem(live, owner=OWNER)
    make(system, "before")
    trio.run(system.sync_point.reach)
    copy = left_by(live, tmp_path / "killed")
    system.close()
    system = FileSystem(copy, owner=OWNER, durable=True)
    make(system, "durable")
    restarted(left_by(copy, tmp_path / "copy"))
    system.close()
    system = FileSystem(tmp_path / "copy", owner=OWNER)
    assert names(system) == {"before", "durable"}
    system.close()


def test_what_comes_after_a_durable_server_is_held_to_the_mark(tmp_path: Path) -> None:
    """Without --durable nothing says that the data came to the disk."""
    live = tmp_path / "live"
    live.mkdir()
    system = FileSystem(live, owner=OWNER, durable=True)
    make(system, "durable")
    copy = left_by(live, tmp_path / "killed")
    system.close()
    system = FileSystem(copy, owner=OWNER)
    make(system, "after")
    system.commit()
    restarted(left_by(copy, tmp_path / "copy"))
    system.close()
    system = FileSystem(tmp_path / "copy", owner=OWNER)
    assert names(system) == {"durable"}
    system.close()
