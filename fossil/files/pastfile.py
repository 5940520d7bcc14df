"""A file of a snapshot over 9P: nothing about it can be changed. Source: fossil(4)."""

from __future__ import annotations

from fossil.files.standpoint import Standpoint
from fossil.files.unixview import UnixView
from fossil.metadata.node import Node
from fossil.past.history import ARCHIVE
from fossil.past.past import Past
from ninep.protocol import stat as st
from ninep.protocol.errors import ReadOnly
from ninep.protocol.messages import ORCLOSE, OTRUNC
from ninep.protocol.permissions import settled, wanted, writable
from ninep.protocol.stat import Stat
from ninep.server.files import File
from ninep.wire.dialect import Buffer


class PastFile(UnixView):
    """A fid's view of a file in a snapshot. It cannot be opened for writing: programs look for errors there."""

    def __init__(self, tree: Standpoint, past: Past, node: Node, user: str, names: tuple[str, ...]) -> None:
        super().__init__(tree, past, node, user)
        self._past = past
        self._names = names

    def _beside(self, node: Node) -> File:
        return PastFile(self._tree, self._past, node, self._user, self._names)

    def _out(self) -> File:
        return self._tree.above(self._user, self._names[:-1])

    def _shows(self, node: Node) -> bool:
        """Temporary files are not archived, and sockets, which are nothing without their programs, neither."""
        return not (node.mode & (st.DMTMP | st.DMSOCKET) and self._names[0] == ARCHIVE)

    def _entry(self) -> Stat:
        """The entry; the top of a snapshot has the snapshot's name."""
        stat = self._node.stat(self._tree.system.users.names)
        return stat._replace(name=self._names[-1]) if self._node.path == self._past.top else stat

    def open(self, mode: int) -> None:
        """Checks rights."""
        self._check_special(mode & OTRUNC)
        if writable(mode) or mode & (OTRUNC | ORCLOSE):
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
        if not settled(changes, self._entry()).touches_nothing:
            raise ReadOnly("file is read only")

    def remove(self) -> None:
        """Nothing can be removed from the past."""
        raise ReadOnly("file is read only")
