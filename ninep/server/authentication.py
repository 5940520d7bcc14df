"""The file behind an authentication fid. Sources: intro(5), attach(5)."""

from __future__ import annotations

from collections.abc import Sequence

from ninep.protocol.attributes import SetAttributes
from ninep.protocol.errors import AuthenticationFailed, BadFidUse, NotSupported, PermissionDenied
from ninep.protocol.locks import LockTable
from ninep.protocol.qid import QTAUTH, Qid
from ninep.protocol.stat import Stat
from ninep.server.files import File, FileTree, Walked
from ninep.wire.dialect import Buffer, Maybe
from ninep.wire.maybe import then


class Authentication(File):
    """A tree's conversation with a client, and what it is about. It is read and written, and that is all.

    It is open from the start, so that the session itself refuses to open it, or to create in it.
    """

    def __init__(self, file: File, uname: str, aname: str) -> None:
        self._file = file
        self._uname = uname
        self._aname = aname

    @property
    def qid(self) -> Qid:
        """That of the conversation, which is no directory whatever its tree says."""
        return self._file.qid._replace(type=QTAUTH)

    @property
    def iounit(self) -> int:
        """That of the conversation."""
        return self._file.iounit

    @property
    def locks(self) -> LockTable:
        """There are none here."""
        raise NotSupported

    def attach(self, tree: FileTree, uname: str, aname: str, *, local: bool) -> Maybe[File]:
        """The root of ``tree`` for who held this conversation.

        Raises:
            AuthenticationFailed: it was about another user or tree, or did not end well.
        """
        if uname != self._uname:
            raise AuthenticationFailed(
                f"authentication failed: it was for user {self._uname!r}, and the attach is for {uname!r}"
            )
        if aname != self._aname:
            raise AuthenticationFailed(
                f"authentication failed: it was for tree {self._aname!r}, and the attach is to {aname!r}"
            )
        return tree.attach_authenticated(uname, aname, self._file, local=local)

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        """The tree's side of the conversation."""
        return self._file.read(offset, count)

    def write(self, offset: int, data: Buffer) -> Maybe[int]:
        """The client's side."""
        return self._file.write(offset, data)

    def clunk(self) -> Maybe[None]:
        """The end of it."""
        return self._file.clunk()

    def remove(self) -> Maybe[None]:
        """Refused; the fid is gone all the same."""
        return then(self._file.clunk(), _refuse)

    def clone(self) -> File:
        """There is no second view of a conversation."""
        raise BadFidUse

    def walk(self, names: Sequence[str]) -> Walked:
        """Nor a way from it."""
        raise BadFidUse

    def stat(self) -> Stat:
        """It has no directory entry."""
        raise PermissionDenied

    def setattr(self, changes: SetAttributes) -> None:
        """And so nothing that could be changed."""
        raise PermissionDenied


def _refuse(_: None) -> None:
    raise PermissionDenied
