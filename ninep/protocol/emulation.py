"""Default Unix operations of a file that only implements 9P2000: they use its methods, or refuse.

Where that takes several calls it is not atomic. A file that knows better has methods of its own.
"""

from __future__ import annotations

import stat as unix
from collections.abc import Callable
from typing import Protocol, TypeVar

from ninep.protocol.attributes import SetAttributes, plan9_mode
from ninep.protocol.errors import CrossDevice, FileError, InvalidArgument, IsDirectory, NotDirectory, NotPermitted
from ninep.protocol.ids import Ids
from ninep.protocol.messages import OREAD, OWRITE
from ninep.protocol.qid import Qid
from ninep.protocol.stat import DMDIR, DMSETGID, DMSETUID, DMSETVTX, DMSYMLINK, NO32, NO64, Stat, seconds
from ninep.wire.dialect import Maybe
from ninep.wire.maybe import arrived

T = TypeVar("T")

CHANGEABLE = 0o777 | DMSETUID | DMSETGID | DMSETVTX
"""Bits of a mode that a setattr changes; the others Unix does not know, or they are the kind of the file."""


class Plan9File(Protocol):
    """What is needed of a file here: that of ``files.File`` which 9P2000 asks for as well."""

    @property
    def qid(self) -> Qid: ...
    @property
    def ids(self) -> Ids: ...
    @property
    def is_directory(self) -> bool: ...
    def clone(self) -> Maybe[Plan9File]: ...
    def step(self, name: str) -> Maybe[Plan9File]: ...
    def create(self, name: str, perm: int, mode: int) -> Maybe[Plan9File]: ...
    def stat(self) -> Maybe[Stat]: ...
    def wstat(self, changes: Stat) -> Maybe[None]: ...
    def remove(self) -> Maybe[None]: ...
    def clunk(self) -> Maybe[None]: ...


def changed_mode(current: int, mode: int) -> int:
    """A mode of 9P after Unix has set its permissions to those of ``mode``."""
    return current & ~CHANGEABLE | plan9_mode(mode) & CHANGEABLE


def as_wstat(ids: Ids, changes: SetAttributes, current: Stat) -> Stat:
    """What a setattr changes, as a wstat has it. Raises ``NotPermitted`` for what no wstat can change."""
    if changes.uid is not None and changes.uid != ids.uid(current.uid):
        raise NotPermitted
    gid = "" if changes.gid is None else ids.group(changes.gid)
    return Stat(
        mode=NO32 if changes.mode is None else changed_mode(current.mode, changes.mode),
        atime=NO32 if changes.atime is None else seconds(changes.atime),
        mtime=NO32 if changes.mtime is None else seconds(changes.mtime),
        length=NO64 if changes.size is None else changes.size,
        gid="" if gid == current.gid else gid,
    )


async def setattr(file: Plan9File, changes: SetAttributes) -> None:
    """By ``wstat``; nothing to change is no request for stable storage here."""
    wstat = as_wstat(file.ids, changes, await arrived(file.stat()))
    if not wstat.touches_nothing:
        await arrived(file.wstat(wstat))


async def mkdir(directory: Plan9File, name: str, perm: int) -> Qid:
    """By ``create``."""
    return await _make(directory, name, DMDIR | perm & 0o777, OREAD)


async def mknod(directory: Plan9File, name: str, mode: int) -> Qid:
    """By ``create``, if it is a plain file."""
    if unix.S_IFMT(mode) not in (unix.S_IFREG, 0):
        raise NotPermitted
    return await _make(directory, name, mode & 0o777, OWRITE)


async def _make(directory: Plan9File, name: str, perm: int, mode: int) -> Qid:
    view = await arrived(directory.clone())
    try:
        made = await arrived(view.create(name, perm, mode))
    finally:
        await arrived(view.clunk())
    qid = made.qid
    await arrived(made.clunk())
    return qid


async def renameat(directory: Plan9File, name: str, target: Plan9File, newname: str) -> None:
    """By ``wstat``, within one directory. Raises ``FileExists`` where the new name is taken."""
    if directory.qid.path != target.qid.path:
        raise CrossDevice
    if name != newname:
        await _with(directory, name, lambda file: file.wstat(Stat(name=newname)))


async def unlinkat(directory: Plan9File, name: str, *, folder: bool) -> None:
    """By ``remove``."""
    file = await arrived(directory.step(name))
    try:
        if file.is_directory is not folder:
            raise NotDirectory if folder else IsDirectory
    except FileError:
        await arrived(file.clunk())
        raise
    await arrived(file.remove())


async def readlink(file: Plan9File) -> str:
    """From the directory entry; raises ``InvalidArgument`` where there is no link."""
    stat = await arrived(file.stat())
    if not stat.mode & DMSYMLINK:
        raise InvalidArgument
    return stat.extension


async def _with(directory: Plan9File, name: str, do: Callable[[Plan9File], Maybe[T]]) -> T:
    file = await arrived(directory.step(name))
    try:
        return await arrived(do(file))
    finally:
        await arrived(file.clunk())
