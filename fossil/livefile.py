"""A file of the live tree over 9P. Source: fossil(4), stat(5), open(5), remove(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from fossil.errors import FossilError
from fossil.filesystem import ROOT
from fossil.node import Node
from fossil.storedfile import StoredFile
from ninep import stat as st
from ninep.errors import (
    DirectoryNotEmpty,
    ExclusiveUse,
    FileExists,
    FileRemoved,
    IllegalMode,
    InputOutput,
    NameTooLong,
    NotOwner,
    PermissionDenied,
    ReadOnly,
    UnknownUser,
    WstatProhibited,
)
from ninep.files import File
from ninep.messages import ORCLOSE, OTRUNC
from ninep.permissions import WRITE, inherited, settled, wanted
from ninep.stat import NO32, NO64, Stat
from ninep.wire.dialect import Buffer, Maybe

if TYPE_CHECKING:
    from fossil.served import FossilTree

LONGEST_NAME = 512
"""Bytes of a name: a directory entry must fit a block of an archive."""


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
