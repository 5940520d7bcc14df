"""The files that the kernel knows, by inode number, each with a fid at the server."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import trio

from ninep.errors import FileRemoved
from ninep.qid import Qid
from ninep.remote import RemoteFile
from ninep.wire.errors import ConnectionLost

ROOT = 1
"""The inode number of a root in FUSE."""
_SHADOW = 1 << 63
MOST_FIDS = 8192
"""Fids kept for files that nobody uses at the moment; beyond, they are given up and walked to again when needed."""


class Node:
    """A file that the kernel may ask for.

    Attributes:
        inode: its number; the path of its qid wherever that can be.
        qid: as it was seen last.
        parent: the directory that it was found in; None for the root.
        name: what it is called there.
        lookups: how often the kernel was told of it and has not forgotten.
        changes: counted up by each change of content that goes through us.
        kept: the qid version that the kernel's cached pages belong to.
        file: its fid, not open; None while it is given up.
    """

    __slots__ = ("changes", "file", "inode", "kept", "lock", "lookups", "name", "opened", "parent", "qid")

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


class Nodes:
    """All of them. The root stays for ever."""

    def __init__(self, root: RemoteFile, most_fids: int = MOST_FIDS) -> None:
        self.root = Node(ROOT, root, None, "/")
        self._nodes: dict[int, Node] = {ROOT: self.root}
        self._places: dict[tuple[int, str], Node] = {}
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
        return self._places.get((parent.inode, name))

    async def found(self, parent: Node, name: str, file: RemoteFile) -> Node:
        """The node of what was walked to; takes the fid over. One lookup more is counted."""
        inode = file.qid.path
        if inode == self.root.qid.path and file.qid.type == self.root.qid.type:
            inode = ROOT
        elif inode in (0, ROOT):
            inode |= _SHADOW
        spare: RemoteFile | None = file
        node = self._nodes.get(inode)
        if node is None:
            node, spare = Node(inode, file, parent, name), None
            self._nodes[inode] = node
        elif _gone(node.file) or node.qid.type != file.qid.type:
            # Given up; or the number was used again, for something of another kind.
            node.file, spare = file, node.file
        node.qid = file.qid
        if node is not self.root:
            self._place(node, parent, name)
        if spare is not None:
            await spare.leave()
        node.lookups += 1
        self._touch(node)
        await self._give_up_some()
        return node

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
        node = self._places.get((parent.inode, name))
        if node is None:
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
        self._unplace(node)
        node.parent, node.name = parent, name
        self._places[parent.inode, name] = node

    def _unplace(self, node: Node) -> None:
        if node.parent is not None and self._places.get((node.parent.inode, node.name)) is node:
            del self._places[node.parent.inode, node.name]

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
