"""The file system over 9P: the live tree, and the past below ``/snapshot`` and ``/archive``. Source: fossil(4)."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterator, Sequence
from itertools import islice
from types import CoroutineType
from typing import Any, cast
from zlib import crc32

import trio

from fossil.errors import DamagedData, FossilError
from fossil.filesystem import ROOT, FileSystem
from fossil.history import ARCHIVE, SNAPSHOT, History, Past
from fossil.node import Node
from ninep import stat as st
from ninep.errors import (
    DirectoryNotEmpty,
    ExclusiveUse,
    FileError,
    FileExists,
    FileNotFound,
    FileRemoved,
    IllegalMode,
    InputOutput,
    NameTooLong,
    NotDirectory,
    NotOwner,
    PermissionDenied,
    ReadOnly,
    UnknownUser,
    WstatProhibited,
)
from ninep.files import File, FileTree
from ninep.messages import ORCLOSE, OTRUNC
from ninep.permissions import EXECUTE, WRITE, inherited, settled, wanted
from ninep.qid import QTDIR, Qid
from ninep.stat import NO32, NO64, Stat
from ninep.wire.dialect import Buffer, Maybe

log = logging.getLogger(__name__)

NAME = "main"
"""The one file system's name."""
LONGEST_NAME = 512
"""Bytes of a name: a directory entry must fit a block of an archive."""
BATCH = 128
"""Directory entries listed at once."""
ABOVE = 1
"""The path of the root above the three trees."""
PATHS = {ARCHIVE: 3, SNAPSHOT: 4}


class FossilTree(FileTree):
    """What fossil serves. ``permissions`` false lets everybody do everything, as ``open -P`` does."""

    def __init__(self, system: FileSystem, history: History, *, permissions: bool = True) -> None:
        self.system = system
        self.history = history
        self.permissions = permissions

    def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        """The live tree for ``main/active`` or no name, ``main/archive``, ``main/snapshot``, or ``main`` above them."""
        name, _, rest = aname.partition("/")
        if aname and name != NAME:
            raise FileError(f"fsys: '{name}' not found")
        user = uname or "none"
        if not aname:
            rest = "active"
        above = Above(self, user, ())
        return above.step(rest) if rest else above

    def commit(self) -> Maybe[None]:
        """See ``FileTree``."""
        if self.system.dirty:
            if self.system.durable:
                return self._commit_durably()
            try:
                self.system.commit()
            except FossilError as error:
                raise InputOutput from error
        return None

    async def _commit_durably(self) -> None:
        """The data is on the disk before the database says that it is there, and that before the answer leaves."""
        system = self.system
        try:
            while system.dirty:
                tail = system.log.tail
                await trio.to_thread.run_sync(system.log.sync)
                if tail == system.log.tail:
                    system.commit()
        except OSError as error:
            system.stop(f"fdatasync failed: {error.strerror}")
            raise InputOutput from error
        except FossilError as error:
            raise InputOutput from error


class Above(File):
    """A directory that is nowhere stored: the root above the trees, and years and days of the past."""

    def __init__(self, tree: FossilTree, user: str, names: tuple[str, ...]) -> None:
        self._tree = tree
        self._user = user
        self._names = names
        path = ABOVE if not names else PATHS[names[0]] if len(names) == 1 else 1 << 61 | crc32("/".join(names).encode())
        self.qid = Qid(QTDIR, 0, path)
        self._listing: Iterator[str] = iter(())

    def clone(self) -> File:
        """A second view."""
        return Above(self._tree, self._user, self._names)

    def _inside(self) -> list[str]:
        """The names in this directory."""
        if not self._names:
            return ["active", ARCHIVE, SNAPSHOT]
        kind, *prefix = self._names
        depth = len(prefix)
        found = (snapshot.name.split("/") for snapshot in self._tree.history.all(kind))
        return list(dict.fromkeys(parts[depth] for parts in found if parts[:depth] == prefix))

    def step(self, name: str) -> File:
        """A tree, a year, a day, or a moment."""
        if name == "..":
            return Above(self._tree, self._user, self._names[:-1])
        if name not in self._inside():
            raise FileNotFound
        names = (*self._names, name)
        if names == ("active",):
            system = self._tree.system
            return LiveFile(self._tree, system.node(ROOT), self._user)
        whole = "/".join(names[1:])
        for snapshot in self._tree.history.all(names[0]):
            if snapshot.name == whole and whole:
                past = self._tree.history.past(snapshot.epoch)
                return PastFile(self._tree, past, past.root, self._user, names)
        return Above(self._tree, self._user, names)

    def open(self, mode: int) -> None:
        """Everybody may look."""

    def list(self, rewind: bool) -> Sequence[Stat]:
        """The entries."""
        if rewind:
            self._listing = iter(self._inside())
        return [cast("Stat", self.step(name).stat())._replace(name=name) for name in islice(self._listing, BATCH)]

    def stat(self) -> Stat:
        """An entry as the original's: owned by adm, readable by all."""
        now = self._tree.system.now()
        name = self._names[-1] if self._names else "/"
        return Stat(0, 0, self.qid, st.DMDIR | 0o555, now, now, 0, name, "adm", "adm", "adm")

    def remove(self) -> None:
        """It cannot be removed."""
        raise PermissionDenied


class StoredFile(File):
    """What live and past files have in common: looking, and who may."""

    def __init__(self, tree: FossilTree, view: FileSystem | Past, node: Node, user: str) -> None:
        self._tree = tree
        self._view = view
        self._node = node
        self._user = user
        self._listing: Iterator[str] = iter(())

    @property
    def qid(self) -> Qid:  # type: ignore[override]
        """Current qid."""
        return self._node.qid

    def _beside(self, node: Node) -> File:
        """A view of another node of the same tree."""
        raise NotImplementedError

    def _out(self) -> File:
        """What ``..`` is at the root of this tree."""
        raise NotImplementedError

    def _may(self, node: Node, rights: int) -> None:
        tree, user = self._tree, self._user
        if not tree.permissions:
            return
        mode, users = node.mode, tree.system.users
        if users.is_owner(user, node.uid) and not rights & ~(mode >> 6):
            return
        if users.is_member(user, node.gid) and not rights & ~(mode >> 3):
            return
        if rights & ~mode & 7 or (users.is_member(user, "noworld") and (rights != EXECUTE or not mode & st.DMDIR)):
            raise PermissionDenied

    def clone(self) -> File:
        """A second view."""
        return self._beside(self._node)

    def step(self, name: str) -> File:
        """A child, or the parent."""
        node = self._node
        if not node.mode & st.DMDIR:
            raise NotDirectory
        if name == "..":
            return self._out() if node.path == ROOT else self._beside(self._view.node(node.parent))
        self._may(node, EXECUTE)
        if node.removed:
            raise FileRemoved
        child = self._view.child(node, name)
        if child is None:
            raise FileNotFound
        return self._beside(child)

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        """Bytes of the file; what is damaged is an error."""
        try:
            data = self._view.read(self._node, offset, count)
        except DamagedData as error:
            raise self._damaged(error) from error
        return self._read(data) if type(data) is CoroutineType else data

    async def _read(self, work: Coroutine[Any, Any, Buffer]) -> Buffer:
        try:
            return await work
        except DamagedData as error:
            raise self._damaged(error) from error

    def _damaged(self, error: DamagedData) -> FileError:
        log.error("file %s (%x): %s", self._node.name, self._node.path, error)
        return InputOutput()

    def list(self, rewind: bool) -> Sequence[Stat]:
        """The next entries: of the names that were there at the rewind, those that still are."""
        view, node = self._view, self._node
        if rewind:
            self._listing = iter(list(view.children(node).values()))  # type: ignore[arg-type]
        while batch := list(islice(self._listing, BATCH)):
            found = []
            for child, _ in cast("list[tuple[int, int]]", batch):
                try:
                    entry = view.node(child)
                except DamagedData:
                    # It was removed since the rewind.
                    continue
                if not entry.removed:
                    found.append(entry.stat())
            if found:
                return found
        return ()

    def stat(self) -> Stat:
        """The entry."""
        return self._node.stat()


class LiveFile(StoredFile):
    """A fid's view of a file in the live tree."""

    def __init__(self, tree: FossilTree, node: Node, user: str) -> None:
        super().__init__(tree, tree.system, node, user)
        self._system = tree.system
        self._opened = False

    def _beside(self, node: Node) -> File:
        return LiveFile(self._tree, node, self._user)

    def _out(self) -> File:
        return self._beside(self._node)

    def _changing(self) -> None:
        """Raises unless this user may change anything at all, and anything can be changed."""
        system = self._system
        if system.stopped is not None:
            raise InputOutput
        users = system.users
        if self._tree.permissions and users.knows("write") and not users.is_member(self._user, "write"):
            raise ReadOnly

    def _uid(self) -> str:
        return self._system.users.uid(self._user)

    def open(self, mode: int) -> None:
        """Checks rights, locks an exclusive-use file, truncates."""
        node = self._node
        if node.removed:
            raise FileRemoved
        if (mode & (WRITE | 1 | OTRUNC | ORCLOSE) and wanted(mode) & WRITE) or mode & ORCLOSE:
            self._changing()
        self._may(node, wanted(mode))
        if mode & ORCLOSE:
            if node.path == ROOT:
                raise PermissionDenied
            self._may(self._system.node(node.parent), WRITE)
        if node.mode & st.DMEXCL:
            if node.locked:
                raise ExclusiveUse
            node.locked = True
        if mode & OTRUNC and not node.mode & st.DMAPPEND:
            self._system.truncate(node, 0, self._uid(), counts=True)
        node.opens += 1
        self._opened = True

    def create(self, name: str, perm: int, mode: int) -> File:
        """Makes a child, open."""
        node, system = self._node, self._system
        if node.removed:
            raise FileRemoved
        self._changing()
        self._may(node, WRITE)
        if self._tree.permissions and system.users.is_member(self._user, "noworld"):
            raise PermissionDenied
        if perm & st.DMDIR and perm & st.DMAPPEND:
            raise IllegalMode
        if len(name.encode()) > LONGEST_NAME:
            raise NameTooLong
        if name in system.children(node):
            raise FileExists
        child = system.create(node, name, inherited(perm, node.mode), self._uid(), node.gid)
        made = LiveFile(self._tree, child, self._user)
        child.opens += 1
        child.locked = bool(child.mode & st.DMEXCL)
        made._opened = True
        return made

    def write(self, offset: int, data: Buffer) -> int:
        """Puts bytes into the file."""
        node, system = self._node, self._system
        if node.mode & st.DMAPPEND:
            offset = node.length
        try:
            return system.write(node, offset, data, self._uid())
        except FossilError as error:
            raise InputOutput from error

    def wstat(self, changes: Stat) -> Maybe[None]:
        """All checks first, then all changes."""
        node, system, users = self._node, self._system, self._system.users
        if node.removed:
            raise FileRemoved
        if changes.touches_nothing:
            return self._sync()
        changes = settled(changes, node.stat())
        if changes.touches_nothing:
            return None
        self._changing()
        everything = not self._tree.permissions
        if self._user == "none" and not everything:
            raise PermissionDenied
        owner = everything or users.is_owner(self._user, node.uid)
        leader = users.is_leader(self._user, node.gid)
        if changes.name:
            if node.path == ROOT:
                raise WstatProhibited
            parent = system.node(node.parent)
            self._may(parent, WRITE)
            if len(changes.name.encode()) > LONGEST_NAME:
                raise NameTooLong
            if changes.name in system.children(parent):
                raise FileExists
        if changes.length != NO64:
            self._may(node, WRITE)
        if (changes.mode != NO32 or changes.mtime != NO32 or changes.atime != NO32) and not (owner or leader):
            raise NotOwner
        if changes.gid:
            if not users.knows(changes.gid):
                raise UnknownUser("unknown group")
            member = owner and users.is_member(self._user, changes.gid)
            if not (everything or member or (leader and users.is_leader(self._user, changes.gid))):
                raise NotOwner
        if changes.length != NO64:
            system.truncate(node, changes.length, self._uid(), counts=False)
            node.next_version()
        if changes.name:
            system.rename(node, changes.name, self._uid())
        if changes.mode != NO32:
            node.set_mode(changes.mode)
        if changes.mtime != NO32:
            node.mtime = changes.mtime
        if changes.atime != NO32:
            node.atime = changes.atime
        if changes.gid:
            node.gid = changes.gid
        system.touch(node)
        return None

    async def _sync(self) -> None:
        """Everything that has been written is on stable storage when this returns."""
        system = self._system
        try:
            system.commit()
            await trio.to_thread.run_sync(system.sync)
        except OSError as error:
            system.stop(f"fdatasync failed: {error.strerror}")
            raise InputOutput from error
        except FossilError as error:
            raise InputOutput from error

    def remove(self) -> None:
        """Takes the file out of the tree."""
        node, system = self._node, self._system
        try:
            if node.path == ROOT:
                raise PermissionDenied("cannot remove root")
            if node.removed:
                raise FileRemoved
            self._changing()
            self._may(system.node(node.parent), WRITE)
            if node.mode & st.DMDIR and system.children(node):
                raise DirectoryNotEmpty
            system.remove(node, self._uid())
        finally:
            self.clunk()

    def clunk(self) -> None:
        """Gives up the view."""
        if self._opened:
            self._opened = False
            self._system.closed(self._node)


class PastFile(StoredFile):
    """A fid's view of a file in a snapshot. Opening for writing is allowed, writing is not, as in the original."""

    def __init__(self, tree: FossilTree, past: Past, node: Node, user: str, names: tuple[str, ...]) -> None:
        super().__init__(tree, past, node, user)
        self._past = past
        self._names = names

    def _beside(self, node: Node) -> File:
        return PastFile(self._tree, self._past, node, self._user, self._names)

    def _out(self) -> File:
        return Above(self._tree, self._user, self._names[:-1])

    def open(self, mode: int) -> None:
        """Checks rights."""
        if mode & (OTRUNC | ORCLOSE):
            raise ReadOnly("file is read only")
        self._may(self._node, wanted(mode))

    def create(self, name: str, perm: int, mode: int) -> File:
        """Nothing can be made in the past."""
        raise ReadOnly("file is read only")

    def write(self, offset: int, data: Buffer) -> int:
        """Nothing can be changed in the past."""
        raise ReadOnly("file is read only")

    def wstat(self, changes: Stat) -> None:
        """Nothing can be changed in the past."""
        if not settled(changes, self._node.stat()).touches_nothing:
            raise ReadOnly("file is read only")

    def remove(self) -> None:
        """Nothing can be removed from the past."""
        raise ReadOnly("file is read only")
