"""The state of one connection that its requests share: dialect, message size, fids and open modes."""

from __future__ import annotations

from collections.abc import Sequence

from ninep.protocol.errors import BadFidUse, NotDirectory, UnknownFid
from ninep.protocol.names import check_name, good_names
from ninep.server.fids import Fid, FidTable
from ninep.server.files import File, FileTree


class Conversation:
    """One connection's state.

    Attributes:
        fids: what the client holds.
        local: whether the client is on this machine.
        most: most bytes of data in one message.
        unix: whether 9P2000.u or 9P2000.L is spoken.
        walks_open: whether a walk may start from an open fid, as clients of 9P2000.L expect.
    """

    __slots__ = ("fids", "local", "most", "tree", "unix", "walks_open")

    def __init__(self, tree: FileTree, *, local: bool, max_fids: int) -> None:
        self.tree = tree
        self.local = local
        self.fids = FidTable(max_fids)
        self.most = 0
        self.unix = self.walks_open = False

    def good_names(self, file: File, names: Sequence[str]) -> int:
        """How many of ``names`` from the first on a file here can have.

        What is there can be walked to in every dialect, though 9P2000 has no such names: it is listed there, too.
        """
        return good_names(names, odd=file.odd_names)

    def check_name(self, file: File, name: str) -> None:
        """Raises ``IllegalName`` unless a file in the directory ``file`` can be called so."""
        check_name(name, odd=self.unix and file.odd_names)


def standing(fid: Fid) -> File:
    """What the fid stands for; a fid that was to be and did not come to be is unknown."""
    if fid.file is None:
        raise UnknownFid
    return fid.file


def unopened(fid: Fid) -> File:
    """The same, if it is not open."""
    file = fid.file
    if file is None:
        raise UnknownFid
    if fid.opened:
        raise BadFidUse
    return file


def directory(fid: Fid) -> File:
    """The same, if it is a directory, open or not."""
    file = standing(fid)
    if not file.is_directory:
        raise NotDirectory
    return file
