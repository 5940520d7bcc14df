"""The files that the kernel knows, by inode number, each with a fid at the server.

A node is a *place*: a name in a directory. Its inode number is the path of the file's qid, but that alone never makes
two places one file. There are servers that give one qid path to several files: the original fossil to a file and to
all that snapshots have of it. A place whose qid path another node has already gets a number of its own, unless the
server says that the file has several names and shows the same attributes for both: then it is a hard link.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Any

import trio

from ninep.attributes import Attributes
from ninep.errors import FileError, FileRemoved
from ninep.qid import QTDIR, QTSYMLINK, Qid
from ninep.remote import RemoteFile
from ninep.wire.errors import ConnectionLost

ROOT = 1
"""The inode number of a root in FUSE."""
LOOKS = 3
"""How often two names are compared that may be of one file, while it changes."""
_OTHER = 1 << 63
"""Set in inode numbers that are not the path of a qid."""
_KIND = QTDIR | QTSYMLINK
MOST_FIDS = 8192
"""Fids kept for files that nobody uses at the moment; beyond, they are given up and walked to again when needed."""


class Node:
    """A file that the kernel may ask for.

    Attributes:
        inode: its number; the path of its qid unless another place had that first.
        qid: as it was seen last.
        parent: the directory that it was found in last; None for the root.
        name: what it is called there.
        children: what is known in it, by name.
        others: the places where it was found before, if it has several names.
        lookups: how often the kernel was told of it and has not forgotten.
        changes: counted up by each change of content that goes through us.
        kept: the qid version that the kernel's cached pages belong to.
        file: its fid, not open; None while it is given up.
    """

    __slots__ = (
        "changes",
        "children",
        "file",
        "inode",
        "kept",
        "lock",
        "lookups",
        "name",
        "opened",
        "others",
        "parent",
        "qid",
    )

    def __init__(self, inode: int, file: RemoteFile, parent: Node | None, name: str) -> None:
        self.inode = inode
        self.file: RemoteFile | None = file
        self.qid: Qid = file.qid
        self.parent = parent
        self.name = name
        self.lookups = 0
        self.changes = 0
        self.kept: int | None = None
        self.lock = trio.Lock()
        self.opened: set[Any] = set()
        self.children: dict[str, Node] = {}
        self.others: tuple[tuple[Node, str], ...] = ()

    def may_be(self, qid: Qid) -> bool:
        """Whether a file with this qid, in the same place, is this one."""
        return self.qid.path == qid.path and not (self.qid.type ^ qid.type) & _KIND


class Nodes:
    """All of them. The root stays for ever."""

    def __init__(self, root: RemoteFile, most_fids: int = MOST_FIDS) -> None:
        self.root = Node(ROOT, root, None, "/")
        self._nodes: dict[int, Node] = {ROOT: self.root}
        self._used: OrderedDict[int, Node] = OrderedDict()
        self._most_fids = most_fids

    def __getitem__(self, inode: int) -> Node:
        """The node of an inode number that the kernel has. Raises ``FileRemoved``."""
        node = self._nodes.get(inode)
        if node is None:
            raise FileRemoved
        return node

    def __len__(self) -> int:
        return len(self._nodes)

    def child(self, parent: Node, name: str) -> Node | None:
        """What the kernel knows under a name, if it does."""
        return parent.children.get(name)

    async def found(self, parent: Node, name: str, file: RemoteFile, seen: Attributes) -> Node:
        """The node of what was walked to, and looked at; takes the fid over. One lookup more is counted."""
        spare: RemoteFile | None = file
        node = self._at(parent, name, file.qid)
        if node is None and seen.nlink > 1 and not file.qid.type & _KIND:
            node = await self._linked(file, seen)
            node = self._at(parent, name, file.qid) or node
        if node is None:
            node, spare = Node(self._number(parent, name, file.qid.path), file, parent, name), None
            self._nodes[node.inode] = node
        elif _gone(node.file):
            node.file, spare = file, node.file
        node.qid = file.qid
        self._place(node, parent, name)
        if spare is not None:
            await spare.leave()
        node.lookups += 1
        self._touch(node)
        await self._give_up_some()
        return node

    def _at(self, parent: Node, name: str, qid: Qid) -> Node | None:
        """What is known in a place, if it is a file with this qid."""
        node = parent.children.get(name)
        return node if node is not None and self._nodes.get(node.inode) is node and node.may_be(qid) else None

    async def _linked(self, file: RemoteFile, seen: Attributes) -> Node | None:
        """The node that is known by another name of a file which has several, if there is one."""
        node = self._nodes.get(file.qid.path)
        if node is None or node is self.root or not node.may_be(file.qid):
            return None
        try:
            for opened in list(node.opened):
                await opened.settle()
            for _ in range(LOOKS):
                found = await (await self.file(node)).getattr()
                if found._replace(atime=seen.atime) == seen:
                    return node if self._nodes.get(node.inode) is node else None
                # It may have changed between the two looks.
                seen = await file.getattr()
        except FileError:
            pass
        return None

    def _number(self, parent: Node, name: str, path: int) -> int:
        """An inode number that is free: the path, else one that is made of the place."""
        number, tries = path or _OTHER, 0
        while number in self._nodes:
            text = f"{tries} {parent.inode} {name}".encode("utf-8", "surrogateescape")
            number = int.from_bytes(blake2b(text, digest_size=8).digest(), "little") | _OTHER
            tries += 1
        return number

    async def file(self, node: Node) -> RemoteFile:
        """The fid of a node, not open; walked to again where it was given up, or belongs to a connection that broke.

        Raises:
            FileRemoved: another file is there by now.
            ConnectionLost: there is no connection at the moment.
        """
        if _gone(node.file):
            async with node.lock:
                if _gone(node.file):
                    if node.parent is None:
                        raise ConnectionLost("there is no connection to the server")
                    file = await (await self.file(node.parent)).walk([node.name])
                    if file.qid.path != node.qid.path:
                        await file.leave()
                        raise FileRemoved("another file has that name by now")
                    node.file = file
        self._touch(node)
        assert node.file is not None
        return node.file

    async def forget(self, inode: int, count: int) -> None:
        """The kernel has forgotten ``count`` of its lookups."""
        node = self._nodes.get(inode)
        if node is None or node is self.root:
            return
        node.lookups -= count
        if node.lookups <= 0 and not node.opened:
            del self._nodes[inode]
            self._unplace(node)
            self._used.pop(inode, None)
            if node.file is not None:
                file, node.file = node.file, None
                await file.leave()

    async def moved(self, parent: Node, name: str, target: Node, newname: str) -> None:
        """What was called ``name`` is called ``newname`` in ``target``.

        There are servers whose fids are paths (diod): after a renaming they lead nowhere. So the fids of what was
        moved, and of what is below it, are given up, and walked to again when they are needed.
        """
        node = parent.children.pop(name, None)
        if node is None or self._nodes.get(node.inode) is not node:
            return
        self._place(node, target, newname)
        for other in list(self._nodes.values()) if node.qid.is_directory else [node]:
            if other.file is not None and self._is_at_or_below(other, node):
                file, other.file = other.file, None
                await file.leave()

    def _is_at_or_below(self, node: Node, above: Node) -> bool:
        at: Node | None = node
        while at is not None:
            if at is above:
                return True
            at = at.parent
        return False

    def renew(self, root: RemoteFile) -> None:
        """Goes on with the root of a new connection.

        Raises:
            FileRemoved: it is not the same tree.
        """
        if root.qid.path != self.root.qid.path:
            raise FileRemoved("another tree is there by now")
        self.root.file = root

    def _place(self, node: Node, parent: Node, name: str) -> None:
        above, before = node.parent, node.name
        if (above, before) == (parent, name):
            parent.children[name] = node
            return
        if above is not None and above.children.get(before) is node:
            node.others = (*(place for place in node.others if place != (parent, name)), (above, before))
        node.parent, node.name = parent, name
        parent.children[name] = node

    def _unplace(self, node: Node) -> None:
        for above, name in ((node.parent, node.name), *node.others):
            if above is not None and above.children.get(name) is node:
                del above.children[name]

    def _touch(self, node: Node) -> None:
        if node is not self.root:
            self._used[node.inode] = node
            self._used.move_to_end(node.inode)

    async def _give_up_some(self) -> None:
        while len(self._used) > self._most_fids:
            _, node = self._used.popitem(last=False)
            if node.file is not None and not node.opened and not node.lock.locked():
                file, node.file = node.file, None
                await file.leave()


def _gone(file: RemoteFile | None) -> bool:
    return file is None or file.connection.lost is not None
