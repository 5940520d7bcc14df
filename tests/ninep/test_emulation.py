"""A file written for 9P2000 alone does in 9P2000.L what it can, and refuses the rest as Unix would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ninep.protocol.attributes import SECOND, SetAttributes
from ninep.protocol.errors import (
    CrossDevice,
    FileError,
    FileExists,
    FunctionNotImplemented,
    InvalidArgument,
    IsDirectory,
    NotDirectory,
    NotPermitted,
    NotSupported,
)
from ninep.protocol.messages import OREAD, OWRITE
from ninep.protocol.qid import Qid
from ninep.protocol.stat import DMDIR, Stat
from ninep.ram.tree import RamTree
from ninep.server.files import File
from ninep.wire.dialect import Buffer, Maybe
from ninep.wire.maybe import arrived


class OnlyPlan9(File):
    """A ramfs file of which only the methods of 9P2000 are seen; some of them wait."""

    views = 0

    def __init__(self, file: Any) -> None:
        self.file = file
        OnlyPlan9.views += 1

    @property
    def qid(self) -> Qid:
        return self.file.qid

    async def clone(self) -> File:
        return OnlyPlan9(self.file.clone())

    def step(self, name: str) -> File:
        return OnlyPlan9(self.file.step(name))

    def open(self, mode: int) -> None:
        self.file.open(mode)

    async def create(self, name: str, perm: int, mode: int) -> File:
        return OnlyPlan9(self.file.create(name, perm, mode))

    def read(self, offset: int, count: int) -> Buffer:
        return self.file.read(offset, count)

    def list(self, rewind: bool) -> Sequence[Stat]:
        return self.file.list(rewind)

    async def stat(self) -> Stat:
        return self.file.stat()

    async def wstat(self, changes: Stat) -> None:
        self.file.wstat(changes)

    def remove(self) -> None:
        OnlyPlan9.views -= 1
        self.file.remove()

    def clunk(self) -> None:
        OnlyPlan9.views -= 1
        self.file.clunk()


@pytest.fixture
def root() -> OnlyPlan9:
    OnlyPlan9.views = 0
    tree = RamTree("glenda")
    folder: Any = tree.attach("glenda", "")
    folder.clone().create("dir", DMDIR | 0o755, OREAD)
    folder.clone().create("file", 0o644, OWRITE).write(0, b"0123456789")
    return OnlyPlan9(tree.attach("glenda", ""))


async def names(root: OnlyPlan9) -> list[str]:
    view = root.file.clone()
    view.open(OREAD)
    return sorted(entry.name for entry in view.list(True))


async def test_attributes(root: OnlyPlan9) -> None:
    file = root.step("file")
    found = await arrived(file.getattr(0))
    assert (found.mode, found.size, found.nlink) == (0o100644, 10, 1)
    await arrived(file.setattr(SetAttributes(mode=0o600, size=3, mtime=7 * SECOND + 5)))
    stat = await arrived(file.stat())
    assert (stat.mode, stat.length, stat.mtime) == (0o600, 3, 7)
    await arrived(file.setattr(SetAttributes()))
    await arrived(file.setattr(SetAttributes(uid=found.uid, gid=found.gid)))
    with pytest.raises(NotPermitted):
        await arrived(file.setattr(SetAttributes(uid=0, mode=0o777)))
    assert (await arrived(file.stat())).mode == 0o600


async def test_names_come_and_go(root: OnlyPlan9) -> None:
    assert (await arrived(root.mkdir("new", 0o700, None))).type == 0x80
    assert (await arrived(root.mknod("plain", 0o100640, 0, None))).type == 0
    assert await names(root) == ["dir", "file", "new", "plain"]
    await arrived(root.renameat("plain", root, "simple"))
    await arrived(root.renameat("simple", root, "simple"))
    with pytest.raises(FileExists):
        await arrived(root.renameat("simple", root, "file"))
    directory = root.step("dir")
    with pytest.raises(CrossDevice):
        await arrived(root.renameat("simple", directory, "simple"))
    with pytest.raises(NotDirectory):
        await arrived(root.unlinkat("simple", True))
    with pytest.raises(IsDirectory):
        await arrived(root.unlinkat("new", False))
    await arrived(root.unlinkat("simple", False))
    await arrived(root.unlinkat("new", True))
    await arrived(directory.clunk())
    assert await names(root) == ["dir", "file"]
    assert OnlyPlan9.views == 1, "every view was given up"


async def test_what_cannot_be(root: OnlyPlan9) -> None:
    file = root.step("file")
    refusals: list[tuple[Any, type[FileError]]] = [
        (lambda: root.symlink("l", "file", None), NotPermitted),
        (lambda: root.link("l", file), NotPermitted),
        (lambda: root.mknod("p", 0o010600, 0, None), NotPermitted),
        (file.readlink, InvalidArgument),
        (lambda: file.rename(root, "x"), NotSupported),
        (lambda: file.replace("dir"), FileExists),
        (file.statfs, FunctionNotImplemented),
        (file.listxattr, NotSupported),
        (lambda: file.getxattr("user.x"), NotSupported),
        (lambda: file.setxattr("user.x", b"", 0), NotSupported),
        (lambda: file.removexattr("user.x"), NotSupported),
    ]
    for ask, refusal in refusals:
        with pytest.raises(refusal):
            await arrived(ask())


async def test_symbolic_links_of_the_entry(root: OnlyPlan9) -> None:
    root.file.symlink("l", "to there", None)
    found: Maybe[str] = root.step("l").readlink()
    assert await arrived(found) == "to there"


async def test_stable_storage(root: OnlyPlan9) -> None:
    await arrived(root.step("file").fsync(False))
