"""The files that the kernel knows, by inode number, each with a fid at the server while one is needed.

A node is a *place*: a name in a directory. Its inode number is the path of the file's qid, but that alone never makes
two places one file. There are servers that give one qid path to several files: the original fossil to a file and to
all that snapshots have of it. A place whose qid path another node has already gets a number of its own, unless the
server says that the file has several names and shows the same attributes for both: then it is a hard link.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Set
from hashlib import blake2b
from typing import Any, Final

import trio

from ninep.client.remote import RemoteFile
from ninep.net.errors import ConnectionLost
from ninep.protocol.attributes import Attributes
from ninep.protocol.errors import FileError, FileNotFound, FileRemoved, is_shortage
from ninep.protocol.qid import QTDIR, QTSYMLINK, Qid

ROOT = 1
"""The inode number of a root in FUSE."""
LOOKS = 3
"""How often two names are compared that may be of one file, while it changes."""
_OTHER = 1 << 63
"""Set in inode numbers that are not the path of a qid."""
_KIND = QTDIR | QTSYMLINK
MOST_FIDS = 4096
"""Fids kept for files that nobody uses at the moment; beyond, they are given up and walked to again when needed.

A server may have to keep a descriptor for each; one that has no more says so, and gets most of them back."""
LEAST_FIDS = 16
"""The same where the server says that it has no more."""


NOBODY: Final[Set[Any]] = frozenset()
"""Has most files open. Millions of files may be known: what few of them have is made when it is needed."""


class KernelNode:
    """A file that the kernel may ask for.

    Attributes:
        inode: its number; the path of its qid unless another place had that first.
        qid: as it was seen last.
        places: the directories that it was found in and its names there, the one that was used last at the end; none
            for the root, and none for what was removed.
        children: what is known in it, by name.
        lookups: how often the kernel was told of it and has not forgotten.
        changes: counted up by each change of content that goes through us.
        kept: the qid version that the kernel's cached pages belong to.
        file: its fid, not open; None while it is given up.
        users: requests that are using ``file`` at the moment.
        lock: held while it is walked to again; None until that is needed.
        opened: who has it open.
        spares: fids that were given up while requests used them.
    """

    __slots__ = (
        *(
            "changes",
            "children",
            "file",
            "inode",
            "kept",
            "lock",
            "lookups",
            "opened",
            "places",
            "qid",
            "spares",
            "users",
        ),
    )

    def __init__(self, inode: int, qid: Qid, file: RemoteFile | None) -> None:
        self.inode = inode
        self.file = file
        self.qid = qid
        self.places: tuple[tuple[KernelNode, str], ...] = ()
        self.children: dict[str, KernelNode] = {}
        self.lookups = 0
        self.changes = 0
        self.kept: int | None = None
        self.lock: trio.Lock | None = None
        self.opened: Set[Any] = NOBODY
        self.users = 0
        self.spares: tuple[RemoteFile, ...] = ()

    @property
    def place(self) -> tuple[KernelNode, str] | None:
        """Where it was found last, if it has a name."""
        return self.places[-1] if self.places else None

    def may_be(self, qid: Qid) -> bool:
        """Whether a file with this qid, in the same place, is this one."""
        return self.qid.path == qid.path and not (self.qid.type ^ qid.type) & _KIND

    @property
    def is_idle(self) -> bool:
        """Whether its fid can be given up: nobody is using it, and nobody has the file open."""
        return not (self.users or self.opened or (self.lock is not None and self.lock.locked()))

    def opens(self, file: Any) -> None:
        """Somebody has it open now: ``file``, an ``OpenFile``."""
        self.opened = {*self.opened, file}

    def closes(self, file: Any) -> None:
        """The same, the other way."""
        self.opened = self.opened - {file} or NOBODY


class Use:
    """A context in which a request uses a node's fid, which is not given up meanwhile."""

    __slots__ = ("_node", "_nodes")

    def __init__(self, nodes: Nodes, node: KernelNode) -> None:
        self._nodes = nodes
        self._node = node

    async def __aenter__(self) -> RemoteFile:
        self._node.users += 1
        try:
            return await self._nodes.file(self._node)
        except BaseException:
            self._node.users -= 1
            raise

    async def __aexit__(self, *_: object) -> None:
        await self._nodes.released(self._node)


class Nodes:
    """All of them. The root stays for ever."""

    def __init__(self, root: RemoteFile, most_fids: int = MOST_FIDS) -> None:
        self.root = KernelNode(ROOT, root.qid, root)
        self._nodes: dict[int, KernelNode] = {ROOT: self.root}
        self._used: OrderedDict[int, KernelNode] = OrderedDict()
        self._most_fids = self._bound = most_fids

    def __getitem__(self, inode: int) -> KernelNode:
        """The node of an inode number that the kernel has. Raises ``FileRemoved``."""
        node = self._nodes.get(inode)
        if node is None:
            raise FileRemoved
        return node

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def fids(self) -> int:
        """Nodes that have a fid, the root apart."""
        return sum(node.file is not None for node in self._used.values())

    def child(self, parent: KernelNode, name: str) -> KernelNode | None:
        """What the kernel knows under a name, if it does."""
        return parent.children.get(name)

    def use(self, node: KernelNode) -> Use:
        """``async with`` it a request has the fid of a node, not open; raises as ``file``."""
        return Use(self, node)

    async def released(self, node: KernelNode) -> None:
        """A request that used the fid has ended."""
        node.users -= 1
        if node.spares and not node.users:
            spares, node.spares = node.spares, ()
            for file in spares:
                await file.leave()

    async def found(self, parent: KernelNode, name: str, file: RemoteFile, seen: Attributes) -> KernelNode:
        """The node of what was walked to, and looked at; takes the fid over. One lookup more is counted."""
        node = self._at(parent, name, file.qid)
        if node is None and seen.nlink > 1 and not file.qid.type & _KIND:
            node = await self._linked(file, seen)
            node = self._at(parent, name, file.qid) or node
        spare: RemoteFile | None = file
        if node is None:
            node = self._new(parent, name, file.qid)
        if _gone(node.file) or node.place != (parent, name):
            # Of a file with several names the fid of the last one: an older one may stand for a name that is gone.
            node.file, spare = file, node.file
        self._tell(node, parent, name, file.qid)
        self._touch(node)
        if spare is not None:
            await self._leave(node, spare)
        await self._give_up_some()
        return node

    def listed(self, parent: KernelNode, name: str, qid: Qid) -> KernelNode:
        """The node of what a directory lists and nobody could walk to. One lookup more is counted."""
        node = self._at(parent, name, qid) or self._new(parent, name, qid)
        self._tell(node, parent, name, qid)
        return node

    def _new(self, parent: KernelNode, name: str, qid: Qid) -> KernelNode:
        node = KernelNode(self._number(parent, name, qid.path), qid, None)
        self._nodes[node.inode] = node
        return node

    def _tell(self, node: KernelNode, parent: KernelNode, name: str, qid: Qid) -> None:
        """The kernel is told of a node once more. That is counted before anything is waited for."""
        node.qid = qid
        node.lookups += 1
        self._place(node, parent, name)

    def _at(self, parent: KernelNode, name: str, qid: Qid) -> KernelNode | None:
        """What is known in a place, if it is a file with this qid."""
        node = parent.children.get(name)
        return node if node is not None and self._nodes.get(node.inode) is node and node.may_be(qid) else None

    async def _linked(self, file: RemoteFile, seen: Attributes) -> KernelNode | None:
        """The node that is known by another name of a file which has several, if there is one."""
        node = self._nodes.get(file.qid.path)
        if node is None or node is self.root or not node.may_be(file.qid):
            return None
        try:
            for opened in list(node.opened):
                await opened.settle()
            for _ in range(LOOKS):
                async with self.use(node) as known:
                    found = await known.getattr()
                if found._replace(atime=seen.atime) == seen:
                    return node if self._nodes.get(node.inode) is node else None
                # It may have changed between the two looks.
                seen = await file.getattr()
        except FileError:
            pass
        return None

    def _number(self, parent: KernelNode, name: str, path: int) -> int:
        """An inode number that is free: the path, else one that is made of the place."""
        number, tries = path or _OTHER, 0
        while number in self._nodes:
            text = f"{tries} {parent.inode} {name}".encode("utf-8", "surrogateescape")
            number = int.from_bytes(blake2b(text, digest_size=8).digest(), "little") | _OTHER
            tries += 1
        return number

    async def file(self, node: KernelNode) -> RemoteFile:
        """The fid of a node, not open; walked to again where it was given up, or belongs to a connection that broke.

        Of a file that has no name any more and is open it is an open one.

        Raises:
            FileRemoved: it is not there any more; another file may be there.
            ConnectionLost: there is no connection at the moment.
        """
        if _gone(node.file):
            if node.lock is None:
                node.lock = trio.Lock()
            async with node.lock:
                if _gone(node.file):
                    if node.opened and not node.places:
                        still: RemoteFile = next(iter(node.opened)).file
                        if _gone(still):
                            raise FileRemoved
                        return still
                    node.file = await self._walked(node)
        self._touch(node)
        assert node.file is not None
        return node.file

    async def _walked(self, node: KernelNode) -> RemoteFile:
        """Another fid of a node, from the nearest directory above that has one."""
        names: list[str] = []
        above = node
        while _gone(above.file):
            if above is self.root:
                raise ConnectionLost("there is no connection to the server")
            if above.place is None:
                raise FileRemoved
            above, name = above.place
            names.append(name)
        names.reverse()
        above.users += 1
        try:
            assert above.file is not None
            try:
                file = await above.file.walk(names)
            except FileError as error:
                if not is_shortage(error) or not await self.shed():
                    raise
                file = await above.file.walk(names)
        except FileNotFound as error:
            # The kernel has been told of it: it looks up the names once more when it hears this.
            raise FileRemoved from error
        finally:
            await self.released(above)
        if file.qid.path != node.qid.path:
            await file.leave()
            raise FileRemoved("another file has that name by now")
        return file

    async def forget(self, inode: int, count: int) -> None:
        """The kernel has forgotten ``count`` of its lookups."""
        node = self._nodes.get(inode)
        if node is None or node is self.root:
            return
        node.lookups -= count
        if node.lookups <= 0 and not node.opened:
            del self._nodes[inode]
            self._used.pop(inode, None)
            for place in node.places:
                self._unplace(node, place)
            await self._give_up(node)

    async def removed(self, parent: KernelNode, name: str) -> None:
        """A name is gone. The fid of a file with other names is walked to again by one of them."""
        node = parent.children.get(name)
        if node is not None:
            self._unplace(node, (parent, name))
            if node.places:
                await self._give_up(node)

    async def moved(self, parent: KernelNode, name: str, target: KernelNode, newname: str) -> None:
        """What was called ``name`` is called ``newname`` in ``target``.

        There are servers whose fids are paths (diod): after a renaming they lead nowhere. So the fids of what was
        moved, and of what is below it, are given up, and walked to again when they are needed.
        """
        node, replaced = parent.children.get(name), target.children.get(newname)
        if replaced is not None and replaced is node:
            # Of two names of one file rename(2) leaves both.
            return
        if replaced is not None:
            await self.removed(target, newname)
        if node is None:
            return
        self._unplace(node, (parent, name))
        self._place(node, target, newname)
        for other in list(self._nodes.values()) if node.qid.is_directory else [node]:
            if other.file is not None and _is_at_or_below(other, node):
                await self._give_up(other)

    async def shed(self) -> bool:
        """Gives up all fids that nobody uses, as the server has no more; keeps fewer from now on.

        Whether there were any.
        """
        idle = [node for node in self._used.values() if node.is_idle and not _gone(node.file)]
        self._bound = max(LEAST_FIDS, min(self._bound, len(idle)) // 2)
        for node in idle:
            await self._give_up(node)
        return bool(idle)

    def renew(self, root: RemoteFile) -> None:
        """Goes on with the root of a new connection.

        Raises:
            FileRemoved: it is not the same tree.
        """
        if root.qid.path != self.root.qid.path:
            raise FileRemoved("another tree is there by now")
        self.root.file = root
        self._bound = self._most_fids

    def _place(self, node: KernelNode, parent: KernelNode, name: str) -> None:
        place = (parent, name)
        before = parent.children.get(name)
        if before is not None and before is not node:
            self._unplace(before, place)
        if node.place != place:
            node.places = (*(other for other in node.places if other != place), place)
        parent.children[name] = node

    def _unplace(self, node: KernelNode, place: tuple[KernelNode, str]) -> None:
        node.places = tuple(other for other in node.places if other != place)
        parent, name = place
        if parent.children.get(name) is node:
            del parent.children[name]

    def _touch(self, node: KernelNode) -> None:
        if node is not self.root:
            self._used[node.inode] = node
            self._used.move_to_end(node.inode)

    async def _give_up_some(self) -> None:
        for _ in range(len(self._used) - self._bound):
            _, node = self._used.popitem(last=False)
            if node.is_idle:
                await self._give_up(node)
            else:
                self._used[node.inode] = node

    async def _give_up(self, node: KernelNode) -> None:
        file, node.file = node.file, None
        if file is not None:
            await self._leave(node, file)

    async def _leave(self, node: KernelNode, file: RemoteFile) -> None:
        if node.users:
            node.spares = (*node.spares, file)
        else:
            await file.leave()


def _is_at_or_below(node: KernelNode, above: KernelNode) -> bool:
    waiting, seen = [node], {node}
    while waiting:
        at = waiting.pop()
        if at is above:
            return True
        for parent, _ in at.places:
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return False


def _gone(file: RemoteFile | None) -> bool:
    return file is None or file.connection.lost is not None
