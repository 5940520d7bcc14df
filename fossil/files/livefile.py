"""A file of the live tree over 9P. Source: fossil(4), stat(5), open(5), remove(5)."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, cast

import trio

from fossil.errors import FossilError, Unlisted
from fossil.files.standpoint import Standpoint
from fossil.files.unixview import UnixView
from fossil.live.filesystem import ROOT
from fossil.live.naming import check_empty, check_free, describe, show_change
from fossil.live.users import NOBODY
from fossil.metadata.node import Node
from ninep.protocol import stat as st
from ninep.protocol.errors import (
    ExclusiveUse,
    FileError,
    FileRemoved,
    IllegalMode,
    InputOutput,
    NotDirectory,
    NotOwner,
    PermissionDenied,
    ReadOnly,
    UnknownUser,
    WstatProhibited,
)
from ninep.protocol.messages import ORCLOSE, OTRUNC
from ninep.protocol.permissions import WRITE, inherited, settled, wanted
from ninep.protocol.stat import NO32, NO64, Stat
from ninep.server.files import File
from ninep.wire.dialect import Buffer, Maybe

LEASE = 300.0
"""Seconds that an exclusive-use file stays with who opened it and does not use it."""
WRITERS = "write"
"""If there is a group of this name, only its members change anything."""


class LiveFile(UnixView):
    """A fid's view of a file in the live tree."""

    _append = False
    _opened = False
    _leased = False
    _unread = False

    def __init__(self, tree: Standpoint, node: Node, user: str, *, below: bool = False) -> None:
        """``below`` tells that the walk began above the trees, so that ``..`` leads there."""
        super().__init__(tree, tree.system, node, user)
        self._system = tree.system
        self._below = below

    def _beside(self, node: Node) -> File:
        return type(self)(self._tree, node, self._user, below=self._below)

    def _out(self) -> File:
        return self._tree.above(self._user, ()) if self._below else self._beside(self._node)

    def _changing(self) -> None:
        """Raises unless this user may change anything at all, anything can be changed, and there is room for that."""
        self._can_change()
        try:
            self._system.prepare()
        except FossilError as error:
            raise InputOutput from error

    def _can_change(self) -> None:
        """Raises unless this user may change anything at all, and anything can be changed."""
        system, rules = self._system, self._tree.rules
        if system.stopped is not None:
            raise InputOutput
        if rules.read_only:
            raise ReadOnly
        if system.halted:
            raise FileError(f"file system {self._tree.name} is halted")
        users = system.users
        if rules.permissions and WRITERS in users.names and not users.is_member(self._user, WRITERS):
            raise ReadOnly

    def _uid(self) -> str:
        return self._system.users.uid(self._user)

    def open(self, mode: int) -> None:
        """Checks rights, locks an exclusive-use file, truncates."""
        node = self._node
        if node.removed:
            raise FileRemoved
        if (mode & (WRITE | 1 | OTRUNC | ORCLOSE) and wanted(mode) & WRITE) or mode & ORCLOSE:
            (self._changing if mode & OTRUNC else self._can_change)()
        self._may(node, wanted(mode))
        if mode & ORCLOSE:
            if node.path == ROOT:
                raise PermissionDenied
            self._may(self._system.node(self._place[0]), WRITE)
        if node.mode & st.DMEXCL:
            self._take_lease()
        if mode & OTRUNC and not node.mode & st.DMAPPEND:
            self._system.truncate(node, 0, self._uid(), counts=True)
        node.opens += 1
        self._opened = True
        self._unread = self._tree.rules.access_times

    def _take_lease(self) -> None:
        node, now = self._node, trio.current_time()
        if node.holder is not None and node.lease > now:
            raise ExclusiveUse
        node.holder, node.lease = self, now + LEASE
        self._leased = True

    def _renew_lease(self) -> None:
        """Keeps an exclusive-use file for itself; it may have gone to another meanwhile."""
        node = self._node
        if node.holder is not self:
            raise ExclusiveUse("exclusive lock broken")
        node.lease = trio.current_time() + LEASE

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        """Bytes of the file; what is damaged is an error."""
        if self._leased:
            self._renew_lease()
        if self._unread:
            self._note_access()
        return super().read(offset, count)

    def _next(self, rewind: bool) -> Maybe[Sequence[Node]]:
        if self._unread:
            self._note_access()
        return super()._next(rewind)

    def _note_access(self) -> None:
        self._unread = False
        if not self._tree.rules.read_only:
            self._system.accesses.note(self._node, self._system.time())

    def create(self, name: str, perm: int, mode: int) -> Maybe[File]:
        """Makes a child, open."""
        try:
            return self._create(name, perm, mode)
        except Unlisted as unlisted:
            return cast(
                "Coroutine[Any, Any, File]", self._once_listed(unlisted, lambda: self._create(name, perm, mode))
            )

    def _create(self, name: str, perm: int, mode: int) -> File:
        if perm & st.DMDIR and perm & st.DMAPPEND:
            raise IllegalMode
        return self._opened_new(self._new(name, inherited(perm, self._node.mode), self._node.gid))

    def _new(self, name: str, mode: int, gid: str) -> Node:
        """A new file in this directory, if the user may make one and the name is free."""
        self._check_new(name)
        return self._system.create(self._node, name, mode, self._uid(), gid)

    def _check_new(self, name: str) -> None:
        """Raises unless the user may make something of this name here."""
        node, system = self._node, self._system
        if not node.mode & st.DMDIR:
            raise NotDirectory
        if node.removed:
            raise FileRemoved
        self._changing()
        self._may(node, WRITE)
        if self._tree.rules.permissions and system.users.is_member(self._user, "noworld"):
            raise PermissionDenied
        check_free(system, node, name)

    def _opened_new(self, node: Node) -> File:
        """A view of a file that was just made, open."""
        made = type(self)(self._tree, node, self._user, below=self._below)
        node.opens += 1
        made._opened = True
        if node.mode & st.DMEXCL:
            made._take_lease()
        return made

    def write(self, offset: int, data: Buffer) -> int:
        """Puts bytes into the file."""
        node, system = self._node, self._system
        if self._leased:
            self._renew_lease()
        if system.halted:
            self._can_change()
        if self._append or node.mode & st.DMAPPEND:
            offset = node.length
        try:
            return system.write(node, offset, data, self._uid())
        except FossilError as error:
            raise InputOutput from error

    def wstat(self, changes: Stat) -> Maybe[None]:
        """All checks first, then all changes. A file that was removed while it is open can still be cut."""
        node, users = self._node, self._system.users
        if changes.touches_nothing:
            return self._sync()
        everything = not self._tree.rules.permissions or self._tree.rules.wstat_anything
        if self._user == NOBODY and not everything:
            raise PermissionDenied
        uid = self._new_owner(changes)
        changes = settled(changes._replace(uid=""), node.stat(users.names))
        if changes.touches_nothing and not uid:
            return None
        self._changing()
        owner = everything or users.is_owner(self._user, node.uid)
        leader = users.is_leader(self._user, node.gid)
        if uid and not everything:
            raise NotOwner
        self._may_rename(changes.name)
        if changes.length != NO64:
            if node.mode & st.DMAPPEND and (changes.mode == NO32 or changes.mode & st.DMAPPEND):
                raise WstatProhibited("an append-only file cannot be cut")
            if not everything:
                self._may(node, WRITE)
        if (changes.mode != NO32 or changes.mtime != NO32 or changes.atime != NO32) and not (owner or leader):
            raise NotOwner
        gid = ""
        if changes.gid:
            if not users.knows(changes.gid):
                raise UnknownUser("unknown group")
            gid = users.uid(changes.gid)
            member = owner and users.is_member(self._user, gid)
            if not (everything or member or (leader and users.is_leader(self._user, gid))):
                raise NotOwner
        try:
            self._change(changes, uid, gid, atime=_nanoseconds(changes.atime), mtime=_nanoseconds(changes.mtime))
        except FossilError as error:
            raise InputOutput from error
        return None

    def _new_owner(self, changes: Stat) -> str:
        """The id of the owner that a wstat asks for, or nothing if he stays."""
        users = self._system.users
        if changes.uid in ("", users.names[self._node.uid]):
            return ""
        if not self._tree.rules.wstat_anything:
            raise NotOwner
        if not users.knows(changes.uid) or changes.uid == "noworld":
            raise UnknownUser
        return users.uid(changes.uid)

    def _may_rename(self, name: str) -> None:
        node, system = self._node, self._system
        if not name:
            return
        if node.removed:
            raise FileRemoved
        if node.path == ROOT:
            raise WstatProhibited
        parent = system.node(self._place[0])
        self._may(parent, WRITE)
        check_free(system, parent, name)

    def _change(self, changes: Stat, uid: str, gid: str, *, atime: int | None = None, mtime: int | None = None) -> None:
        """Does what was found to be allowed; what can still fail comes first. Times are nanoseconds."""
        node, system = self._node, self._system
        if changes.length != NO64:
            system.truncate(node, changes.length, self._uid(), counts=True)
        if changes.name:
            place = self._place
            system.rename(node, changes.name, self._uid(), place=place)
            self._via = place[0], changes.name
        mode = None if changes.mode == NO32 else changes.mode
        describe(system, node, mode=mode, uid=uid, gid=gid, atime=atime, mtime=mtime)
        if not changes.name:
            show_change(system, node)

    async def _sync(self) -> None:
        """Everything that has been written is on stable storage when this returns."""
        try:
            await self._system.sync_point.reach()
        except FossilError as error:
            raise InputOutput from error

    def remove(self) -> Maybe[None]:
        """Takes the file out of the tree."""
        try:
            self._remove()
        except Unlisted as unlisted:
            return self._remove_listed(unlisted)
        except BaseException:
            self.clunk()
            raise
        self.clunk()
        return None

    async def _remove_listed(self, unlisted: Unlisted) -> None:
        try:
            await self._once_listed(unlisted, self._remove)
        finally:
            self.clunk()

    def _remove(self) -> None:
        node, system = self._node, self._system
        if node.path == ROOT:
            raise PermissionDenied("cannot remove root")
        if node.removed:
            raise FileRemoved
        self._changing()
        place = self._place
        self._may(system.node(place[0]), WRITE)
        if node.mode & st.DMDIR:
            check_empty(system, node)
        system.remove(node, self._uid(), place)

    def clunk(self) -> None:
        """Gives up the view."""
        if self._opened:
            self._opened = False
            if self._leased and self._node.holder is self:
                self._node.holder = None
            self._system.closed(self._node)


def _nanoseconds(time: int) -> int | None:
    """A time of a wstat; None where it is to stay."""
    return None if time == NO32 else time * st.SECOND
