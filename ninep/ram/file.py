"""One fid's view of a file in memory, in every dialect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from ninep.protocol import stat as st
from ninep.protocol.attributes import (
    SECOND,
    XATTR_CREATE,
    XATTR_REPLACE,
    Attributes,
    SetAttributes,
    Statfs,
    device_extension,
    plan9_mode,
)
from ninep.protocol.emulation import changed_mode
from ninep.protocol.errors import (
    DirectoryNotEmpty,
    ExclusiveUse,
    FileExists,
    FileNotFound,
    FileRemoved,
    FileSystemFull,
    IllegalMode,
    InvalidArgument,
    IsDirectory,
    NameTooLong,
    NoAttribute,
    NotDirectory,
    NotOwner,
    NotPermitted,
    NotSupported,
    PermissionDenied,
    TooManyLinks,
    WstatProhibited,
)
from ninep.protocol.ids import Ids
from ninep.protocol.messages import OAPPEND, ORCLOSE, OTRUNC
from ninep.protocol.permissions import EXECUTE, READ, WRITE, granted, inherited, settled, wanted, writable
from ninep.protocol.qid import QTDIR, Qid
from ninep.protocol.stat import NO32, NO64, Stat
from ninep.ram.node import NameOfNode, Node
from ninep.ram.store import LONGEST_NAME, RamStore
from ninep.server.files import File
from ninep.wire.dialect import Buffer

LONGEST_TARGET = 4095
"""Bytes in the target of a symbolic link."""
MOST_XATTRS = 65536
"""Bytes of names and values of one file's extended attributes."""
MOST_LINKS = 65000
BATCH = 64
"""Directory entries listed at once."""
_XATTRS = ("user.", "trusted.", "security.")


class RamFile(File):
    """One fid's view of a place."""

    appends = odd_names = True
    __slots__ = ("_append", "_listing", "_locked", "_node", "_opened", "_place", "_tree", "_user", "_writable")

    def __init__(self, tree: RamStore, place: NameOfNode, user: str) -> None:
        self._tree = tree
        self._place = place
        self._node = place.node
        self._user = user
        self._locked = self._opened = self._append = self._writable = False
        self._listing: Iterator[NameOfNode] = iter(())

    @property
    def qid(self) -> Qid:
        """Current qid."""
        return self._node.qid

    @property
    def is_directory(self) -> bool:
        """Whether it is one."""
        return bool(self._node.qid.type & QTDIR)

    @property
    def ids(self) -> Ids:
        """The tree's."""
        return self._tree.ids

    def _may(self, node: Node, rights: int) -> None:
        user = self._user
        if rights & ~granted(node.mode, owner=user == node.uid, member=user == node.gid):
            raise PermissionDenied

    def clone(self) -> File:
        """A second view."""
        return RamFile(self._tree, self._place, self._user)

    def step(self, name: str) -> File:
        """A child, or the parent."""
        if name == ".." and self._node.children is not None:
            return RamFile(self._tree, self._place.parent, self._user)
        return RamFile(self._tree, self._child(name), self._user)

    def _child(self, name: str) -> NameOfNode:
        node = self._node
        if node.children is None:
            raise NotDirectory
        self._may(node, EXECUTE)
        child = node.children.get(name)
        if child is None:
            raise FileNotFound
        return child

    def open(self, mode: int) -> None:
        """Checks rights, locks an exclusive-use file, truncates."""
        node = self._node
        if not node.links:
            raise FileRemoved
        self._may(node, wanted(mode))
        if node.mode & st.UNIX_KINDS and (writable(mode) or not node.mode & st.DMSYMLINK):
            raise NotPermitted("no access to special file")
        if mode & ORCLOSE:
            self._may(self._place.parent.node, WRITE)
        if node.mode & st.DMEXCL:
            if node.locked:
                raise ExclusiveUse
            node.locked = self._locked = True
        if mode & OTRUNC and not node.mode & st.DMAPPEND:
            self._tree.resize(node, 0)
            node.changed(self._user, self._tree.now())
        self._open(mode)

    def _open(self, mode: int) -> None:
        self._opened = True
        self._writable = writable(mode)
        self._append = bool(mode & OAPPEND)
        self._node.openers += 1

    def create(self, name: str, perm: int, mode: int) -> File:
        """Makes a child, open; the directory's mode masks ``perm``."""
        return self._created(name, inherited(perm, self._node.mode), mode, None)

    def lcreate(self, name: str, perm: int, mode: int, gid: int | None) -> File:
        """The same with ``perm`` as it is."""
        return self._created(name, plan9_mode(perm & 0o7777), mode, gid)

    def _created(self, name: str, perm: int, mode: int, gid: int | None) -> File:
        made = RamFile(self._tree, self._make(name, perm, gid), self._user)
        if perm & st.DMEXCL:
            made._node.locked = made._locked = True
        made._open(mode)
        return made

    def _make(self, name: str, perm: int, gid: int | None, *, rdev: int = 0, extension: str = "") -> NameOfNode:
        self._free(name)
        tree, node = self._tree, self._node
        group = node.gid if gid is None or node.mode & st.DMSETGID else tree.ids.group(gid)
        return self._enter(name, tree.make(perm, self._user, group, rdev=rdev, extension=extension))

    def _free(self, name: str) -> None:
        """Raises unless this is a directory in which the user may make ``name``, which is not there."""
        node = self._node
        if node.children is None:
            raise NotDirectory
        if self._place.removed:
            raise FileRemoved
        self._may(node, WRITE)
        if len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
            raise NameTooLong
        if name in node.children:
            raise FileExists

    def _enter(self, name: str, node: Node) -> NameOfNode:
        directory = self._node
        assert directory.children is not None
        place = directory.children[name] = NameOfNode(name, node, self._place)
        directory.changed(self._user, self._tree.now())
        return place

    def read(self, offset: int, count: int) -> Buffer:
        """Bytes from the file."""
        return self._node.content.read(offset, count)

    def write(self, offset: int, data: Buffer) -> int:
        """Puts bytes into the file; a gap reads as zeros."""
        node, tree = self._node, self._tree
        if self._append or node.mode & st.DMAPPEND:
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
            if found := [place.node.stat(place.name) for place in batch if not place.removed]:
                return found
        return ()

    def stat(self) -> Stat:
        """The entry."""
        return self._node.stat(self._place.name)

    def wstat(self, changes: Stat) -> None:
        """All checks first, then all changes."""
        node, tree = self._node, self._tree
        if not node.links:
            raise FileRemoved
        changes = settled(changes, self.stat())
        if changes.touches_nothing:
            return
        owner = self._user == node.uid
        leader = self._user == node.gid
        if changes.name:
            self._may_rename()
            self._may(self._place.parent.node, WRITE)
            if len(changes.name.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
                raise NameTooLong
            if changes.name in (self._place.parent.node.children or ()):
                raise FileExists
        if changes.length != NO64:
            self._may(node, WRITE)
            if node.mode & (node.mode if changes.mode == NO32 else changes.mode) & st.DMAPPEND:
                raise WstatProhibited
        if (changes.mode != NO32 or changes.mtime != NO32 or changes.atime != NO32) and not (owner or leader):
            raise NotOwner
        if changes.gid and not (owner and changes.gid == self._user):
            raise NotOwner
        now = tree.now()
        if changes.length != NO64:
            tree.resize(node, changes.length)
            node.changed(self._user, now)
        if changes.name:
            self._place.move(self._place.parent, changes.name)
            self._place.parent.node.changed(self._user, now)
        if changes.atime != NO32:
            node.atime = changes.atime * SECOND
        if changes.mtime != NO32:
            node.mtime = changes.mtime * SECOND
        if changes.gid:
            node.gid = changes.gid
        node.ctime = now
        node.set_mode(node.mode if changes.mode == NO32 else changes.mode)

    def _may_rename(self) -> None:
        if self._place.parent is self._place:
            raise WstatProhibited

    def remove(self) -> None:
        """Takes the name out of the tree; whoever has the file open keeps its data."""
        place = self._place
        try:
            self._check_removal(place)
            self._tree.drop(place, self._user)
        finally:
            self.clunk()

    def _check_removal(self, place: NameOfNode) -> None:
        if place.parent is place:
            raise PermissionDenied("cannot remove root")
        if place.removed:
            raise FileRemoved
        self._may(place.parent.node, WRITE)
        if place.node.children:
            raise DirectoryNotEmpty

    def clunk(self) -> None:
        """Unlocks an exclusive-use file."""
        node = self._node
        if self._locked:
            node.locked = self._locked = False
        if self._opened:
            self._opened = False
            node.openers -= 1
        if not node.links:
            self._tree.settle(node)

    # By the rules of Unix.

    def getattr(self, mask: int) -> Attributes:
        """All of them."""
        return self._node.attributes(self._tree.ids)

    def setattr(self, changes: SetAttributes) -> None:
        """All checks first, then all changes. What was opened for writing may be cut whatever its mode is."""
        node, tree, user = self._node, self._tree, self._user
        chief = user == tree.owner
        owner = chief or user in (node.uid, node.gid)
        uid = node.uid if changes.uid is None else tree.ids.user(changes.uid)
        gid = node.gid if changes.gid is None else tree.ids.group(changes.gid)
        if uid != node.uid and not chief:
            raise NotPermitted
        if gid != node.gid and not (chief or (user == node.uid and gid == user)):
            raise NotPermitted
        if changes.mode is not None and not owner:
            raise NotPermitted
        for moment, now in ((changes.atime, changes.atime_now), (changes.mtime, changes.mtime_now)):
            if moment is not None and not owner:
                if not now:
                    raise NotPermitted
                self._may(node, WRITE)
        if changes.size is not None:
            if node.children is not None:
                raise IsDirectory
            if not self._writable:
                self._may(node, WRITE)
            if node.mode & st.DMAPPEND or node.mode & st.UNIX_KINDS:
                raise NotPermitted
            tree.resize(node, changes.size)
            node.changed(user, tree.now())
        node.ctime = tree.now()
        node.uid, node.gid = uid, gid
        if changes.mode is not None:
            node.set_mode(changed_mode(node.mode, changes.mode))
        if changes.atime is not None:
            node.atime = changes.atime
        if changes.mtime is not None:
            node.mtime = changes.mtime

    def mkdir(self, name: str, perm: int, gid: int | None) -> Qid:
        """A directory; in one with the set-group bit it gets that as well."""
        inheriting = self._node.mode & st.DMSETGID
        return self._make(name, st.DMDIR | plan9_mode(perm & 0o7777) | inheriting, gid).node.qid

    def mknod(self, name: str, mode: int, rdev: int, gid: int | None) -> Qid:
        """A file of any kind but directories and links."""
        perm = plan9_mode(mode)
        if perm & (st.DMDIR | st.DMSYMLINK):
            raise IllegalMode
        if perm & st.DMDEVICE and self._user != self._tree.owner:
            raise NotPermitted
        if not perm & st.DMDEVICE:
            return self._make(name, perm, gid).node.qid
        return self._make(name, perm, gid, rdev=rdev, extension=device_extension(mode, rdev)).node.qid

    def symlink(self, name: str, target: str, gid: int | None) -> Qid:
        """A link; its target is its content."""
        if len(target.encode("utf-8", "surrogateescape")) > LONGEST_TARGET:
            raise NameTooLong
        if not target:
            raise FileNotFound
        return self._make(name, st.DMSYMLINK | 0o777, gid, extension=target).node.qid

    def link(self, name: str, file: File) -> None:
        """Another name, not of a directory."""
        if not isinstance(file, RamFile) or file._tree is not self._tree or file._node.children is not None:
            raise NotPermitted
        node = file._node
        if not node.links:
            raise FileNotFound
        if node.links >= MOST_LINKS:
            raise TooManyLinks
        self._free(name)
        self._enter(name, node)
        node.links += 1
        node.ctime = self._tree.now()

    def readlink(self) -> str:
        """The target."""
        if not self._node.mode & st.DMSYMLINK:
            raise InvalidArgument
        return self._node.extension

    def rename(self, directory: File, name: str) -> None:
        """Moves the name; what is there already is replaced if it is of the same kind and, a directory, empty."""
        if not isinstance(directory, RamFile) or directory._tree is not self._tree:
            raise NotPermitted
        place, target = self._place, directory._place
        siblings = target.node.children
        if siblings is None:
            raise NotDirectory
        if place.removed or target.removed:
            raise FileNotFound
        if place.parent is place or target.is_below(place):
            raise InvalidArgument
        self._may(place.parent.node, WRITE)
        self._may(target.node, WRITE)
        if len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
            raise NameTooLong
        there = siblings.get(name)
        if there is not None:
            if there.node is place.node:
                return
            if there.node.children is not None and place.node.children is None:
                raise IsDirectory
            if there.node.children is None and place.node.children is not None:
                raise NotDirectory
            self._check_removal(there)
            self._tree.drop(there, self._user)
        now = self._tree.now()
        old = place.parent.node
        place.move(target, name)
        old.changed(self._user, now)
        target.node.changed(self._user, now)
        place.node.ctime = now

    def replace(self, name: str) -> None:
        """Renames within the directory."""
        self.rename(RamFile(self._tree, self._place.parent, self._user), name)

    def renameat(self, name: str, directory: File, newname: str) -> None:
        """Renames what is called ``name``."""
        RamFile(self._tree, self._child(name), self._user).rename(directory, newname)

    def unlinkat(self, name: str, directory: bool) -> None:
        """Removes a name of this directory."""
        place = self._child(name)
        if (place.node.children is not None) is not directory:
            raise NotDirectory if directory else IsDirectory
        self._check_removal(place)
        self._tree.drop(place, self._user)

    def fsync(self, data_only: bool) -> None:
        """Memory is as safe as it gets."""

    def statfs(self) -> Statfs:
        """The tree's room."""
        return self._tree.statfs()

    def listxattr(self) -> Sequence[str]:
        """Their names."""
        return list(self._node.xattrs)

    def getxattr(self, name: str) -> Buffer:
        """A value."""
        self._may(self._node, READ)
        try:
            return self._node.xattrs[name]
        except KeyError:
            raise NoAttribute from None

    def setxattr(self, name: str, value: bytes, flags: int) -> None:
        """Sets one of those that mean nothing to a server."""
        if not name.startswith(_XATTRS):
            raise NotSupported
        node, xattrs = self._node, self._node.xattrs
        self._may(node, WRITE)
        if flags & XATTR_CREATE and name in xattrs:
            raise FileExists
        if flags & XATTR_REPLACE and name not in xattrs:
            raise NoAttribute
        others = sum(len(key) + len(data) for key, data in xattrs.items() if key != name)
        if others + len(name) + len(value) > MOST_XATTRS:
            raise FileSystemFull
        xattrs[name] = value
        node.ctime = self._tree.now()

    def removexattr(self, name: str) -> None:
        """Removes one."""
        self._may(self._node, WRITE)
        if name not in self._node.xattrs:
            raise NoAttribute
        del self._node.xattrs[name]
        self._node.ctime = self._tree.now()
