"""A complete file tree in memory. Source: ramfs(4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from ninep import stat as st
from ninep.errors import (
    DirectoryNotEmpty,
    ExclusiveUse,
    FileExists,
    FileNotFound,
    FileRemoved,
    FileSystemFull,
    FileTooBig,
    NameTooLong,
    NotDirectory,
    NotOwner,
    PermissionDenied,
    UnknownUser,
    WstatProhibited,
)
from ninep.files import File, FileTree
from ninep.messages import ORCLOSE, OTRUNC
from ninep.permissions import EXECUTE, WRITE, granted, inherited, settled, wanted
from ninep.qid import Qid
from ninep.sparse import SparseBytes
from ninep.stat import NO32, NO64, Stat
from ninep.wire.dialect import Buffer

CAPACITY = 1 << 30
"""Bytes of file data that a tree holds unless told otherwise."""
LONGEST = (1 << 63) - 1
"""The greatest length of a file."""
LONGEST_NAME = 255
"""Bytes in the name of a file or user. A directory entry must fit in the smallest messages in use."""
BATCH = 64
"""Directory entries listed at once."""


class _Node:
    """A file or directory. ``children`` is None for a file."""

    __slots__ = (
        "atime",
        "children",
        "content",
        "gid",
        "locked",
        "mode",
        "mtime",
        "muid",
        "name",
        "openers",
        "parent",
        "path",
        "qid",
        "removed",
        "uid",
        "version",
    )

    def __init__(self, path: int, name: str, mode: int, uid: str, gid: str, now: int, parent: _Node | None) -> None:
        self.path = path
        self.version = 0
        self.name = name
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.muid = uid
        self.atime = self.mtime = now
        self.parent = parent or self
        self.removed = False
        self.locked = False
        self.openers = 0
        self.content = SparseBytes()
        self.children: dict[str, _Node] | None = {} if mode & st.DMDIR else None
        self.qid = Qid(mode >> 24, 0, path)

    def changed(self, user: str, now: int) -> None:
        """The content is another one now."""
        self.version = (self.version + 1) & NO32
        self.qid = Qid(self.mode >> 24, self.version, self.path)
        self.mtime = now
        self.muid = user

    def stat(self) -> Stat:
        return Stat(
            0,
            0,
            self.qid,
            self.mode,
            self.atime,
            self.mtime,
            self.content.length,
            self.name,
            self.uid,
            self.gid,
            self.muid,
        )


class RamTree(FileTree):
    """A tree whose root belongs to ``owner``. A user is a member of the group that has the user's name."""

    def __init__(
        self, owner: str, *, mode: int = 0o775, capacity: int = CAPACITY, clock: Callable[[], float] = time.time
    ) -> None:
        """``capacity`` bounds the data of all files together, in bytes; ``clock`` gives seconds since 1970."""
        self._clock = clock
        self._paths = 0
        self.free = capacity
        self._root = self.make("/", st.DMDIR | mode, owner, owner, None)

    def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        """The root; ``aname`` is not looked at. Raises ``UnknownUser`` for what cannot be a name."""
        user = uname or "none"
        if not user.isprintable() or len(user.encode()) > LONGEST_NAME:
            raise UnknownUser
        return RamFile(self, self._root, user)

    def now(self) -> int:
        """Seconds since 1970."""
        return int(self._clock())

    def make(self, name: str, mode: int, uid: str, gid: str, parent: _Node | None) -> _Node:
        """A new node with a path of its own."""
        self._paths += 1
        return _Node(self._paths, name, mode, uid, gid, self.now(), parent)

    def write(self, node: _Node, offset: int, data: Buffer) -> None:
        """Puts bytes into a file. Raises ``FileSystemFull`` or ``FileTooBig``, and then nothing is changed."""
        content = node.content
        if offset + len(data) > LONGEST:
            raise FileTooBig
        if content.growth(offset, len(data)) > self.free:
            raise FileSystemFull
        before = content.stored
        content.write(offset, data)
        self.free -= content.stored - before

    def resize(self, node: _Node, length: int) -> None:
        """Cuts or extends a file. Raises ``FileTooBig``."""
        if length > LONGEST:
            raise FileTooBig
        before = node.content.stored
        node.content.resize(length)
        self.free -= node.content.stored - before

    def settle(self, node: _Node) -> None:
        """Gives the room of a removed file back when its last opener has gone."""
        if node.removed and not node.openers:
            self.resize(node, 0)


class RamFile(File):
    """One fid's view of a node."""

    __slots__ = ("_listing", "_locked", "_node", "_opened", "_tree", "_user")

    def __init__(self, tree: RamTree, node: _Node, user: str) -> None:
        self._tree = tree
        self._node = node
        self._user = user
        self._locked = False
        self._opened = False
        self._listing: Iterator[_Node] = iter(())

    @property
    def qid(self) -> Qid:  # type: ignore[override]
        """Current qid."""
        return self._node.qid

    def _may(self, node: _Node, rights: int) -> None:
        user = self._user
        if rights & ~granted(node.mode, owner=user == node.uid, member=user == node.gid):
            raise PermissionDenied

    def clone(self) -> File:
        """A second view."""
        return RamFile(self._tree, self._node, self._user)

    def step(self, name: str) -> File:
        """A child, or the parent."""
        node = self._node
        if node.children is None:
            raise NotDirectory
        if name == "..":
            return RamFile(self._tree, node.parent, self._user)
        self._may(node, EXECUTE)
        child = node.children.get(name)
        if child is None:
            raise FileNotFound
        return RamFile(self._tree, child, self._user)

    def open(self, mode: int) -> None:
        """Checks rights, locks an exclusive-use file, truncates."""
        node = self._node
        if node.removed:
            raise FileRemoved
        self._may(node, wanted(mode))
        if mode & ORCLOSE:
            self._may(node.parent, WRITE)
        if node.mode & st.DMEXCL:
            if node.locked:
                raise ExclusiveUse
            node.locked = self._locked = True
        if mode & OTRUNC and not node.mode & st.DMAPPEND:
            self._tree.resize(node, 0)
            node.changed(self._user, self._tree.now())
        self._open()

    def _open(self) -> None:
        self._opened = True
        self._node.openers += 1

    def create(self, name: str, perm: int, mode: int) -> File:
        """Makes a child, open."""
        node = self._node
        assert node.children is not None
        if node.removed:
            raise FileRemoved
        self._may(node, WRITE)
        if len(name.encode()) > LONGEST_NAME:
            raise NameTooLong
        if name in node.children:
            raise FileExists
        child = self._tree.make(name, inherited(perm, node.mode), self._user, node.gid, node)
        node.children[name] = child
        node.changed(self._user, child.mtime)
        made = RamFile(self._tree, child, self._user)
        if child.mode & st.DMEXCL:
            child.locked = made._locked = True
        made._open()
        return made

    def read(self, offset: int, count: int) -> Buffer:
        """Bytes from the file."""
        return self._node.content.read(offset, count)

    def write(self, offset: int, data: Buffer) -> int:
        """Puts bytes into the file; a gap reads as zeros."""
        node, tree = self._node, self._tree
        if node.mode & st.DMAPPEND:
            offset = node.content.length
        tree.write(node, offset, data)
        node.changed(self._user, tree.now())
        return len(data)

    def list(self, rewind: bool) -> Sequence[Stat]:
        """The next entries: of those that were there at the rewind, the ones that still are."""
        if rewind:
            assert self._node.children is not None
            self._listing = iter(list(self._node.children.values()))
        while batch := list(islice(self._listing, BATCH)):
            if found := [node.stat() for node in batch if not node.removed]:
                return found
        return ()

    def stat(self) -> Stat:
        """The entry."""
        return self._node.stat()

    def wstat(self, changes: Stat) -> None:
        """All checks first, then all changes."""
        node, tree = self._node, self._tree
        if node.removed:
            raise FileRemoved
        changes = settled(changes, node.stat())
        if changes.touches_nothing:
            return
        owner = self._user == node.uid
        leader = self._user == node.gid
        siblings = node.parent.children
        assert siblings is not None
        if changes.name:
            if node.parent is node:
                raise WstatProhibited
            self._may(node.parent, WRITE)
            if len(changes.name.encode()) > LONGEST_NAME:
                raise NameTooLong
            if changes.name in siblings:
                raise FileExists
        if changes.length != NO64:
            self._may(node, WRITE)
            if node.mode & (node.mode if changes.mode == NO32 else changes.mode) & st.DMAPPEND:
                raise WstatProhibited
        if (changes.mode != NO32 or changes.mtime != NO32 or changes.atime != NO32) and not (owner or leader):
            raise NotOwner
        if changes.gid and not (owner and changes.gid == self._user):
            raise NotOwner
        if changes.length != NO64:
            tree.resize(node, changes.length)
            node.changed(self._user, tree.now())
        if changes.name:
            del siblings[node.name]
            node.name = changes.name
            siblings[node.name] = node
            node.parent.changed(self._user, tree.now())
        if changes.mode != NO32:
            node.mode = changes.mode
        if changes.atime != NO32:
            node.atime = changes.atime
        if changes.mtime != NO32:
            node.mtime = changes.mtime
        if changes.gid:
            node.gid = changes.gid
        node.qid = Qid(node.mode >> 24, node.version, node.path)

    def remove(self) -> None:
        """Takes the node out of the tree; whoever has it open keeps its data."""
        node = self._node
        try:
            if node.parent is node:
                raise PermissionDenied("cannot remove root")
            if node.removed:
                raise FileRemoved
            self._may(node.parent, WRITE)
            if node.children:
                raise DirectoryNotEmpty
            siblings = node.parent.children
            assert siblings is not None
            del siblings[node.name]
            node.removed = True
            node.parent.changed(self._user, self._tree.now())
        finally:
            self.clunk()

    def clunk(self) -> None:
        """Unlocks an exclusive-use file."""
        node = self._node
        if self._locked:
            node.locked = self._locked = False
        if self._opened:
            self._opened = False
            node.openers -= 1
        if node.removed:
            self._tree.settle(node)
