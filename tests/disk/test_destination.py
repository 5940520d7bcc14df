"""Results under names: whole, or what was there before."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from ninep.disk import Destination, check_writable, destination, write_text


def only(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_new_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "new"
    with Destination(place) as out:
        out.write(b"half")
        assert not place.exists()
        out.write(b" and half")
        out.commit()
    assert place.read_bytes() == b"half and half"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(place.stat().st_mode) == 0o666 & ~mask
    assert only(tmp_path) == ["new"]


def test_what_was_there_stays_until_then_and_keeps_its_rights(tmp_path: Path) -> None:
    place = tmp_path / "old"
    place.write_bytes(b"precious")
    place.chmod(0o640)
    with Destination(place) as out:
        out.write(b"half")
        assert place.read_bytes() == b"precious"
    assert place.read_bytes() == b"precious"
    assert only(tmp_path) == ["old"]
    write_text(place, "whole")
    assert place.read_bytes() == b"whole"
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    with Destination(place) as out:
        out.commit(mode=0o600, mtime_ns=5_000_000_007)
    assert (stat.S_IMODE(place.stat().st_mode), place.stat().st_mtime_ns) == (0o600, 5_000_000_007)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_leads_to_the_result(tmp_path: Path, there: bool) -> None:
    (tmp_path / "a").mkdir()
    if there:
        (tmp_path / "a/real").write_text("old")
    (tmp_path / "a/second").symlink_to("real")
    (tmp_path / "first").symlink_to("a/second")
    check_writable(tmp_path / "first")
    write_text(tmp_path / "first", "result")
    assert (tmp_path / "first").is_symlink()
    assert (tmp_path / "a/second").is_symlink()
    assert (tmp_path / "a/real").read_text() == "result"
    assert only(tmp_path / "a") == ["real", "second"]


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for work in (check_writable, Destination):
        with pytest.raises(OSError, match="levels of symbolic links") as caught:
            work(tmp_path / "a")
        assert caught.value.filename == str(tmp_path / "a")


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_writable(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_text(pipe, "through")
    reader.join(20)
    assert got == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_is_written_through() -> None:
    write_text("/dev/null", "gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(OSError, match="No space left") as caught:
        write_text("/dev/full", "gone")
    assert caught.value.filename == "/dev/full"


@pytest.mark.parametrize("form", ["/dev/fd/{}", "/proc/self/fd/{}", "/proc/{pid}/fd/{}"])
def test_a_descriptor_is_written_where_it_stands(tmp_path: Path, form: str) -> None:
    with (tmp_path / "log").open("wb", buffering=0) as log:
        log.write(b"before ")
        write_text(form.format(log.fileno(), pid=os.getpid()), "result")
        log.write(b" behind")
    assert (tmp_path / "log").read_bytes() == b"before result behind"
    assert only(tmp_path) == ["log"]


@pytest.mark.parametrize("name", ["no/where", "folder", "folder/", "file/below"])
def test_places_that_cannot_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("file")
    path = f"{tmp_path}/{name}"
    for work in (check_writable, Destination):
        with pytest.raises(OSError, match="directory") as caught:
            work(path)
        assert caught.value.filename == path
    assert only(tmp_path) == ["file", "folder"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everything")
def test_rights_of_somebody_else(tmp_path: Path) -> None:
    place = tmp_path / "read-only"
    place.write_text("old")
    place.chmod(0o400)
    for work in (check_writable, Destination):
        with pytest.raises(PermissionError):
            work(place)


def test_a_directory_that_takes_no_file_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "file"
    place.write_text("old content")
    before = place.stat().st_ino
    real = os.open

    def refusing(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, *rest)

    monkeypatch.setattr(destination.os, "open", refusing)
    write_text(place, "new")
    assert (place.read_text(), place.stat().st_ino) == ("new", before)
    with Destination(place) as out:
        out.write(b"ha")
    assert "only a part is written" in caplog.text


def test_a_file_that_is_mounted_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "file"
    place.write_text("old content")
    before = place.stat().st_ino

    def busy(*_: str) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(destination.os, "rename", busy)
    write_text(place, "new")
    assert (place.read_text(), place.stat().st_ino) == ("new", before)
    assert only(tmp_path) == ["file"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "file"
    place.write_text("precious")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ninep.disk.streamed.os.write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_text(place, "new")
    assert caught.value.filename == str(place)
    assert place.read_text() == "precious"
    assert only(tmp_path) == ["file"]


def test_nobody_else_reads_it_before_it_has_its_permissions(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Destination(tmp_path / "secret") as out:
            assert stat.S_IMODE(os.fstat(out.descriptor).st_mode) == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize("kind", ["link", "pipe", "read-only"])
def test_what_is_in_the_way_is_replaced_where_it_is_not_followed(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    (tmp_path / "target").write_bytes(b"old")
    if kind == "link":
        place.symlink_to("target")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.write_bytes(b"old")
        place.chmod(0o444)
    with Destination(place, follow=False) as out:
        out.write(b"content")
        out.commit(mode=0o640)
    assert stat.S_ISREG(place.lstat().st_mode)
    assert place.read_bytes() == b"content"
    assert (tmp_path / "target").read_bytes() == b"old"
    with pytest.raises(IsADirectoryError):
        Destination(tmp_path, follow=False)


@pytest.mark.parametrize("name", ["x" * 255, "\u00e4" * 127, "\udcff" * 255])
def test_a_name_as_long_as_a_name_can_be(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "content")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("pieces", [[300_000], [1] * 5 + [299_995], [100_000, 50_000, 150_000]])
def test_zeros_take_no_room(tmp_path: Path, pieces: list[int]) -> None:
    """In whatever pieces they come, at the end as well."""
    content = bytearray(300_000)
    content[70_000] = content[70_001] = 1
    content[140_000:142_000] = b"\1" * 2000
    with Destination(tmp_path / "sparse") as out:
        at = 0
        for size in pieces:
            out.write(bytes(content[at : at + size]))
            at += size
        out.commit()
    assert (tmp_path / "sparse").read_bytes() == content
    assert (tmp_path / "sparse").stat().st_blocks * 512 <= 140_000
