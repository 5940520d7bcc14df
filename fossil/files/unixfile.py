"""A file of the live tree in 9P2000.u and 9P2000.L: the requests that change it. Sources: open(2) and on.

Rights add up as in 9P2000; the members of the group ``adm``, who can write the table of users, can also give files
away and make devices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fossil.errors import FossilError, Unlisted
from fossil.files.livefile import LiveFile
from fossil.files.unixview import LONGEST_TARGET
from fossil.live.hardlinks import MOST, Place, add, place_of
from fossil.live.ids import stored_id
from fossil.live.naming import check_empty, check_move, move
from fossil.metadata.node import Node
from ninep.protocol import stat as st
from ninep.protocol.attributes import SetAttributes, device_extension, plan9_mode
from ninep.protocol.emulation import changed_mode
from ninep.protocol.errors import (
    FileNotFound,
    IllegalMode,
    InputOutput,
    InvalidArgument,
    IsDirectory,
    NameTooLong,
    NotDirectory,
    NotPermitted,
    TooManyLinks,
    WstatProhibited,
)
from ninep.protocol.messages import OAPPEND
from ninep.protocol.permissions import EXECUTE, WRITE, writable
from ninep.protocol.qid import Qid
from ninep.protocol.stat import NO32, NO64, Stat
from ninep.server.files import File
from ninep.wire.dialect import Maybe

T = TypeVar("T")

ADMINISTRATORS = "adm"


class UnixFile(LiveFile):
    """A fid's view of a file in the live tree, in every dialect."""

    appends = True
    _append = _writable = _made = False

    def _may(self, node: Node, rights: int) -> None:
        """Who makes a file has it open whatever its mode says; Linux then opens it once more, for its cache."""
        makers = self._tree.makers
        if makers and node is self._node and rights != EXECUTE and (node.path, self._user) in makers:
            return
        super()._may(node, rights)

    def clunk(self) -> None:
        """Gives up the view."""
        if self._made:
            self._made = False
            makers, key = self._tree.makers, (self._node.path, self._user)
            makers[key] -= 1
            if not makers[key]:
                del makers[key]
        super().clunk()

    def open(self, mode: int) -> None:
        """Checks rights, locks an exclusive-use file, truncates."""
        self._check_special(mode)
        super().open(mode)
        self._note_mode(mode)

    def _note_mode(self, mode: int) -> None:
        self._append = bool(mode & OAPPEND)
        self._writable = writable(mode)

    def wstat(self, changes: Stat) -> Maybe[None]:
        """All checks first, then all changes; a link keeps its target."""
        if self._node.mode & st.UNIX_KINDS and changes.length not in (NO64, self._node.length):
            raise WstatProhibited
        return super().wstat(changes)

    def _listed(self, do: Callable[[], T]) -> Maybe[T]:
        """Does what needs names of directories, which may first have to come from venti."""
        try:
            return do()
        except Unlisted as unlisted:
            return self._once_listed(unlisted, lambda: self._listed(do))
        except FossilError as error:
            raise InputOutput from error

    def _is_administrator(self) -> bool:
        tree = self._tree
        return not tree.rules.permissions or tree.system.users.is_member(self._user, ADMINISTRATORS)

    # Making

    def lcreate(self, name: str, perm: int, mode: int, gid: int | None) -> Maybe[File]:
        """Makes a child, open, with this very mode."""
        return self._listed(lambda: self._created(name, plan9_mode(perm & 0o7777), mode, gid))

    def _created(self, name: str, perm: int, mode: int, gid: int | None) -> File:
        made = self._opened_new(self._new(name, perm, self._group(gid)))
        assert isinstance(made, UnixFile)
        made._note_mode(mode)
        made._made = True
        self._tree.makers[made._node.path, made._user] += 1
        return made

    def _group(self, number: int | None) -> str:
        """The group of a new file: the one asked for if the user is in it, else that of the directory.

        A directory with the set-group bit gives its own.
        """
        users = self._system.users
        if number is not None and not self._node.mode & st.DMSETGID:
            gid = stored_id(users, self.ids.group(number))
            if gid is not None and (self._is_administrator() or users.is_member(self._user, gid)):
                return gid
        return self._node.gid

    def mkdir(self, name: str, perm: int, gid: int | None) -> Maybe[Qid]:
        """A directory; in one with the set-group bit it gets that as well."""
        mode = st.DMDIR | plan9_mode(perm & 0o7777) | self._node.mode & st.DMSETGID
        return self._listed(lambda: self._new(name, mode, self._group(gid)).qid)

    def mknod(self, name: str, mode: int, rdev: int, gid: int | None) -> Maybe[Qid]:
        """A file of any kind but directories and links."""
        perm = plan9_mode(mode)
        if perm & (st.DMDIR | st.DMSYMLINK):
            raise IllegalMode
        if not perm & st.DMDEVICE:
            return self._listed(lambda: self._new(name, perm, self._group(gid)).qid)
        if not self._is_administrator():
            raise NotPermitted
        return self._listed(lambda: self._new_with(name, perm, gid, device_extension(mode, rdev)))

    def symlink(self, name: str, target: str, gid: int | None) -> Maybe[Qid]:
        """A link."""
        if not target:
            raise FileNotFound
        if len(target.encode("utf-8", "surrogateescape")) > LONGEST_TARGET:
            raise NameTooLong
        return self._listed(lambda: self._new_with(name, st.DMSYMLINK | 0o777, gid, target))

    def _new_with(self, name: str, mode: int, gid: int | None, text: str) -> Qid:
        """A new file with a content that is not written by anybody."""
        try:
            content = text.encode()
        except UnicodeEncodeError:
            raise InvalidArgument("a link's target has to be UTF-8") from None
        node, system = self._new(name, mode, self._group(gid)), self._system
        try:
            system.write(node, 0, content, self._uid())
        except BaseException:
            system.remove(node, self._uid())
            raise
        return node.qid

    # Moving and removing

    def rename(self, directory: File, name: str) -> Maybe[None]:
        """Moves this file; what is there already is replaced if it is of the same kind and, a directory, empty."""
        target = self._node_of(directory)
        return self._listed(lambda: self._move(self._node, self._place, target, name))

    def replace(self, name: str) -> Maybe[None]:
        """Renames this file within its directory."""
        return self._listed(lambda: self._move(self._node, self._place, self._system.node(self._place[0]), name))

    def renameat(self, name: str, directory: File, newname: str) -> Maybe[None]:
        """Renames what is called ``name`` here."""
        target = self._node_of(directory)
        return self._listed(lambda: self._move(self._child(name), (self._node.path, name), target, newname))

    def unlinkat(self, name: str, directory: bool) -> Maybe[None]:
        """Removes a name of this directory."""
        return self._listed(lambda: self._unlink(name, directory))

    def _unlink(self, name: str, folder: bool) -> None:
        node = self._child(name)
        if bool(node.mode & st.DMDIR) is not folder:
            raise NotDirectory if folder else IsDirectory
        self._changing()
        self._may(self._node, WRITE)
        check_empty(self._system, node)
        self._system.remove(node, self._uid(), (self._node.path, name))

    def _node_of(self, directory: File) -> Node:
        if not isinstance(directory, UnixFile) or directory._system is not self._system:
            raise NotPermitted
        return directory._node

    def _child(self, name: str) -> Node:
        if not self._node.mode & st.DMDIR:
            raise NotDirectory
        self._may(self._node, EXECUTE)
        child = self._system.child(self._node, name)
        if child is None:
            raise FileNotFound
        return child

    def link(self, name: str, file: File) -> Maybe[None]:
        """Another name, not of a directory."""
        node = self._node_of(file)
        return self._listed(lambda: self._link(node, name))

    def _link(self, node: Node, name: str) -> None:
        if node.mode & st.DMDIR:
            raise NotPermitted
        if node.removed:
            raise FileNotFound
        if len(node.links) + 1 >= MOST:
            raise TooManyLinks
        self._check_new(name)
        add(self._system, node, self._node, name, self._uid())

    def _move(self, node: Node, place: Place, target: Node, name: str) -> None:
        system = self._system
        check_move(system, node, target)
        self._changing()
        place = place_of(node, place)
        for directory in (system.node(place[0]), target):
            self._may(directory, WRITE)
        if move(system, node, place, target, name, self._uid()) and node is self._node:
            self._via = target.path, name

    # Changing

    def setattr(self, changes: SetAttributes) -> None:
        """All checks first, then all changes. What was opened for writing may be cut whatever its mode is."""
        node, users, user = self._node, self._system.users, self._user
        self._changing()
        chief = self._is_administrator()
        owner = chief or users.is_owner(user, node.uid) or users.is_leader(user, node.gid)
        uid = self._owner(changes.uid, node.uid, self.ids.uid, self.ids.user)
        gid = self._owner(changes.gid, node.gid, self.ids.gid, self.ids.group)
        if uid and not chief:
            raise NotPermitted
        if gid and not (chief or (users.is_owner(user, node.uid) and users.is_member(user, gid))):
            raise NotPermitted
        if changes.mode is not None and not owner:
            raise NotPermitted
        for moment, now in ((changes.atime, changes.atime_now), (changes.mtime, changes.mtime_now)):
            if moment is not None and not owner:
                if not now:
                    raise NotPermitted
                self._may(node, WRITE)
        if changes.size is not None:
            if node.mode & st.DMDIR:
                raise IsDirectory
            if node.mode & (st.DMAPPEND | st.UNIX_KINDS):
                raise NotPermitted
            if not self._writable:
                self._may(node, WRITE)
        settings = Stat(
            mode=NO32 if changes.mode is None else changed_mode(node.mode, changes.mode),
            length=NO64 if changes.size is None else changes.size,
        )
        try:
            self._change(settings, uid, gid, atime=changes.atime, mtime=changes.mtime)
        except FossilError as error:
            raise InputOutput from error

    def _owner(
        self, number: int | None, stored: str, number_of: Callable[[str], int], name_of: Callable[[int], str]
    ) -> str:
        """What to store for a new owner or group; nothing if it stays. Raises ``InvalidArgument``."""
        users = self._system.users
        if number is None or number == number_of(users.names[stored]):
            return ""
        found = stored_id(users, name_of(number))
        if found is None:
            found = str(number)
        return found

    def fsync(self, data_only: bool) -> Maybe[None]:
        """Everything that has been written is on stable storage when this returns."""
        return self._sync()
