"""Files in memory and their names: what ``ramfs`` is made of. Pure."""

from __future__ import annotations

from ninep.protocol import stat as st
from ninep.protocol.attributes import BASIC as EVERY
from ninep.protocol.attributes import BTIME, DATA_VERSION, GEN, Attributes, link_count, unix_mode
from ninep.protocol.ids import Ids
from ninep.protocol.qid import Qid
from ninep.protocol.stat import NO32, Stat, seconds
from ninep.ram.sparse import SparseBytes


class Node:
    """A file of any kind. Times are nanoseconds since 1970.

    Attributes:
        content: of a plain file; of a symbolic link, its target.
        children: the names in a directory; None for anything else.
        extension: what a directory entry of 9P2000.u says of a link or a device.
        links: how many names it has.
        locked: whether it is for exclusive use and open.
        openers: how many fids have it open.
        xattrs: extended attributes.
    """

    __slots__ = (
        "atime",
        "btime",
        "children",
        "content",
        "ctime",
        "extension",
        "gid",
        "links",
        "locked",
        "mode",
        "mtime",
        "muid",
        "openers",
        "path",
        "qid",
        "rdev",
        "uid",
        "version",
        "xattrs",
    )

    def __init__(
        self, path: int, mode: int, uid: str, gid: str, now: int, *, rdev: int = 0, extension: str = ""
    ) -> None:
        self.path = path
        self.version = 0
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.muid = uid
        self.atime = self.mtime = self.ctime = self.btime = now
        self.links = 1
        self.locked = False
        self.openers = 0
        self.rdev = rdev
        self.xattrs: dict[str, bytes] = {}
        self.content = SparseBytes()
        self.extension = extension
        if mode & st.DMSYMLINK:
            self.content.write(0, extension.encode("utf-8", "surrogateescape"))
        self.children: dict[str, NameOfNode] | None = {} if mode & st.DMDIR else None
        self.qid = Qid(mode >> 24, 0, path)

    def changed(self, user: str, now: int) -> None:
        """The content is another one now."""
        self.version = (self.version + 1) & NO32
        self.qid = Qid(self.mode >> 24, self.version, self.path)
        self.mtime = self.ctime = now
        self.muid = user

    def set_mode(self, mode: int) -> None:
        """Changes the mode, and the qid's type with it."""
        self.mode = mode
        self.qid = Qid(mode >> 24, self.version, self.path)

    def stat(self, name: str) -> Stat:
        """The directory entry under one of its names."""
        return Stat(
            0,
            0,
            self.qid,
            self.mode,
            seconds(self.atime),
            seconds(self.mtime),
            self.content.length,
            name,
            self.uid,
            self.gid,
            self.muid,
            self.extension or (link_count(self.links) if self.links > 1 else ""),
        )

    def attributes(self, ids: Ids) -> Attributes:
        """Everything that Unix wants to know."""
        content = self.content
        return Attributes(
            self.qid,
            unix_mode(self.mode, self.extension),
            ids.uid(self.uid),
            ids.gid(self.gid),
            self.links,
            self.rdev,
            content.length,
            4096,
            content.stored + 511 >> 9,
            self.atime,
            self.mtime,
            self.ctime,
            self.btime,
            0,
            self.version,
            EVERY | BTIME | GEN | DATA_VERSION,
        )


class NameOfNode:
    """A name of a node in a directory. It goes along when it is renamed, and fids with it.

    Attributes:
        parent: the place of the directory; the root's is the root itself.
        removed: whether the name is gone.
    """

    __slots__ = ("name", "node", "parent", "removed")

    def __init__(self, name: str, node: Node, parent: NameOfNode | None) -> None:
        self.name = name
        self.node = node
        self.parent = parent or self
        self.removed = False

    def is_below(self, directory: NameOfNode) -> bool:
        """Whether this is ``directory`` or somewhere in it."""
        place = self
        while place is not directory:
            if place.parent is place:
                return False
            place = place.parent
        return True

    def move(self, parent: NameOfNode, name: str) -> None:
        """Takes the name out of its directory and puts it into another, or the same, where it is free."""
        assert self.parent.node.children is not None
        assert parent.node.children is not None
        del self.parent.node.children[self.name]
        self.parent, self.name = parent, name
        parent.node.children[name] = self
