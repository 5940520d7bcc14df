"""Files of a data directory that are gone, are something else, or come from an older copy: no silent loss."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from contracts.served_file import OWNER
from fossil.errors import DamagedData
from fossil.live.filesystem import ROOT, FileSystem
from fossil.metadata.ledger import MOST

FILES = ("metadata", "metadata-head", "redo", "data", "settled")


def make(system: FileSystem, name: str) -> None:
    node = system.create(system.node(ROOT), name, 0o644, OWNER, OWNER)
    system.write(node, 0, name.encode() * 100, OWNER)
    system.record()


def names(folder: Path) -> set[str]:
    system = FileSystem(folder, owner=OWNER)
    try:
        return set(system.children(system.node(ROOT))) - {"adm"}
    finally:
        system.close()


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """What a server that was told to end has left."""
    folder = tmp_path / "stopped"
    folder.mkdir()
    system = FileSystem(folder, owner=OWNER)
    make(system, "one")
    system.close()
    return folder


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """What a server that was killed has left."""
    folder, copy = tmp_path / "live", tmp_path / "killed"
    folder.mkdir()
    system = FileSystem(folder, owner=OWNER)
    make(system, "one")
    shutil.copytree(folder, copy)
    system.close()
    return copy


def listed(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("left", ["stopped", "killed"])
@pytest.mark.parametrize("name", ["metadata", "data"])
def test_what_is_missing_is_asked_for(left: str, name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(left)
    for each in (name, "metadata-wal", "metadata-shm") if name == "metadata" else (name,):
        (folder / each).unlink(missing_ok=True)
    before = listed(folder)
    with pytest.raises(DamagedData, match=f"{name} is missing"):
        FileSystem(folder, owner=OWNER)
    assert listed(folder) == before


def test_a_database_without_a_byte_is_no_fresh_one(stopped: Path) -> None:
    (stopped / "metadata").write_bytes(b"")
    for kept in (True, False):
        if not kept:
            (stopped / "metadata-head").unlink()
        with pytest.raises(DamagedData, match="metadata is empty"):
            FileSystem(stopped, owner=OWNER)


def test_an_empty_file_opens_the_rest(stopped: Path) -> None:
    (stopped / "data").unlink()
    (stopped / "data").touch()
    assert names(stopped) == {"one"}


def test_the_redo_log_of_a_killed_server_is_asked_for(killed: Path) -> None:
    (killed / "redo").unlink()
    with pytest.raises(DamagedData, match="redo is missing"):
        FileSystem(killed, owner=OWNER)


@pytest.mark.expects_errors
@pytest.mark.parametrize("left", [b"", bytes(1 << 20)])
def test_a_redo_log_that_says_nothing_is_told_of(killed: Path, left: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (killed / "redo").write_bytes(left)
    assert names(killed) == set()
    assert "what was answered last is lost" in caplog.text
    caplog.clear()
    assert names(killed) == set()
    assert not caplog.text


@pytest.mark.expects_errors
def test_a_damaged_first_group_is_told_of(killed: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = killed.parent / "twice"
    folder.mkdir()
    system = FileSystem(folder, owner=OWNER)
    make(system, "one")
    make(system, "two")
    copy = shutil.copytree(folder, killed.parent / "copy")
    system.close()
    with (copy / "redo").open("r+b") as file:
        file.seek(64 + 20)
        file.write(b"\xff\xff")
    names(copy)
    assert "redo is damaged" in caplog.text


def test_a_database_older_than_the_redo_log_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    system = FileSystem(folder, owner=OWNER)
    make(system, "first")
    older = shutil.copytree(folder, tmp_path / "older")
    for number in range(2 * MOST):
        make(system, f"file-{number}")
    newer = shutil.copytree(folder, tmp_path / "newer")
    system.close()
    assert len(names(shutil.copytree(newer, tmp_path / "same"))) == 2 * MOST + 1
    shutil.copy(newer / "redo", older / "redo")
    with pytest.raises(DamagedData, match="metadata is older than"):
        FileSystem(older, owner=OWNER)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("what", ["folder", "pipe", "link"])
def test_something_else_has_the_name_of_a_file(stopped: Path, name: str, what: str) -> None:
    path = stopped / name
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(stopped / "nowhere")
    with pytest.raises(DamagedData, match=name):
        FileSystem(stopped, owner=OWNER)


def test_files_may_be_links(stopped: Path, tmp_path: Path) -> None:
    for name in ("data", "redo"):
        (stopped / name).rename(tmp_path / name)
        (stopped / name).symlink_to(tmp_path / name)
    assert names(stopped) == {"one"}
