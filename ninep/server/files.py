"""The interface between a server's protocol side and whatever it serves.

A ``FileTree`` is what is served; a ``File`` is one fid's view of one place in it. Each fid has a ``File`` of its own,
so that a file may keep what belongs to one opener (a directory cursor, a lock) in itself.

Every method may be written with ``def``, when nothing has to be waited for, or with ``async def``, when something
has; see ``Maybe``. It returns or raises; there is nothing to respond to. A refusal is a ``FileError``.

What the session promises for every ``File``:

* ``open`` and ``create`` are called at most once, and never both; ``read``, ``write`` and ``list`` only after them and
  only as the open mode allows; ``list`` only on directories, ``read`` and ``write`` never on directories.
* Names are checked: not empty, no ``/``, no NUL, not ``.``; ``..`` comes to ``step`` alone.
* ``clunk`` or ``remove`` is the last call, exactly one of them, after all other calls have ended.
* Several reads and writes of one open file may run at once, and several walks and clones of one that is not; nothing
  else runs at the same time as another call on it, except ``stat``.

Permissions are the file's own business: it knows users and groups, the session does not. ``permissions`` has the
arithmetic.

The same ``File`` is served in 9P2000, 9P2000.u and 9P2000.L. What only the latter two can ask for are methods with
defaults: they do what the methods of 9P2000 can do, or refuse with the error that Unix programs expect of a file
system without such things. They may be called on open and unopened files alike, as may ``clone`` and ``walk`` then, and
fids outlive names: a file that was removed while it is open still has attributes, and can be cut and changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from ninep.protocol import emulation
from ninep.protocol.attributes import Attributes, SetAttributes, Statfs, attributes_of
from ninep.protocol.errors import (
    AuthenticationFailed,
    AuthenticationNotRequired,
    FileError,
    FunctionNotImplemented,
    NotDirectory,
    NotPermitted,
    NotSupported,
    PermissionDenied,
)
from ninep.protocol.ids import Ids
from ninep.protocol.locks import LockTable
from ninep.protocol.qid import QTDIR, Qid
from ninep.protocol.stat import Stat
from ninep.wire.dialect import Buffer, Maybe
from ninep.wire.maybe import then

PLAIN_IDS = Ids()
"""No table: see ``ids`` for what numbers names have then."""


class Walked(NamedTuple):
    """How far a walk came: the qid of each element, and the last file if all elements were there."""

    qids: list[Qid]
    file: File | None


class File:
    """One fid's view of one place in a served tree. The defaults refuse; a subclass overrides what it can do.

    Whoever serves a file only reads its attributes: a subclass may declare and set one, or compute it in a property.

    Attributes:
        qid: type, version and path, current at all times.
        iounit: the count that moves as one unit in one message; 0 means whatever fits.
        appends: whether it understands OAPPEND in an open mode. Where not it never sees that bit: its writes come at
            the offsets that the client thinks are the end.
        odd_names: whether names may have control characters and bytes that are no UTF-8, as surrogate escapes. Where
            not, the session refuses them. In 9P2000 nothing is called so, but what is can be walked to.
        ids: how the names of users and groups in its directory entry map to numbers.
        locks: where record locks on this file are; None is with those of the tree.
    """

    if TYPE_CHECKING:

        @property
        def qid(self) -> Qid: ...
        @property
        def iounit(self) -> int: ...
        @property
        def appends(self) -> bool: ...
        @property
        def odd_names(self) -> bool: ...
        @property
        def ids(self) -> Ids: ...
        @property
        def locks(self) -> LockTable | None: ...
    else:
        # Plain attributes, which are read faster and can be set: a property of a base class could not.
        iounit = 0
        appends = odd_names = False
        ids = PLAIN_IDS
        locks = None

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory, which nothing changes. Override it where a current qid costs something."""
        return bool(self.qid.type & QTDIR)

    def clone(self) -> Maybe[File]:
        """Another view of the same place, for a walk without names. This file is not open."""
        raise FunctionNotImplemented

    def walk(self, names: Sequence[str]) -> Maybe[Walked]:
        """Follows one to sixteen names. The default takes one ``step`` after the other.

        Where the first name fails the error is raised; where a later one fails the walk is short and ``file`` is
        None. Files passed through are clunked. Override it where many names cost less together (a remote tree).
        """
        qids: list[Qid] = []
        file: File = self
        for position, name in enumerate(names):
            try:
                found = file.step(name)
            except FileError:
                if file is not self:
                    _forget(file)
                if position == 0:
                    raise
                return Walked(qids, None)
            if not isinstance(found, File):
                return _walk_on(self, file, found, names[position + 1 :], qids)
            if file is not self:
                _forget(file)
            file = found
            qids.append(file.qid)
        return Walked(qids, file)

    def step(self, name: str) -> Maybe[File]:
        """The file called ``name`` in this directory; ``..`` is the parent, at the root the root itself.

        Checks that this is a directory and that the user may search it.

        Raises:
            FileNotFound, PermissionDenied, NotDirectory
        """
        raise NotDirectory

    def open(self, mode: int) -> Maybe[None]:
        """Prepares for reading or writing; ``mode`` is legal and OCEXEC is gone.

        Checks the permissions that the mode needs, truncates on OTRUNC (not append-only files), takes the lock of an
        exclusive-use file. For ORCLOSE it checks the right to remove; the session calls ``remove`` in due time.
        """
        raise PermissionDenied

    def create(self, name: str, perm: int, mode: int) -> Maybe[File]:
        """Makes ``name`` in this directory and returns it open. This file then is clunked by the session.

        Checks the right to write here and that the name is free; masks ``perm`` by this directory's own.
        """
        raise PermissionDenied

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        """At most ``count`` bytes from ``offset``; empty at the end. ``count`` fits a message."""
        raise PermissionDenied

    def write(self, offset: int, data: Buffer) -> Maybe[int]:
        """Writes and returns how many bytes it took. ``data`` is valid only until the call has ended."""
        raise PermissionDenied

    def list(self, rewind: bool) -> Maybe[Sequence[Stat]]:
        """The next entries of the directory, as many as come cheaply; none at the end. ``rewind`` starts again.

        An entry that exists from the rewind to the end is listed exactly once, whatever else changes meanwhile.
        """
        raise NotDirectory

    def entries(self, rewind: bool) -> Maybe[Sequence[bytes]]:
        """What ``list`` gives, packed as in 9P2000: some files have that at hand. Use one of the two."""
        return then(self.list(rewind), lambda found: [stat.pack() for stat in found])

    def stat(self) -> Maybe[Stat]:
        """The directory entry, current."""
        raise FunctionNotImplemented

    def wstat(self, changes: Stat) -> Maybe[None]:
        """Changes the fields of ``changes`` that are not "don't touch": all of them or, raising, none.

        Nothing to change at all means: return when everything written to this file is safe on stable storage.
        """
        raise PermissionDenied

    def remove(self) -> Maybe[None]:
        """Removes the file from the tree and gives up this view, even where removing fails."""
        raise PermissionDenied

    def clunk(self) -> Maybe[None]:
        """Gives up this view. An error is told to the client, but the view is gone all the same."""
        return None

    # What only 9P2000.u and 9P2000.L ask for. Permissions and modes are Linux's, ids are numbers; see ``attributes``.

    def getattr(self, mask: int) -> Maybe[Attributes]:
        """What Unix wants to know; ``mask`` says which of it is asked for. By default, what ``stat`` tells."""
        return then(self.stat(), lambda stat: attributes_of(stat, self.ids))

    def setattr(self, changes: SetAttributes) -> Maybe[None]:
        """Changes all of ``changes`` or, raising, none. By default, what ``wstat`` can."""
        return emulation.setattr(self, changes)

    def lcreate(self, name: str, perm: int, mode: int, gid: int | None) -> Maybe[File]:
        """``create`` of a plain file by the rules of Unix: ``perm``, in which the client has allowed for its umask, is
        taken as it is.

        ``mode`` is an open mode of 9P, ``gid`` the group that the client wants for the file, None where it does not
        say. By default the same as ``create``.
        """
        return self.create(name, perm & 0o777, mode)

    def mkdir(self, name: str, perm: int, gid: int | None) -> Maybe[Qid]:
        """Makes a directory in this one; it is not opened, and this file stays as it is. By default ``create``."""
        return emulation.mkdir(self, name, perm)

    def mknod(self, name: str, mode: int, rdev: int, gid: int | None) -> Maybe[Qid]:
        """Makes a file of any kind in this directory, not open: a device, a pipe, a socket, or a plain file.

        By default only the last. ``rdev`` is a device number as in ``Attributes``.
        """
        return emulation.mknod(self, name, mode)

    def symlink(self, name: str, target: str, gid: int | None) -> Maybe[Qid]:
        """Makes a symbolic link in this directory. It is the client who follows it: walks never do."""
        raise NotPermitted

    def link(self, name: str, file: File) -> Maybe[None]:
        """Makes ``name`` in this directory another name of ``file``, of the same tree.

        Raises:
            NotPermitted: this tree has one name for each file.
        """
        raise NotPermitted

    def readlink(self) -> Maybe[str]:
        """The target of a symbolic link. By default the ``extension`` of ``stat``.

        Raises:
            InvalidArgument: this is no symbolic link.
        """
        return emulation.readlink(self)

    def rename(self, directory: File, name: str) -> Maybe[None]:
        """Moves this file to ``directory`` and calls it ``name``; a file that is there is replaced, in one step.

        Fids go along. By default refused, so that a client renames by ``renameat``.
        """
        raise NotSupported

    def replace(self, name: str) -> Maybe[None]:
        """Renames this file within its directory as Unix does: a file that is there is replaced, in one step.

        By default ``wstat``, which refuses with ``FileExists`` instead.
        """
        return self.wstat(Stat(name=name))

    def renameat(self, name: str, directory: File, newname: str) -> Maybe[None]:
        """Moves what is called ``name`` in this directory to another; a file that is there is replaced, in one step.

        By default ``wstat``: within this directory, and raising ``FileExists`` where the new name is taken.
        """
        return emulation.renameat(self, name, directory, newname)

    def unlinkat(self, name: str, directory: bool) -> Maybe[None]:
        """Removes ``name`` from this directory; ``directory`` tells whether it has to be one, else it must not.

        Whoever has the file open keeps it. By default ``step`` and ``remove``.
        """
        return emulation.unlinkat(self, name, folder=directory)

    def fsync(self, data_only: bool) -> Maybe[None]:
        """Returns when everything written to this file is safe on stable storage. By default the ``wstat`` for that."""
        return self.wstat(Stat())

    def statfs(self) -> Maybe[Statfs]:
        """The room of the file system. By default unknown; Linux then makes something up."""
        raise FunctionNotImplemented

    def listxattr(self) -> Maybe[Sequence[str]]:
        """The names of its extended attributes. By default, and of the three below, there is no such thing."""
        raise NotSupported

    def getxattr(self, name: str) -> Maybe[Buffer]:
        """The value of an extended attribute. Raises ``NoAttribute``."""
        raise NotSupported

    def setxattr(self, name: str, value: bytes, flags: int) -> Maybe[None]:
        """Sets an extended attribute. With ``XATTR_CREATE`` it must be new, with ``XATTR_REPLACE`` it must be there.

        Raises:
            FileExists, NoAttribute: it is not so.
            FileSystemFull, RangeError: too many of them, or one too large.
        """
        raise NotSupported

    def removexattr(self, name: str) -> Maybe[None]:
        """Removes an extended attribute. Raises ``NoAttribute``."""
        raise NotSupported


class FileTree:
    """What a server serves, for all its connections. Its attributes are only read, as those of ``File`` are.

    Attributes:
        ids: which users the numbers are that clients of 9P2000.u and 9P2000.L attach as.
        taskless: whether all coroutines that it and its files return keep to the rule of ``wire.taskless``. Requests
            that wait then have no task.
    """

    if TYPE_CHECKING:

        @property
        def ids(self) -> Ids: ...
        @property
        def taskless(self) -> bool: ...
    else:
        ids = PLAIN_IDS
        taskless = False

    def user(self, uid: int, uname: str, aname: str) -> str:
        """Who attaches to ``aname`` as number ``uid``, and as ``uname`` as well if that is not empty.

        By default the user that ``ids`` knows to have that number, else ``uname``, else the digits.
        """
        return self.ids.user(uid, uname)

    @cached_property
    def locks(self) -> LockTable:
        """The record locks of 9P2000.L on files of this tree, by qid path. The session keeps them."""
        return LockTable()

    def attach(self, uname: str, aname: str, *, local: bool = False) -> Maybe[File]:
        """The root that ``aname`` names, seen as user ``uname``. ``local`` tells a connection from this machine.

        Raises:
            FileError: no such tree, or the user may not attach.
        """
        raise FunctionNotImplemented

    def auth(self, uname: str, aname: str) -> Maybe[File]:
        """A conversation in which a client proves that it may attach to ``aname`` as ``uname``. Source: attach(5).

        Only ``read``, ``write`` and ``clunk`` of the file are called; its qid is of type QTAUTH. It counts as open, and
        is clunked when the client is done with it, which may be before or after the attaches that it is for. By default
        nobody has to prove anything.

        Raises:
            AuthenticationNotRequired: the client may attach without.
        """
        raise AuthenticationNotRequired

    def attach_authenticated(self, uname: str, aname: str, auth: File, *, local: bool = False) -> Maybe[File]:
        """``attach`` for who held the conversation ``auth``, which ``auth(uname, aname)`` of this tree has returned.

        One conversation may serve several attaches. A tree whose users have to prove who they are refuses in ``attach``
        whom it does not let in without.

        Raises:
            AuthenticationFailed: the conversation has not come to its end, or not to a good one.
        """
        raise AuthenticationFailed

    def commit(self) -> Maybe[None]:
        """Makes lasting what calls have changed; called before their answers leave, once for many of them.

        If it raises, those of them that changed something are answered with that error; a fid that was opened or a file
        that was made stays so for this client. Who only asked is answered.
        """
        return None

    def rest(self) -> None:
        """May do a little of what can wait, some ten microseconds; called when answers have left."""


async def _walk_on(start: File, file: File, found: Maybe[File], names: Sequence[str], qids: list[Qid]) -> Walked:
    """The rest of ``File.walk`` from the first step that has to wait."""
    while True:
        try:
            following = found if isinstance(found, File) else await found
        except FileError:
            if file is not start:
                await _forgotten(file)
            if not qids:
                raise
            return Walked(qids, None)
        if file is not start:
            await _forgotten(file)
        file = following
        qids.append(file.qid)
        if not names:
            return Walked(qids, file)
        name, names = names[0], names[1:]
        try:
            found = file.step(name)
        except FileError:
            await _forgotten(file)
            return Walked(qids, None)


def _forget(file: File) -> None:
    waiting = file.clunk()
    if waiting is not None:
        raise TypeError(f"{type(file).__name__} waits in clunk but not in step: override walk")


async def _forgotten(file: File) -> None:
    waiting = file.clunk()
    if waiting is not None:
        await waiting
