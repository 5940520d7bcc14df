"""A local file gets to its place whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from ninep.disk import FileBeside

ROOT = os.geteuid() == 0


def written(path: Path, data: bytes, *, follow: bool = False, place: bool = True) -> None:
    file = FileBeside(os.fspath(path), follow=follow)
    try:
        os.write(file.descriptor, data)
        if place:
            file.place(0o640, (5, 6))
    finally:
        file.close()


@pytest.mark.parametrize("follow", [True, False])
def test_placed(tmp_path: Path, follow: bool) -> None:
    (tmp_path / "old").write_bytes(b"old")
    for name in ("old", "new"):
        written(tmp_path / name, b"content", follow=follow)
        assert (tmp_path / name).read_bytes() == b"content"
        status = (tmp_path / name).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o640, 6)
    assert sorted(os.listdir(tmp_path)) == ["new", "old"]


def test_not_placed(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    for name in ("old", "new"):
        written(tmp_path / name, b"content", place=False)
    assert (tmp_path / "old").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["old"]


def test_nobody_else_reads_it_before_it_has_its_permissions(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = FileBeside(os.fspath(tmp_path / "secret"))
        assert stat.S_IMODE(os.fstat(file.descriptor).st_mode) == 0o600
        file.close()
    finally:
        os.umask(before)


def test_a_symbolic_link_is_followed_or_replaced(tmp_path: Path) -> None:
    for follow in (True, False):
        (tmp_path / "target").write_bytes(b"old")
        link = tmp_path / f"link-{follow}"
        link.symlink_to("target")
        written(link, b"content", follow=follow)
        assert link.is_symlink() is follow
        assert (tmp_path / "target").read_bytes() == (b"content" if follow else b"old")
        assert link.read_bytes() == b"content"


def test_a_directory(tmp_path: Path) -> None:
    for follow in (True, False):
        with pytest.raises(IsADirectoryError):
            FileBeside(os.fspath(tmp_path), follow=follow)
    with pytest.raises(FileNotFoundError):
        FileBeside(os.fspath(tmp_path / "none" / "file"))


def test_a_device_and_a_pipe_are_written_themselves(tmp_path: Path) -> None:
    written(Path("/dev/null"), b"content", follow=True)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    os.mkfifo(tmp_path / "pipe")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    written(tmp_path / "pipe", b"content", follow=True)
    reader.join()
    assert found == [b"content"]
    with pytest.raises(OSError, match="No such device"):
        FileBeside(os.fspath(tmp_path / "pipe"))


@pytest.mark.skipif(ROOT, reason="root may write anywhere")
def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o444)
    with pytest.raises(PermissionError):
        FileBeside(os.fspath(tmp_path / "file"), follow=True)
    written(tmp_path / "file", b"content")


@pytest.mark.skipif(ROOT, reason="root may write anywhere")
def test_a_file_in_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    tmp_path.chmod(0o555)
    try:
        written(tmp_path / "file", b"content")
        assert (tmp_path / "file").read_bytes() == b"content"
        with pytest.raises(PermissionError):
            FileBeside(os.fspath(tmp_path / "new"))
    finally:
        tmp_path.chmod(0o755)


def test_a_name_as_long_as_a_name_can_be(tmp_path: Path) -> None:
    for name in ("x" * 255, "\u00e4" * 127):
        written(tmp_path / name, b"content")
