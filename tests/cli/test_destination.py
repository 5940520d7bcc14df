"""Results under names: whole, or what was there before."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from ninep.cli import destination
from ninep.cli.destination import Destination, check_writable, write_text


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

    monkeypatch.setattr("ninep.cli.streams.os.write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_text(place, "new")
    assert caught.value.filename == str(place)
    assert place.read_text() == "precious"
    assert only(tmp_path) == ["file"]
