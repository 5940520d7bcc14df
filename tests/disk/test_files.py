"""Files whose content has to survive: whole or as they were, on a disk that takes part of a write, or is full."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ninep.disk import (
    AlreadyLocked,
    LockFile,
    PositionedFile,
    has_room,
    make_folders,
    pread_all,
    pwrite_all,
    replace_file,
    sync_folder,
)
from ninep.disk.positioned import MOST_PIECES


@pytest.fixture
def file(tmp_path: Path) -> PositionedFile:
    return PositionedFile.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)


@pytest.fixture
def reluctant(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that takes and gives at most three bytes at once."""
    pwrite, pread = os.pwrite, os.pread
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, memoryview(data)[:3], offset))
    monkeypatch.setattr(os, "pwritev", lambda fd, pieces, offset: pwrite(fd, b"".join(pieces)[:3], offset))
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: pread(fd, min(size, 3), offset))


@pytest.mark.usefixtures("reluctant")
def test_short_writes_and_reads_are_finished(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    pwrite_all(descriptor, b"0123456789", 5)
    assert pread_all(descriptor, 100, 0) == bytes(5) + b"0123456789"
    os.close(descriptor)


@pytest.mark.usefixtures("reluctant")
def test_a_gathering_write_is_finished(file: PositionedFile) -> None:
    file.write([b"ab", b"cdef", b"", b"gh"], 1)
    assert file.read(100, 0) == b"\0abcdefgh"


def test_more_pieces_than_the_system_takes_at_once(file: PositionedFile) -> None:
    pieces = [bytes([n % 251]) for n in range(2 * MOST_PIECES + 5)]
    file.write(pieces, 0)
    assert file.read(10_000, 0) == b"".join(pieces)


def test_a_disk_that_takes_nothing_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    with pytest.raises(OSError, match="takes nothing"):
        pwrite_all(descriptor, b"data", 0)
    os.close(descriptor)


def test_reserved_room_is_not_content(file: PositionedFile) -> None:
    file.write((b"data",), 0)
    assert file.reserve(0, 1 << 20)
    assert file.size() == 4
    assert file.used() >= 1 << 20
    assert file.punch(0, 1 << 20)
    assert file.read(10, 0) == bytes(4)


def test_room_that_the_disk_has_not_is_an_error(file: PositionedFile) -> None:
    with pytest.raises(OSError, match=r"No space|File too large"):
        file.reserve(0, 1 << 60)


def test_replacing_keeps_the_mode_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"first", mode=0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    (tmp_path / "file.new").write_text("left by a crash, and longer than what comes")
    replace_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_what_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_content_is_synced_before_the_name_and_the_name_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def replaced(old: Path, new: Path) -> Path:
        steps.append("replace")
        return replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    replace_file(tmp_path / "file", b"data")
    assert steps == [str(tmp_path / "file.new"), "replace", str(tmp_path)]


def test_each_directory_that_is_made_is_synced_into_the_one_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    make_folders(tmp_path / "a/b/c", 0o700)
    assert synced == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a/b")]
    assert stat.S_IMODE((tmp_path / "a/b/c").stat().st_mode) == 0o700
    make_folders(tmp_path / "a/b/c")
    assert len(synced) == 3
    sync_folder(tmp_path)
    assert len(synced) == 4


def test_a_file_in_the_place_of_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_folders(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        make_folders(tmp_path / "file/below")


def test_a_lock_is_for_one_and_says_whose(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = LockFile(path)
    lock.note()
    with pytest.raises(AlreadyLocked) as caught:
        LockFile(path)
    assert caught.value.holder == os.getpid()
    lock.release()
    lock.release()
    assert path.read_bytes() == b""
    LockFile(path).release()


def test_readers_share_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("999999999\n")
    readers = [LockFile(path, shared=True, make=False) for _ in range(2)]
    with pytest.raises(AlreadyLocked, match="another process") as caught:
        LockFile(path)
    assert caught.value.holder is None
    for reader in readers:
        reader.release()
    with pytest.raises(FileNotFoundError):
        LockFile(tmp_path / "none", shared=True, make=False)


def test_the_end_of_a_process_frees_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = f"import os; from ninep.disk import LockFile; LockFile({str(path)!r}).note(); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True)
    LockFile(path).release()


def test_whether_a_disk_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_room(tmp_path)
    assert os.listdir(tmp_path) == []

    def refuse(number: int) -> None:
        def fallocate(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "posix_fallocate", fallocate)

    for number, room in ((errno.ENOSPC, False), (errno.EDQUOT, False), (errno.EOPNOTSUPP, True)):
        refuse(number)
        assert has_room(tmp_path) is room
