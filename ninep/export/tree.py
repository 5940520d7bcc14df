"""A local directory as a served tree. Replaces u9fs(4) and diod.

The kernel checks every permission, with the rights of the identity that the client's user was given; nothing is
decided here that it does not decide. What 9P has and Unix has not, append-only and exclusive-use files, is refused.
"""

from __future__ import annotations

import os
import stat as unix
from collections import OrderedDict
from functools import lru_cache

import trio

from ninep.export.accounts import Accounts, Identity
from ninep.export.acting import AS_OURSELVES, Acting
from ninep.export.away import AwayFile
from ninep.export.contents import Contents
from ninep.export.descriptors import TABLE
from ninep.export.file import ExportFile
from ninep.export.filenumber import INODES, file_number
from ninep.export.mounts import Mounts
from ninep.export.place import Place
from ninep.protocol.attributes import BASIC, Attributes, device_extension, link_count, plan9_mode
from ninep.protocol.errors import NotDirectory
from ninep.protocol.ids import Ids
from ninep.protocol.qid import QTDIR, QTFILE, QTSYMLINK, Qid
from ninep.protocol.stat import DMDEVICE, DMSYMLINK, NO32, Stat, listed_only
from ninep.server.files import File, FileTree
from ninep.server.host_ids import HostIds
from ninep.wire.dialect import Maybe
from ninep.wire.maybe import arrived

_KIND = 0o170000
"""The bits of a mode that tell what a file is (``S_IFMT``)."""
_KINDS = {unix.S_IFDIR: QTDIR, unix.S_IFLNK: QTSYMLINK}
_plan9_mode = lru_cache(4096)(plan9_mode)
_new = tuple.__new__
"""Makes a tuple of its fields, in half the time that its class itself takes."""
REMEMBERED = 65536
"""Inodes whose reuse is noticed."""


class ExportTree(FileTree):
    """Serves the directory at a path. ``close`` gives up what it holds."""

    ids: Ids

    def __init__(
        self, path: str | os.PathLike[str], *, read_only: bool = False, accounts: Accounts | None = None
    ) -> None:
        """Raises ``OSError`` where there is no such directory."""
        TABLE.measure()
        self.root = Place.root(os.fspath(path))
        self._mounts = Mounts(os.path.realpath(path))
        self.root.tell(self._mounts.read())
        self.read_only = read_only
        self.accounts = accounts or Accounts()
        self.contents = Contents()
        self.walks = 0
        self.ids = HostIds()
        self._device = self.root.key[0]
        self._reused: OrderedDict[tuple[int, int], int] = OrderedDict()

    def close(self) -> None:
        """Gives up the directory. No connection may be served any more."""
        self.root.drop()
        self._mounts.close()

    def view(self, place: Place, identity: Identity | None, acting: Acting) -> ExportFile:
        """A view of a place, to which it takes over the reference."""
        return (ExportFile if place.away is None else AwayFile)(self, place, identity, acting)

    def look(self) -> None:
        """Notices what was mounted and unmounted."""
        if self._mounts.changed:
            self.root.tell(self._mounts.read())

    def attach(self, uname: str, aname: str, *, local: bool = False) -> Maybe[File]:
        """The root, or with ``aname`` a directory below it.

        Raises:
            UnknownUser: this user may not attach.
            FileError: there is no such directory.
        """
        identity = self.accounts.identity(uname or "none")
        acting = AS_OURSELVES if identity is None else Acting(identity)
        self.look()
        root = self.view(self.root.hold(), identity, acting)
        names = [name for name in aname.split("/") if name not in ("", ".")]
        return _below(root, names) if names else root

    def qid(self, status: os.stat_result) -> Qid:
        """Identity and version of a file. A version is made of change time and size."""
        mode, path, device = status[:3]
        if device != self._device or self._reused or path >> INODES:
            path = file_number(device, path, self._reused.get((device, path), 0), home=device == self._device)
        changed = status.st_ctime_ns
        version = (changed ^ changed >> 32 ^ status[6] * 0x9E3779B1) & NO32
        return _new(Qid, (_KINDS.get(mode & _KIND, QTFILE), version, path))

    def forget(self, key: tuple[int, int]) -> None:
        """An inode is free, and the file system will give its number to another file."""
        self._reused[key] = self._reused.pop(key, 0) + 1 & 0xFF
        if len(self._reused) > REMEMBERED:
            self._reused.popitem(last=False)

    def stat(self, status: os.stat_result, name: str, target: str = "") -> Stat:
        """A directory entry; ``target`` is that of a symbolic link."""
        qid = self.qid(status)
        mode, _, _, links, uid, gid, size, atime, mtime, _ = status[:10]
        mode = _plan9_mode(mode)
        if (links > 1 and not qid.type) or mode & DMDEVICE:
            target = _extension(status, mode) or target
        user = self.accounts.user(uid)
        return _new(
            Stat,
            (
                0,
                0,
                qid,
                mode,
                _seconds(atime),
                _seconds(mtime),
                0 if qid.type & QTDIR else size,
                name,
                user,
                self.accounts.group(gid),
                user,
                target,
                uid,
                gid,
                uid,
            ),
        )

    def unseen(self, entry: os.DirEntry[str], directory: os.stat_result) -> Stat:
        """The entry of a file in a directory that cannot be looked at."""
        path = file_number(directory.st_dev, entry.inode(), 0, home=directory.st_dev == self._device)
        try:
            kind = QTDIR if entry.is_dir(follow_symlinks=False) else QTSYMLINK if entry.is_symlink() else QTFILE
        except OSError:
            kind = QTFILE
        return listed_only(entry.name, Qid(kind, 0, path), DMSYMLINK if kind == QTSYMLINK else 0)

    def attributes(self, status: os.stat_result) -> Attributes:
        """What Unix wants to know."""
        qid = self.qid(status)
        mode, _, _, links, uid, gid, size, *_ = status
        return _new(
            Attributes,
            (
                qid,
                mode,
                uid,
                gid,
                links,
                status.st_rdev,
                size,
                status.st_blksize,
                status.st_blocks,
                status.st_atime_ns,
                status.st_mtime_ns,
                status.st_ctime_ns,
                0,
                0,
                qid.version,
                BASIC,
            ),
        )


async def _below(file: File, names: list[str]) -> File:
    """The directory at these names."""
    try:
        for name in names:
            found = await arrived(file.step(name))
            await arrived(file.clunk())
            file = found
        if not file.qid.type & QTDIR:
            raise NotDirectory
    except BaseException:
        with trio.CancelScope(shield=True):
            await arrived(file.clunk())
        raise
    return file


def _extension(status: os.stat_result, mode: int) -> str:
    if mode & DMDEVICE:
        return device_extension(status.st_mode, status.st_rdev)
    return link_count(status.st_nlink) if unix.S_ISREG(status.st_mode) and status.st_nlink > 1 else ""


def _seconds(time: float) -> int:
    return max(0, min(int(time), NO32 - 1))
