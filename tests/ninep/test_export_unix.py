"""What Unix asks of a served directory, by the methods themselves: the same as the system does with the real one."""

from __future__ import annotations

import errno
import gc
import os
import stat as unix
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ninep.export.accounts import Accounts
from ninep.export.file import ExportFile
from ninep.export.tree import ExportTree
from ninep.protocol import messages as m
from ninep.protocol.attributes import XATTR_CREATE, SetAttributes
from ninep.protocol.errors import (
    DirectoryNotEmpty,
    FileError,
    FileExists,
    FileNotFound,
    FileTooBig,
    InvalidArgument,
    IsDirectory,
    NoAttribute,
    NotDirectory,
    NotPermitted,
    ReadOnly,
)
from ninep.protocol.qid import QTDIR, QTSYMLINK
from ninep.protocol.stat import DMSYMLINK, Stat


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


@pytest.fixture
def root(place: Path) -> Iterator[ExportFile]:
    gc.collect()  # what tests before this one have left is not ours to count
    before = len(os.listdir("/proc/self/fd"))
    tree = ExportTree(place, accounts=Accounts(switch=False))
    root = tree.attach("glenda", "")
    assert isinstance(root, ExportFile)
    yield root
    root.clunk()
    tree.close()
    assert len(os.listdir("/proc/self/fd")) == before


def made(root: ExportFile, name: str, content: bytes = b"") -> None:
    file: Any = root.lcreate(name, 0o644, m.ORDWR, None)
    if content:
        assert file.write(0, content) == len(content)
    file.clunk()


def test_attributes_are_the_real_ones(root: ExportFile, place: Path) -> None:
    made(root, "file", b"content")
    file = root.step("file")
    found, real = file.getattr(0x7FF), (place / "file").stat()
    assert not hasattr(found, "send")
    assert (found.mode, found.uid, found.gid, found.nlink, found.size) == (
        real.st_mode,
        real.st_uid,
        real.st_gid,
        1,
        7,
    )
    assert (found.mtime, found.ctime, found.blocks) == (real.st_mtime_ns, real.st_ctime_ns, real.st_blocks)
    file.clunk()


def test_symbolic_links(root: ExportFile, place: Path) -> None:
    assert root.symlink("link", "../nowhere/at all", None).type == QTSYMLINK
    link = root.step("link")
    assert isinstance(link, ExportFile)
    assert link.readlink() == "../nowhere/at all" == os.readlink(place / "link")
    stat = link.stat()
    assert stat.mode & DMSYMLINK
    assert stat.extension == "../nowhere/at all"
    with pytest.raises(InvalidArgument):
        root.readlink()
    link.setattr(SetAttributes(mtime=5_000_000_007))
    assert os.lstat(place / "link").st_mtime_ns == 5_000_000_007
    link.rename(root, "moved")
    assert os.listdir(place) == ["moved"]
    link.remove()


def test_no_change_of_a_link_reaches_what_it_leads_to(root: ExportFile, place: Path) -> None:
    secret = place.parent / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    os.utime(secret, (1, 1))
    root.symlink("link", "../secret", None)
    link = root.step("link")
    assert isinstance(link, ExportFile)
    for attempt in (
        lambda: link.setattr(SetAttributes(size=0)),
        lambda: link.setattr(SetAttributes(mode=0o777)),
        lambda: link.setattr(SetAttributes(mtime=7, atime=7)),
        lambda: link.setattr(SetAttributes(uid=os.getuid(), gid=os.getgid())),
        lambda: link.setxattr("user.x", b"y", 0),
        lambda: link.wstat(Stat(length=0)),
        lambda: link.wstat(Stat(mtime=5)),
        lambda: link.wstat(Stat(mode=0o777 | DMSYMLINK)),
        lambda: link.open(m.OWRITE | m.OTRUNC),
        lambda: root.link("other", link),
    ):
        try:
            waiting: Any = attempt()
        except FileError:
            continue
        if waiting is not None:
            waiting.close()
    status = secret.stat()
    assert (secret.read_text(), status.st_mode & 0o777, status.st_mtime) == ("secret", 0o600, 1)
    assert status.st_nlink == 1
    link.clunk()


def test_setattr(root: ExportFile, place: Path) -> None:
    made(root, "file", b"0123456789")
    file = root.step("file")
    assert isinstance(file, ExportFile)
    file.setattr(SetAttributes(mode=0o4751, size=3, atime=1_000_000_001, mtime=2_000_000_002))
    real = (place / "file").stat()
    assert (unix.S_IMODE(real.st_mode), real.st_size) == (0o4751, 3)
    assert (real.st_atime_ns, real.st_mtime_ns) == (1_000_000_001, 2_000_000_002)
    file.setattr(SetAttributes(atime=7, mtime=7, atime_now=True, mtime_now=True))
    assert (place / "file").stat().st_mtime > 1e9
    with pytest.raises(IsDirectory):
        root.setattr(SetAttributes(size=0))
    file.clunk()


@pytest.mark.parametrize("size", [1 << 63, (1 << 64) - 1])
def test_a_size_that_no_file_has(root: ExportFile, place: Path, size: int) -> None:
    made(root, "file", b"0123456789")
    file = root.step("file")
    assert isinstance(file, ExportFile)
    with pytest.raises(FileTooBig):
        file.setattr(SetAttributes(size=size))
    with pytest.raises(FileTooBig):
        file.wstat(Stat(length=size - 1))
    assert (place / "file").stat().st_size == 10
    file.clunk()


def test_a_file_that_was_removed_lives_on_in_its_fids(root: ExportFile, place: Path) -> None:
    made(root, "file", b"0123456789")
    file: Any = root.step("file")
    file.open(m.ORDWR)
    root.unlinkat("file", directory=False)
    assert os.listdir(place) == []
    assert bytes(file.read(0, 100)) == b"0123456789"
    file.setattr(SetAttributes(size=4, mode=0o600))
    assert file.getattr(0).size == 4
    assert file.getattr(0).nlink == 0
    made(root, "file")
    new = root.step("file")
    assert new.qid.path != file.qid.path
    new.clunk()
    file.clunk()
    root.unlinkat("file", directory=False)


def test_directories_links_and_other_kinds(root: ExportFile, place: Path) -> None:
    assert root.mkdir("dir", 0o3770, None).type == QTDIR
    assert unix.S_IMODE((place / "dir").stat().st_mode) == 0o3770
    root.mknod("pipe", unix.S_IFIFO | 0o622, 0, None)
    assert (place / "pipe").is_fifo()
    assert unix.S_IMODE((place / "pipe").stat().st_mode) == 0o622
    made(root, "one", b"same")
    file = root.step("one")
    root.link("two", file)
    assert (place / "one").samefile(place / "two")
    for name in ("dir", "one"):
        with pytest.raises(FileExists):
            root.mkdir(name, 0o755, None)
    with pytest.raises(FileExists):
        root.link("two", file)
    file.clunk()


def test_removing(root: ExportFile, place: Path) -> None:
    root.mkdir("dir", 0o755, None)
    made(root, "file")
    (place / "dir" / "inner").touch()
    for name, directory, error in (
        ("dir", False, IsDirectory),
        ("file", True, NotDirectory),
        ("dir", True, DirectoryNotEmpty),
        ("none", False, FileNotFound),
    ):
        with pytest.raises(error):
            root.unlinkat(name, directory)
    (place / "dir" / "inner").unlink()
    root.unlinkat("dir", directory=True)
    root.unlinkat("file", directory=False)
    assert os.listdir(place) == []


def test_renaming_replaces_and_fids_go_along(root: ExportFile, place: Path) -> None:
    root.mkdir("dir", 0o755, None)
    directory = root.step("dir")
    made(root, "a", b"a")
    made(root, "b", b"b")
    first, second, again = root.step("a"), root.step("b"), root.step("a")
    root.renameat("a", directory, "b")
    assert (place / "dir" / "b").read_bytes() == b"a"
    assert first.stat().name == again.stat().name == "b"
    assert isinstance(first, ExportFile)
    first.rename(root, "b")
    assert (place / "b").read_bytes() == b"a"
    assert os.listdir(place / "dir") == []
    with pytest.raises(FileError) as caught:
        second.remove()
    assert caught.value.errno == errno.ESTALE
    again.replace("c")
    assert sorted(os.listdir(place)) == ["c", "dir"]
    with pytest.raises(InvalidArgument):
        root.renameat("dir", directory, "below itself")
    with pytest.raises(NotPermitted):
        root.rename(root, "elsewhere")
    first.remove()
    assert os.listdir(place) == ["dir"]
    again.clunk()
    directory.clunk()


def test_appending(root: ExportFile, place: Path) -> None:
    made(root, "log", b"one\n")
    file: Any = root.step("log")
    file.open(m.OWRITE | m.OAPPEND)
    (place / "log").write_bytes(b"one\ntwo\n")
    file.write(0, b"three\n")
    file.clunk()
    assert (place / "log").read_bytes() == b"one\ntwo\nthree\n"


def test_extended_attributes(root: ExportFile, place: Path) -> None:
    made(root, "file")
    file = root.step("file")
    assert isinstance(file, ExportFile)
    try:
        file.setxattr("user.note", b"value", 0)
    except FileError as error:
        pytest.skip(f"this file system has no extended attributes: {error}")
    assert file.listxattr() == ["user.note"]
    assert file.getxattr("user.note") == os.getxattr(place / "file", "user.note") == b"value"
    with pytest.raises(FileExists):
        file.setxattr("user.note", b"other", XATTR_CREATE)
    file.removexattr("user.note")
    with pytest.raises(NoAttribute):
        file.getxattr("user.note")
    file.clunk()


async def test_what_is_no_file_is_not_opened_for_being_synced(
    root: ExportFile, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.mknod("pipe", unix.S_IFIFO | 0o600, 0, None)
    root.symlink("link", "elsewhere", None)
    for name in ("pipe", "link"):
        file = root.step(name)
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", lambda *_, **__: pytest.fail("it was opened"))
            waiting: Any = file.fsync(False)
            await waiting
        file.clunk()


async def test_room_and_stable_storage(root: ExportFile, place: Path) -> None:
    room, real = root.statfs(), os.statvfs(place)
    assert (room.bsize, room.blocks, room.files) == (real.f_frsize, real.f_blocks, real.f_files)
    made(root, "file", b"x")
    for file in (root.step("file"), root.clone()):
        waiting: Any = file.fsync(False)
        await waiting
        file.clunk()


def test_a_read_only_tree_refuses_all_of_it(place: Path) -> None:
    (place / "file").touch()
    tree = ExportTree(place, read_only=True, accounts=Accounts(switch=False))
    root: Any = tree.attach("glenda", "")
    file = root.step("file")
    for attempt in (
        lambda: file.setattr(SetAttributes(mode=0)),
        lambda: file.setxattr("user.x", b"", 0),
        lambda: file.removexattr("user.x"),
        lambda: file.rename(root, "x"),
        lambda: file.replace("x"),
        lambda: root.lcreate("x", 0o644, m.OWRITE, None),
        lambda: root.mkdir("x", 0o755, None),
        lambda: root.mknod("x", 0o644, 0, None),
        lambda: root.symlink("x", "y", None),
        lambda: root.link("x", file),
        lambda: root.renameat("file", root, "x"),
        lambda: root.unlinkat("file", False),
    ):
        with pytest.raises(ReadOnly):
            attempt()
    file.clunk()
    root.clunk()
    tree.close()
    assert os.listdir(place) == ["file"]
