"""A file of the live tree or a snapshot in 9P2000.u and 9P2000.L: the requests that only look.

The target of a symbolic link is its content, and so is what there is to say of a device (``c 5 0``), as in archives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from fossil.files.storedfile import StoredFile
from fossil.metadata.node import Node
from ninep.protocol import stat as st
from ninep.protocol.attributes import Attributes, Statfs, attributes_of, link_count
from ninep.protocol.errors import InvalidArgument, NotPermitted, PermissionDenied
from ninep.protocol.ids import Ids
from ninep.protocol.locks import LockTable
from ninep.protocol.messages import OTRUNC
from ninep.protocol.permissions import writable
from ninep.protocol.stat import Stat
from ninep.wire.dialect import Maybe
from ninep.wire.maybe import arrived, then

LONGEST_TARGET = 4095
"""Bytes of a symbolic link's target."""
_WITH_TEXT = st.DMSYMLINK | st.DMDEVICE


class UnixView(StoredFile):
    """A stored file that is looked at."""

    @property
    def ids(self) -> Ids:
        """The tree's."""
        return self._tree.ids

    @property
    def locks(self) -> LockTable:
        """Those of the file system, whatever way its clients came."""
        return self._tree.system.locks

    def _check_special(self, mode: int) -> None:
        """Raises where a file of this kind cannot be opened so: a link can be read, nothing else can be opened."""
        if self._node.mode & st.UNIX_KINDS:
            if not self._node.mode & st.DMSYMLINK:
                raise NotPermitted("no access to special file")
            if writable(mode) or mode & OTRUNC:
                raise PermissionDenied

    def _text(self, node: Node) -> Maybe[str]:
        """The content of a link or a device."""
        return then(
            StoredFile.read(cast("StoredFile", self._beside(node)), 0, LONGEST_TARGET),
            lambda data: bytes(data).decode("utf-8", "replace"),
        )

    def stat(self) -> Maybe[Stat]:
        """The entry, with what 9P2000.u adds to it."""
        stat = self._entry()
        if self._node.links:
            stat = stat._replace(name=self._place[1])
            if not stat.mode & st.UNIX_KINDS:
                stat = stat._replace(extension=link_count(self._links()))
        if not stat.mode & _WITH_TEXT:
            return stat
        return then(self._text(self._node), lambda text: _with_text(stat, text))

    def _entry(self) -> Stat:
        """The entry as it is stored."""
        return self._node.stat(self._tree.system.users.names)

    def list(self, rewind: bool) -> Maybe[Sequence[Stat]]:
        """The next entries, with what 9P2000.u adds to them."""
        return then(self._next(rewind), self._with_texts)

    def _with_texts(self, nodes: Sequence[Node]) -> Maybe[Sequence[Stat]]:
        names = self._tree.system.users.names
        found = [node.stat(names) for node in nodes]
        for stat in found:
            if stat.mode & _WITH_TEXT:
                return self._adding_texts(nodes, found)
        return found

    async def _adding_texts(self, nodes: Sequence[Node], found: Sequence[Stat]) -> Sequence[Stat]:
        return [
            _with_text(stat, await arrived(self._text(node))) if stat.mode & _WITH_TEXT else stat
            for node, stat in zip(nodes, found, strict=True)
        ]

    def getattr(self, mask: int) -> Maybe[Attributes]:
        """What is stored."""
        return then(self.stat(), self._attributes)

    def _attributes(self, stat: Stat) -> Attributes:
        node = self._node
        found = attributes_of(stat, self._tree.ids)
        blocks = found.blocks if node.mode & st.DMDIR else max(0, node.holds) + 511 >> 9
        return found._replace(nlink=self._links(), blocks=blocks, atime=node.atime, mtime=node.mtime, ctime=node.ctime)

    def _links(self) -> int:
        return 0 if self._node.removed else 1 + len(self._node.links)

    def readlink(self) -> Maybe[str]:
        """The target."""
        if not self._node.mode & st.DMSYMLINK:
            raise InvalidArgument
        return self._text(self._node)

    def statfs(self) -> Statfs:
        """The room of the disk."""
        return self._tree.system.room.statfs()


def _with_text(stat: Stat, text: str) -> Stat:
    return stat._replace(extension=text, length=0 if stat.mode & st.DMDEVICE else stat.length)
