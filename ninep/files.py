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
* Several reads and writes of one file may run at once; nothing else runs at the same time as another call on it,
  except ``stat``.

Permissions are the file's own business: it knows users and groups, the session does not. ``permissions`` has the
arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ninep.errors import FileError, FunctionNotImplemented, NotDirectory, PermissionDenied
from ninep.qid import Qid
from ninep.stat import Stat
from ninep.wire.dialect import Buffer, Maybe


class Walked(NamedTuple):
    """How far a walk came: the qid of each element, and the last file if all elements were there."""

    qids: list[Qid]
    file: File | None


class File:
    """One fid's view of one place in a served tree. The defaults refuse; a subclass overrides what it can do.

    Attributes:
        qid: type, version and path, current at all times. May be a property.
        iounit: the count that moves as one unit in one message; 0 means whatever fits.
    """

    qid: Qid
    iounit: int = 0

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


class FileTree:
    """What a server serves, for all its connections."""

    def attach(self, uname: str, aname: str, *, local: bool = False) -> Maybe[File]:
        """The root that ``aname`` names, seen as user ``uname``. ``local`` tells a connection from this machine.

        Raises:
            FileError: no such tree, or the user may not attach.
        """
        raise FunctionNotImplemented

    def commit(self) -> Maybe[None]:
        """Makes lasting what calls have changed; called before their answers leave, once for many of them.

        If it raises, all those calls are answered with that error.
        """
        return None


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
