"""What a loss of power leaves: a state that was, at most as old as the last time that it was made durable."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from contracts.served_file import OWNER
from fossil import redo, settled
from fossil.errors import DamagedData
from fossil.filesystem import ROOT, FileSystem
from fossil.schema import checkpoint, open_reader, pinned


def names(system: FileSystem) -> set[str]:
    return set(system.children(system.node(ROOT))) - {"adm"}


def make(system: FileSystem, name: str) -> None:
    node = system.create(system.node(ROOT), name, 0o644, OWNER, OWNER)
    system.write(node, 0, name.encode() * 100, OWNER)
    system.record()


def restarted(folder: Path) -> None:
    """Makes a note look as if the machine had been started anew since."""
    found = json.loads((folder / settled.NAME).read_text())
    (folder / settled.NAME).write_text(json.dumps(found | {"boot": "another"}))
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
        mark = system.mark()
        with pinned(reader):
            make(system, "meanwhile")
            system.sync(mark)
            if moved:
                checkpoint(live / "metadata")
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
    mark = system.mark()
    system.sync(mark)
    checkpoint(live / "metadata")
    make(system, "after")
    system.commit()
    assert settled.here(live / "metadata").salt != mark.salt if mark else False
    restarted(left_by(live, tmp_path / "copy"))
    copy = FileSystem(tmp_path / "copy", owner=OWNER)
    assert names(copy) == {"before"}
    copy.close()
    system.close()


def test_a_clean_end_leaves_nothing_to_cut(tmp_path: Path) -> None:
    system = FileSystem(tmp_path, owner=OWNER)
    make(system, "one")
    system.sync(system.mark())
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
    system.sync(system.mark())
    make(system, "two")
    restarted(left_by(live, tmp_path / "copy"))
    copy = FileSystem(tmp_path / "copy", owner=OWNER, durable=True)
    assert names(copy) == {"one", "two"}
    copy.close()
    system.close()


def test_a_note_that_is_none(tmp_path: Path) -> None:
    FileSystem(tmp_path, owner=OWNER).close()
    (tmp_path / settled.NAME).write_text("{")
    with pytest.raises(DamagedData, match="remove it"):
        FileSystem(tmp_path, owner=OWNER)
