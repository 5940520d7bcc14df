"""A local directory as a served tree. Replaces u9fs(4) and diod.

The kernel checks every permission, with the rights of the identity that the client's user was given; nothing is
decided here that it does not decide. What 9P has and Unix has not, append-only and exclusive-use files, is refused.
"""

from __future__ import annotations

import os
import stat as unix
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Protocol

from ninep import stat as st
from ninep.errors import (
    FileError,
    FileExists,
    IllegalMode,
    NotDirectory,
    NotOwner,
    PermissionDenied,
    ReadOnly,
    WstatProhibited,
)
from ninep.export.accounts import Accounts, Identity
from ninep.export.acting import AS_OURSELVES, Acting
from ninep.export.contents import Contents, synced
from ninep.export.place import Place
from ninep.files import File, FileTree
from ninep.messages import ORCLOSE, ORDWR, OTRUNC, OWRITE
from ninep.permissions import settled
from ninep.qid import QTDIR, QTFILE, Qid
from ninep.stat import NO32, NO64, Stat
from ninep.wire.dialect import Buffer, Maybe

BATCH = 64
"""Directory entries listed at once."""
REMEMBERED = 65536
"""Inodes whose reuse is noticed."""
_FLAGS = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDONLY)
_CREATE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY


class _Entries(Protocol):
    """What ``os.scandir`` returns, which has no public name."""

    def __iter__(self) -> Iterator[os.DirEntry[str]]: ...
    def close(self) -> None: ...


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
        kind = QTDIR if unix.S_ISDIR(mode) else QTFILE
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

    def stat(self, status: os.stat_result, name: str) -> Stat:
        """A directory entry."""
        qid = self.qid(status)
        user = self.accounts.user(status.st_uid)
        return Stat(
            0,
            0,
            qid,
            qid.type << 24 & st.DMDIR | status.st_mode & 0o777,
            _seconds(status.st_atime),
            _seconds(status.st_mtime),
            0 if qid.type & QTDIR else status.st_size,
            name,
            user,
            self.accounts.group(status.st_gid),
            user,
        )


class ExportFile(File):
    """One fid's view of a place."""

    __slots__ = ("_acting", "_descriptor", "_entries", "_identity", "_place", "_tree")

    def __init__(self, tree: ExportTree, place: Place, identity: Identity | None, acting: Acting) -> None:
        """Takes over the reference to ``place``."""
        self._tree = tree
        self._place = place
        self._identity = identity
        self._acting = acting
        self._descriptor = -1
        self._entries: _Entries | None = None

    @property
    def qid(self) -> Qid:  # type: ignore[override]
        """Current qid."""
        return self._tree.qid(self._place.refresh())

    def clone(self) -> File:
        """A second view."""
        return ExportFile(self._tree, self._place.hold(), self._identity, self._acting)

    def step(self, name: str) -> File:
        """A child, or the parent."""
        place = self._place
        if not place.is_directory:
            raise NotDirectory
        if name == "..":
            return ExportFile(self._tree, place.parent.hold(), self._identity, self._acting)
        with self._acting:
            return ExportFile(self._tree, place.step(name), self._identity, self._acting)

    def open(self, mode: int) -> None:
        """Opens the file itself. Devices, pipes and sockets belong to this machine and are not served."""
        place = self._place
        if place.is_directory:
            with self._acting:
                self._descriptor = place.open(os.O_RDONLY)
            return
        if not unix.S_ISREG(place.status.st_mode):
            raise PermissionDenied("only plain files and directories can be opened")
        if mode & OTRUNC or mode & 3 in (OWRITE, ORDWR):
            self._writable_tree()
        flags = _FLAGS[mode & 3]
        if mode & OTRUNC:
            flags |= os.O_TRUNC
        with self._acting:
            if mode & ORCLOSE:
                self._writable_tree()
                self._removable()
            if mode & 3 == 3 and not os.access(place.proc, os.X_OK, effective_ids=True):
                raise PermissionDenied
            self._descriptor = place.open(flags)

    def _removable(self) -> None:
        parent = self._place.parent
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=parent.descriptor, effective_ids=True):
            raise PermissionDenied

    def _writable_tree(self) -> None:
        if self._tree.read_only:
            raise ReadOnly

    def create(self, name: str, perm: int, mode: int) -> File:
        """Makes a file or directory, open."""
        self._writable_tree()
        if perm & (st.DMAPPEND | st.DMEXCL):
            raise IllegalMode("append-only and exclusive-use files cannot be made here")
        if perm & ~(st.DMDIR | st.DMTMP | 0o777) & NO32:
            raise IllegalMode
        directory = self._place
        with self._acting:
            status = directory.refresh()
            mask = 0o777 if perm & st.DMDIR else 0o666
            rights = perm & 0o777 & (~mask | status.st_mode & mask)
            if perm & st.DMDIR:
                os.mkdir(name, rights, dir_fd=directory.descriptor)
                place = directory.step(name)
                descriptor = place.open(os.O_RDONLY)
                if unix.S_IMODE(place.status.st_mode) & 0o777 != rights:
                    os.chmod(descriptor, rights | unix.S_IMODE(place.status.st_mode) & ~0o777)
            else:
                descriptor = os.open(name, _CREATE | _FLAGS[mode & 3], rights, dir_fd=directory.descriptor)
                try:
                    place = directory.step(name)
                    if unix.S_IMODE(place.status.st_mode) != rights:
                        os.fchmod(descriptor, rights)
                except BaseException:
                    os.close(descriptor)
                    raise
        made = ExportFile(self._tree, place, self._identity, self._acting)
        made._descriptor = descriptor
        return made

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        """Bytes from the file."""
        if offset > _LONGEST:
            return b""
        return self._tree.contents.read(self._descriptor, offset, count)

    def write(self, offset: int, data: Buffer) -> Maybe[int]:
        """Puts bytes into the file."""
        if offset > _LONGEST:
            raise FileError("file too big")
        return self._tree.contents.write(self._descriptor, offset, data)

    def list(self, rewind: bool) -> Sequence[Stat]:
        """The next entries. Who may read a directory sees them in full, as 9P has it."""
        with AS_OURSELVES:
            if rewind:
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                self._end_listing()
                self._entries = os.scandir(self._descriptor)
            found: list[Stat] = []
            for entry in self._entries or ():
                try:
                    status = os.lstat(entry.name, dir_fd=self._descriptor)
                except FileNotFoundError:
                    continue
                found.append(self._tree.stat(status, entry.name))
                if len(found) >= BATCH:
                    break
            return found

    def _end_listing(self) -> None:
        if self._entries is not None:
            self._entries.close()
            self._entries = None

    def stat(self) -> Stat:
        """The entry."""
        place = self._place
        return self._tree.stat(place.refresh(), place.name)

    def wstat(self, changes: Stat) -> Maybe[None]:
        """All checks that can be made first; then the changes, the name first, which is undone if another fails."""
        place = self._place
        changes = settled(changes, self.stat())
        if changes.touches_nothing:
            return None if self._tree.read_only else synced_place(place)
        self._writable_tree()
        with self._acting:
            self._check_changes(changes)
            name = place.name
            if changes.name:
                self._rename(changes.name)
            try:
                self._change(changes)
            except BaseException:
                if changes.name:
                    self._rename(name)
                raise
        return None

    def _check_changes(self, changes: Stat) -> None:
        place = self._place
        if changes.mode != NO32 and changes.mode & (st.DMAPPEND | st.DMEXCL):
            raise IllegalMode("append-only and exclusive-use files cannot be made here")
        caller = self._identity.uid if self._identity else os.geteuid()
        if (changes.mode, changes.atime, changes.mtime) != (NO32, NO32, NO32) and caller not in (
            0,
            place.status.st_uid,
        ):
            raise NotOwner
        if place.is_root and changes.name:
            raise WstatProhibited
        if changes.length != NO64 and not os.access(place.proc, os.W_OK, effective_ids=True):
            raise PermissionDenied

    def _rename(self, name: str) -> None:
        place = self._place
        place.check()
        parent = place.parent
        try:
            os.lstat(name, dir_fd=parent.descriptor)
        except FileNotFoundError:
            pass
        else:
            raise FileExists
        os.rename(place.name, name, src_dir_fd=parent.descriptor, dst_dir_fd=parent.descriptor)
        place.moved(parent, name)

    def _change(self, changes: Stat) -> None:
        place = self._place
        if changes.gid:
            os.chown(place.proc, -1, self._tree.accounts.gid(changes.gid))
        if changes.length != NO64:
            os.truncate(place.proc, changes.length)
        if changes.mode != NO32:
            os.chmod(place.proc, unix.S_IMODE(place.status.st_mode) & ~0o777 | changes.mode & 0o777)
        if changes.atime != NO32 or changes.mtime != NO32:
            old = place.refresh()
            atime = old.st_atime_ns if changes.atime == NO32 else changes.atime * 10**9
            mtime = old.st_mtime_ns if changes.mtime == NO32 else changes.mtime * 10**9
            os.utime(place.proc, ns=(atime, mtime))

    def remove(self) -> None:
        """Takes the name away; whoever has the file open keeps it."""
        try:
            self._writable_tree()
            place = self._place
            if place.is_root:
                raise PermissionDenied("cannot remove root")
            with self._acting:
                place.check()
                if place.is_directory:
                    os.rmdir(place.name, dir_fd=place.parent.descriptor)
                else:
                    os.unlink(place.name, dir_fd=place.parent.descriptor)
            place.gone()
            if not place.refresh().st_nlink or place.is_directory:
                self._tree.forget(place.key)
        finally:
            self.clunk()

    def clunk(self) -> None:
        """Gives up the descriptors."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._end_listing()
        self._place.drop()


_LONGEST = (1 << 63) - 1 - (1 << 32)


def _seconds(time: float) -> int:
    return max(0, min(int(time), NO32 - 1))


async def synced_place(place: Place) -> None:
    """Returns when the file or directory at ``place`` is on stable storage."""
    with AS_OURSELVES:
        descriptor = place.open(os.O_RDONLY)
    try:
        await synced(descriptor)
    finally:
        os.close(descriptor)
