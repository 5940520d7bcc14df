"""A complete file tree in memory. Source: ramfs(4)."""

from __future__ import annotations

import time
from collections.abc import Callable

from ninep.protocol import stat as st
from ninep.protocol.errors import UnknownUser
from ninep.protocol.ids import Ids
from ninep.ram.file import RamFile
from ninep.ram.node import NameOfNode
from ninep.ram.store import CAPACITY, LONGEST_NAME, RamStore
from ninep.server.files import File, FileTree


class RamTree(RamStore, FileTree):
    """A tree whose root belongs to ``owner``, who alone may give files away and make devices.

    A user is a member of the group that has the user's name. Rights are those of 9P2000 in every dialect: they add up.
    """

    ids: Ids

    def __init__(
        self,
        owner: str,
        *,
        mode: int = 0o775,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.time,
        ids: Ids | None = None,
    ) -> None:
        """``mode`` is the root's; for the rest see ``RamStore``."""
        super().__init__(owner, capacity=capacity, clock=clock, ids=ids)
        self._root = NameOfNode("/", self.make(st.DMDIR | mode, owner, owner), None)

    def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        """The root; ``aname`` is not looked at. Raises ``UnknownUser`` for what cannot be a name."""
        user = uname or "none"
        if not user.isprintable() or len(user.encode()) > LONGEST_NAME:
            raise UnknownUser
        return RamFile(self, self._root, user)
