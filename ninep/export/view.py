"""One fid's view of a place in an exported directory: the operations that every dialect has."""

from __future__ import annotations

import errno
import os
import stat as unix
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from types import CoroutineType
from typing import Any, Protocol

import trio

from ninep.export.accounts import Accounts, Identity
from ninep.export.acting import AS_OURSELVES, Acting
from ninep.export.contents import Contents, closed, huge, synced
from ninep.export.descriptors import MAKING, check_room
from ninep.export.place import Place
from ninep.protocol import stat as st
from ninep.protocol.attributes import Attributes
from ninep.protocol.errors import (
    FileError,
    FileExists,
    FileTooBig,
    IllegalMode,
    InvalidArgument,
    NotDirectory,
    NotOwner,
    PermissionDenied,
    ReadOnly,
    WstatProhibited,
)
from ninep.protocol.ids import Ids
from ninep.protocol.messages import OAPPEND, ORCLOSE, ORDWR, OREAD, OTRUNC, OWRITE
from ninep.protocol.permissions import settled
from ninep.protocol.qid import Qid
from ninep.protocol.stat import NO32, NO64, Stat
from ninep.server.files import File, Walked
from ninep.wire.dialect import Buffer, Maybe
from ninep.wire.maybe import arrived

WALKS = 256
"""Walks after which it is time to look whether something was mounted."""
BATCH = 64
"""Directory entries listed at once."""
_FLAGS = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDONLY)
CREATE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
LONGEST = (1 << 63) - 1 - (1 << 32)


class _Entries(Protocol):
    """What ``os.scandir`` returns, which has no public name."""

    def __iter__(self) -> Iterator[os.DirEntry[str]]: ...
    def close(self) -> None: ...


class ViewTree(Protocol):
    """What a view asks the tree that it is of: see ``ExportTree``."""

    walks: int

    @property
    def read_only(self) -> bool: ...
    @property
    def ids(self) -> Ids: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def contents(self) -> Contents: ...
    def view(self, place: Place, identity: Identity | None, acting: Acting) -> ExportView: ...
    def look(self) -> None: ...
    def forget(self, key: tuple[int, int]) -> None: ...
    def qid(self, status: os.stat_result) -> Qid: ...
    def stat(self, status: os.stat_result, name: str, target: str = "") -> Stat: ...
    def unseen(self, entry: os.DirEntry[str], directory: os.stat_result) -> Stat: ...
    def attributes(self, status: os.stat_result) -> Attributes: ...


class ExportView(File):
    """One fid's view of a place."""

    appends = odd_names = True
    guarded = False
    """Whether calls are made by threads."""
    __slots__ = (
        *("_acting", "_appending", "_appends", "_descriptor", "_entries", "_identity", "_place", "_target", "_tree"),
        "_writable",
    )

    def __init__(self, tree: ViewTree, place: Place, identity: Identity | None, acting: Acting) -> None:
        """Takes over the reference to ``place``."""
        self._tree = tree
        self._place = place
        self._identity = identity
        self._acting = acting
        self._descriptor = -1
        self._writable = self._appends = False
        self._appending: list[trio.Event] = []
        self._target = b""
        self._entries: _Entries | None = None

    @property
    def qid(self) -> Qid:
        """Current qid."""
        return self._tree.qid(self._place.refresh())

    @property
    def is_directory(self) -> bool:
        """Whether it is one."""
        return self._place.is_directory

    def clone(self) -> File:
        """A second view."""
        return self._tree.view(self._place.hold(), self._identity, self._acting)

    def walk(self, names: Sequence[str]) -> Maybe[Walked]:
        """Goes from place to place; only the last gets a view."""
        tree, place = self._tree, self._place.hold()
        tree.walks += 1
        if not tree.walks % WALKS:
            tree.look()
        if place.away is not None and not self.guarded:
            return tree.view(place, self._identity, self._acting).walk_once(names)
        qids: list[Qid] = []
        try:
            with self._acting:
                for name in names:
                    if not place.is_directory:
                        raise NotDirectory
                    if name == "..":
                        below = place.parent.hold()
                        below.refresh()
                    else:
                        below = place.step(name)
                    place.drop()
                    place = below
                    qids.append(tree.qid(place.status))
        except FileError:
            place.drop()
            if not qids:
                raise
            return Walked(qids, None)
        return Walked(qids, tree.view(place, self._identity, self._acting))

    async def walk_once(self, names: Sequence[str]) -> Walked:
        """``walk``, and gives this view up."""
        try:
            return await arrived(self.walk(names))
        finally:
            with trio.CancelScope(shield=True):
                await arrived(self.clunk())

    def step(self, name: str) -> Maybe[File]:
        """A child, or the parent."""
        place = self._place
        if not place.is_directory:
            raise NotDirectory
        if name == "..":
            return self._tree.view(place.parent.hold(), self._identity, self._acting)
        with self._acting:
            return self._tree.view(place.step(name), self._identity, self._acting)

    def open(self, mode: int) -> Maybe[None]:
        """Opens the file itself. Devices, pipes and sockets belong to this machine and are not served."""
        place = self._place
        if place.is_directory:
            with self._acting:
                self._descriptor = place.open(os.O_RDONLY)
            return None
        if place.is_link and mode == OREAD:
            # To a client that knows no links it is a file that holds the target.
            self._target = os.fsencode(self._readlink())
            return None
        if not unix.S_ISREG(place.status.st_mode):
            raise PermissionDenied("only plain files and directories can be opened")
        if mode & OTRUNC or mode & 3 in (OWRITE, ORDWR):
            self._writable_tree()
        flags = flags_of(mode)
        with self._acting:
            if mode & ORCLOSE:
                self._writable_tree()
                self._removable()
            if mode & 3 == 3 and not os.access(place.proc, os.X_OK, effective_ids=True):
                raise PermissionDenied
            self._descriptor = place.open(flags)
            self._writable = mode & 3 in (OWRITE, ORDWR)
            self._appends = bool(mode & OAPPEND)
        return None

    def _removable(self) -> None:
        parent = self._place.parent
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=parent.descriptor, effective_ids=True):
            raise PermissionDenied

    def _writable_tree(self) -> None:
        if self._tree.read_only:
            raise ReadOnly

    def create(self, name: str, perm: int, mode: int) -> Maybe[File]:
        """Makes a file or directory, open."""
        self._writable_tree()
        if perm & (st.DMAPPEND | st.DMEXCL):
            raise IllegalMode("append-only and exclusive-use files cannot be made here")
        if perm & ~(st.DMDIR | st.DMTMP | 0o777) & NO32:
            raise IllegalMode
        directory = self._place
        with self._acting:
            check_room(directory.descriptor, MAKING)
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
                descriptor = os.open(name, CREATE | flags_of(mode), rights, dir_fd=directory.descriptor)
                return self._made(name, descriptor, mode, rights, None)
        made = self._tree.view(place, self._identity, self._acting)
        made._descriptor = descriptor
        return made

    def _made(self, name: str, descriptor: int, mode: int, rights: int, gid: int | None) -> File:
        """The view of a new file, with the rights that the umask of this process withheld."""
        try:
            place = self._place.step(name)
        except BaseException:
            os.close(descriptor)
            raise
        made = self._tree.view(place, self._identity, self._acting)
        made._descriptor = descriptor
        made._writable = mode & 3 in (OWRITE, ORDWR)
        made._appends = bool(mode & OAPPEND)
        if gid is not None:
            regroup(place, gid, inherits=bool(self._place.refresh().st_mode & unix.S_ISGID))
        if place.status.st_mode & 0o7777 != rights:
            os.fchmod(descriptor, rights)
        return made

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        """Bytes from the file."""
        if offset > LONGEST:
            return b""
        if self._target:
            return self._target[offset : offset + count]
        return self._tree.contents.read(self._descriptor, offset, count)

    def write(self, offset: int, data: Buffer) -> Maybe[int]:
        """Puts bytes into the file. Where the place is its end, in the order of the calls: threads have none."""
        if offset > LONGEST:
            raise FileTooBig
        if self._appending:
            return self._append(bytes(data))
        count = self._tree.contents.write(self._descriptor, offset, data)
        if isinstance(count, CoroutineType) and self._appends:
            return self._append(b"", count)
        return count

    def _append(self, data: bytes, begun: Coroutine[Any, Any, int] | None = None) -> Coroutine[Any, Any, int]:
        """Writes when all appending writes before have ended, unless it has ``begun``."""
        earlier = list(self._appending)
        turn = trio.Event()
        self._appending.append(turn)

        async def append() -> int:
            try:
                for other in earlier:
                    await other.wait()
                return await (begun or arrived(self._tree.contents.write(self._descriptor, 0, data)))
            finally:
                self._appending.remove(turn)
                turn.set()

        return append()

    def list(self, rewind: bool) -> Maybe[Sequence[Stat]]:
        """The next entries. Who may read a directory sees them in full, as 9P has it."""
        with AS_OURSELVES:
            if rewind:
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                self._end_listing()
                check_room(self._descriptor)
                self._entries = os.scandir(self._descriptor)
            found: list[Stat] = []
            for entry in self._entries or ():
                name = entry.name
                try:
                    status = os.lstat(name, dir_fd=self._descriptor)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    if error.errno == errno.ESTALE:
                        continue
                    # Such as a file system that is mounted there and does not answer any more.
                    found.append(self._tree.unseen(entry, self._place.status))
                else:
                    link = _target(name, self._descriptor) if unix.S_ISLNK(status.st_mode) else ""
                    found.append(self._tree.stat(status, name, link))
                if len(found) >= BATCH:
                    break
            return found

    def _end_listing(self) -> None:
        if self._entries is not None:
            self._entries.close()
            self._entries = None

    def stat(self) -> Maybe[Stat]:
        """The entry."""
        return self._stat()

    def readlink(self) -> Maybe[str]:
        """The target."""
        return self._readlink()

    # What other methods ask as well; there it is never for a thread to answer: they may be in one.

    def _stat(self) -> Stat:
        place = self._place
        status = place.status = os.fstat(place.descriptor)
        return self._tree.stat(status, place.name, self._readlink() if place.is_link else "")

    def _readlink(self) -> str:
        if not self._place.is_link:
            raise InvalidArgument
        with self._acting:
            return os.readlink("", dir_fd=self._place.descriptor)

    def wstat(self, changes: Stat) -> Maybe[None]:
        """All checks that can be made first; then the changes, the name first, which is undone if another fails."""
        place = self._place
        changes = settled(changes, self._stat())
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

    def remove(self) -> Maybe[None]:
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
            status = place.refresh()
            if not status.st_nlink or place.is_directory:
                self._tree.forget(place.key)
        except BaseException:
            spare = self._give_up()
            if spare >= 0:
                os.close(spare)
            raise
        return self.parted(status)

    def parted(self, status: os.stat_result) -> Maybe[None]:
        """Gives up the descriptors of what was removed just now, when it was like this."""
        spare = self._give_up(status)
        return None if spare < 0 else closed(spare)

    def clunk(self) -> Maybe[None]:
        """Gives up the descriptors."""
        spare = self._give_up()
        return None if spare < 0 else closed(spare)

    def _give_up(self, status: os.stat_result | None = None) -> int:
        """A descriptor that is left to be closed, where that may take long; else -1."""
        place, spare = self._place, -1
        if place.removed and huge(status or place.refresh()):
            with suppress(OSError):
                # Without one more the file is given back to the disk by closing it, which may take long.
                spare = os.dup(place.descriptor)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._end_listing()
        place.drop()
        return spare


def _target(name: str, directory: int) -> str:
    """Where a link leads to, if it tells."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError:
        return ""


def flags_of(mode: int) -> int:
    """An open mode of 9P as that of Unix."""
    return _FLAGS[mode & 3] | (os.O_TRUNC if mode & OTRUNC else 0) | (os.O_APPEND if mode & OAPPEND else 0)


def regroup(place: Place, gid: int | None, *, inherits: bool) -> None:
    """Gives a new file the group that the client wants, where that is allowed and the directory has no say in it."""
    if gid is None or inherits or gid == place.status.st_gid:
        return
    try:
        os.chown(place.proc, -1, gid, follow_symlinks=True)
    except PermissionError:
        pass


async def synced_place(place: Place) -> None:
    """Returns when the file or directory at ``place`` is on stable storage. Nothing else is opened for that."""
    if not place.is_syncable:
        return
    with AS_OURSELVES:
        descriptor = place.open(os.O_RDONLY)
    try:
        await synced(descriptor)
    finally:
        os.close(descriptor)
