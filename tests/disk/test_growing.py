"""How far files are read: those that grow, those that tell no length, and those that tell a wrong one."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from ninep.disk import ReadBound
from ninep.disk.growing import PROBE

TOLD_NOTHING = Path("/proc/self/status")


def read(path: Path, *, most: int = 100, grow: bytes = b"") -> bytes:
    """All that is read of a file to which ``grow`` is added after each piece."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        bound, found = ReadBound(descriptor), b""
        while (wanted := bound.next(len(found), most)) and (piece := os.read(descriptor, wanted)):
            found += piece
            if grow:
                with path.open("ab") as out:
                    out.write(grow)
        return found
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1000])
def test_a_file_that_stays_as_it_is(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    assert read(tmp_path / "file") == b"x" * size


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_a_file_that_its_reader_makes_grow(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert read(path, grow=b"y" * 500) == b"x" * size


def test_a_file_that_was_empty_and_grows(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        bound = ReadBound(descriptor)
        path.write_bytes(b"x" * 150)
        assert bound.next(0, 100) == 100
        path.write_bytes(b"x" * 300)
        assert (bound.next(100, 100), bound.next(150, 100)) == (50, 0)
    finally:
        os.close(descriptor)


@pytest.mark.skipif(not TOLD_NOTHING.exists(), reason="there is no /proc")
def test_a_file_that_tells_no_length() -> None:
    assert os.stat(TOLD_NOTHING).st_size == 0
    assert read(TOLD_NOTHING).endswith(b"\n")
    assert len(read(TOLD_NOTHING)) > 500


def test_a_file_that_is_longer_than_it_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some file systems that are programs have them."""
    (tmp_path / "file").write_bytes(b"x" * 10)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        bound = ReadBound(descriptor)
        monkeypatch.setattr(os, "fstat", lambda _: SimpleNamespace(st_size=10))
        assert bound.next(0, 1 << 20) == 10
        assert [bound.next(done, 1 << 20) for done in (10, 5000, 1 << 40)] == [PROBE] * 3
    finally:
        os.close(descriptor)
