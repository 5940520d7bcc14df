"""A local directory as a served tree. Replaces u9fs(4) and diod.

The kernel checks every permission, with the rights of the identity that the client's user was given; nothing is
decided here that it does not decide. What 9P has and Unix has not, append-only and exclusive-use files, is refused.
"""

from __future__ import annotations

import os
import stat as unix
from collections import OrderedDict

from ninep.attributes import Attributes, device_extension, link_count, plan9_mode
from ninep.errors import NotDirectory
from ninep.export.accounts import Accounts
from ninep.export.acting import AS_OURSELVES, Acting
from ninep.export.contents import Contents
from ninep.export.file import ExportFile
from ninep.export.place import Place
from ninep.files import File, FileTree
from ninep.host_ids import HostIds
from ninep.qid import QTDIR, QTFILE, QTSYMLINK, Qid
from ninep.stat import DMDEVICE, NO32, NO64, Stat

REMEMBERED = 65536
"""Inodes whose reuse is noticed."""


class ExportTree(FileTree):
    """Serves the directory at a path. ``close`` gives up what it holds."""

    def __init__(
        self, path: str | os.PathLike[str], *, read_only: bool = False, accounts: Accounts | None = None
    ) -> None:
        """Raises ``OSError`` where there is no such directory."""
        self.root = Place.root(os.fspath(path))
        self.read_only = read_only
        self.accounts = accounts or Accounts()
        self.contents = Contents()
        self.ids = HostIds()
        self._devices: dict[int, int] = {self.root.key[0]: 0}
        self._reused: OrderedDict[tuple[int, int], int] = OrderedDict()

    def close(self) -> None:
        """Gives up the directory. No connection may be served any more."""
        self.root.drop()

    def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        """The root, or with ``aname`` a directory below it.

        Raises:
            UnknownUser: this user may not attach.
            FileError: there is no such directory.
        """
        identity = self.accounts.identity(uname or "none")
        acting = AS_OURSELVES if identity is None else Acting(identity)
        place = self.root.hold()
        with acting:
            for name in aname.split("/"):
                if name in ("", "."):
                    continue
                below = place.parent.hold() if name == ".." else place.step(name)
                place.drop()
                place = below
        if not place.is_directory:
            place.drop()
            raise NotDirectory
        return ExportFile(self, place, identity, acting)

    def qid(self, status: os.stat_result) -> Qid:
        """Identity and version of a file. A version is made of change time and size."""
        mode = status.st_mode
        kind = QTDIR if unix.S_ISDIR(mode) else QTSYMLINK if unix.S_ISLNK(mode) else QTFILE
        key = (status.st_dev, status.st_ino)
        path = status.st_ino ^ self._devices.setdefault(status.st_dev, len(self._devices)) << 48
        if self._reused:
            path ^= self._reused.get(key, 0) << 56
        changed = status.st_ctime_ns
        return Qid(kind, (changed ^ changed >> 32 ^ status.st_size * 0x9E3779B1) & NO32, path & NO64)

    def forget(self, key: tuple[int, int]) -> None:
        """An inode is free, and the file system will give its number to another file."""
        self._reused[key] = self._reused.pop(key, 0) + 1 & 0xFF
        if len(self._reused) > REMEMBERED:
            self._reused.popitem(last=False)

    def stat(self, status: os.stat_result, name: str, target: str = "") -> Stat:
        """A directory entry; ``target`` is that of a symbolic link."""
        qid = self.qid(status)
        mode = plan9_mode(status.st_mode)
        user = self.accounts.user(status.st_uid)
        return Stat(
            0,
            0,
            qid,
            mode,
            _seconds(status.st_atime),
            _seconds(status.st_mtime),
            0 if qid.type & QTDIR else status.st_size,
            name,
            user,
            self.accounts.group(status.st_gid),
            user,
            _extension(status, mode) or target,
            status.st_uid,
            status.st_gid,
            status.st_uid,
        )

    def attributes(self, status: os.stat_result) -> Attributes:
        """What Unix wants to know."""
        qid = self.qid(status)
        return Attributes(
            qid,
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_nlink,
            status.st_rdev,
            status.st_size,
            status.st_blksize,
            status.st_blocks,
            max(0, status.st_atime_ns),
            max(0, status.st_mtime_ns),
            max(0, status.st_ctime_ns),
            data_version=qid.version,
        )


def _extension(status: os.stat_result, mode: int) -> str:
    if mode & DMDEVICE:
        return device_extension(status.st_mode, status.st_rdev)
    return link_count(status.st_nlink) if unix.S_ISREG(status.st_mode) and status.st_nlink > 1 else ""


def _seconds(time: float) -> int:
    return max(0, min(int(time), NO32 - 1))
