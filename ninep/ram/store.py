"""The state that all files of a tree in memory share: the space used, the clock, the qid paths."""

from __future__ import annotations

import time
from collections.abc import Callable

from ninep.protocol.attributes import SECOND, Statfs
from ninep.protocol.errors import FileSystemFull, FileTooBig
from ninep.protocol.ids import Ids
from ninep.ram.node import NameOfNode, Node
from ninep.wire.dialect import Buffer

CAPACITY = 1 << 30
"""Bytes of file data that a tree holds unless told otherwise."""
LONGEST = (1 << 63) - 1
"""The greatest length of a file."""
LONGEST_NAME = 255
"""Bytes in the name of a file or user. A directory entry must fit in the smallest messages in use."""
BLOCK = 4096
"""Bytes of a block, as statfs counts."""


class RamStore:
    """Makes nodes and accounts for their bytes.

    Attributes:
        owner: who alone may give files away and make devices.
        capacity: most bytes of data in all files together.
        free: how many of them are not in use.
    """

    ids: Ids

    def __init__(
        self,
        owner: str,
        *,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.time,
        ids: Ids | None = None,
    ) -> None:
        """``capacity`` bounds the data of all files together, in bytes; ``clock`` gives seconds since 1970."""
        self._clock = clock
        self._paths = 0
        self.owner = owner
        self.capacity = self.free = capacity
        self.ids = ids or Ids()

    def now(self) -> int:
        """Nanoseconds since 1970."""
        return int(self._clock() * SECOND)

    def make(self, mode: int, uid: str, gid: str, *, rdev: int = 0, extension: str = "") -> Node:
        """A new node with a path of its own. Raises ``FileSystemFull``: there is no room for a link's target."""
        node = Node(self._paths + 1, mode, uid, gid, self.now(), rdev=rdev, extension=extension)
        if node.content.stored > self.free:
            raise FileSystemFull
        self._paths += 1
        self.free -= node.content.stored
        return node

    def write(self, node: Node, offset: int, data: Buffer) -> None:
        """Puts bytes into a file. Raises ``FileSystemFull`` or ``FileTooBig``, and then nothing is changed."""
        content = node.content
        if offset + len(data) > LONGEST:
            raise FileTooBig
        if content.growth(offset, len(data)) > self.free:
            raise FileSystemFull
        before = content.stored
        content.write(offset, data)
        self.free -= content.stored - before

    def resize(self, node: Node, length: int) -> None:
        """Cuts or extends a file. Raises ``FileTooBig``."""
        if length > LONGEST:
            raise FileTooBig
        before = node.content.stored
        node.content.resize(length)
        self.free -= node.content.stored - before

    def drop(self, place: NameOfNode, user: str) -> None:
        """Takes a name out of its directory; with its last name and its last opener a file is gone."""
        siblings = place.parent.node.children
        assert siblings is not None
        del siblings[place.name]
        place.removed = True
        now = self.now()
        place.node.links -= 1
        place.node.ctime = now
        place.parent.node.changed(user, now)
        self.settle(place.node)

    def settle(self, node: Node) -> None:
        """Gives the room of a removed file back when its last opener has gone."""
        if not node.links and not node.openers:
            self.resize(node, 0)

    def statfs(self) -> Statfs:
        """The room in this tree."""
        free = self.free // BLOCK
        return Statfs(
            bsize=BLOCK,
            blocks=self.capacity // BLOCK,
            bfree=free,
            bavail=free,
            files=self._paths + free,
            ffree=free,
            namelen=LONGEST_NAME,
        )
