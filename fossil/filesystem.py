"""The live file system: a tree in memory that is written behind to the database, once for a batch of requests.

A row of the database lives from its ``born`` epoch to before its ``died`` epoch. What changes in the epoch of its birth
is updated; what is older and so may be seen by a snapshot is closed, and a new row is opened.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from blake3 import blake3

from fossil import extents as ranges
from fossil.content import read_extents
from fossil.datalog import DataLog
from fossil.errors import DamagedData, WritesStopped
from fossil.extents import LONGEST, Extent
from fossil.node import COLUMNS, Node
from fossil.pending import Pending
from fossil.schema import ALIVE, open_database, sync_database
from fossil.users import Users, first_table
from ninep.errors import FileSystemFull, FileTooBig
from ninep.stat import DMDIR
from ninep.wire.dialect import Buffer, Maybe

log = logging.getLogger(__name__)

ROOT = 2
"""The path of the root of the live tree."""
FIRST_PATH = 16
"""Smaller paths are those of directories that are not in the database."""
CACHED = 200_000
"""Nodes kept in memory although nobody uses them."""
LARGEST_FILE = 1 << 44
"""Bytes: 2^31 blocks of 8 KiB, as many as readers of archives count."""
DAY = 86400
_full = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class FileSystem:
    """The live tree. Every change is in memory at once and in the database after ``commit``.

    Attributes:
        stopped: why no more changes are taken, after a failure.
        halted: whether an operator has forbidden changes for a while.
    """

    def __init__(
        self, folder: Path, *, owner: str, durable: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        """Opens the file system in ``folder``; a fresh one gets a root that belongs to ``owner``."""
        self.clock = clock
        self.durable = durable
        self._metadata = folder / "metadata"
        self.database = open_database(self._metadata, durable=durable)
        try:
            settings: dict[str, Any] = dict(self.database.execute("SELECT name, value FROM setting"))
            self.epoch: int = settings.get("epoch", 1)
            self._next_path: int = settings.get("next_path", FIRST_PATH)
            self.log = DataLog(folder / "data", settings.get("tail", 0))
        except BaseException:
            self.database.close()
            raise
        self._nodes: WeakValueDictionary[int, Node] = WeakValueDictionary()
        self._kept: deque[Node] = deque(maxlen=CACHED)
        self._pending = Pending()
        self._growing: tuple[int, Extent, Any] | None = None
        self.freed: list[tuple[int, int]] = []
        self.stopped: str | None = None
        self.halted = False
        self._accessed: dict[int, Node] = {}
        self.users = Users.parse(first_table(owner))
        if not settings:
            self._make_root(owner)

    def now(self) -> int:
        """Seconds since 1970."""
        return int(self.clock())

    def _make_root(self, owner: str) -> None:
        now = self.now()
        gid = owner
        root = Node(ROOT, self.epoch, ROOT, "/", 0, DMDIR | 0o775, now, now, 0, owner, gid, owner, self.epoch)
        root.children = {}
        self._nodes[ROOT] = root
        self._kept.append(root)
        self._pending.nodes[ROOT] = root
        adm = self.create(root, "adm", DMDIR | 0o775, "adm", "adm")
        users = self.create(adm, "users", 0o664, "adm", "adm")
        self.write(users, 0, first_table(owner).encode(), "adm")
        self.commit()

    # Looking

    def node(self, path: int) -> Node:
        """The node of a path in the live tree."""
        node = self._nodes.get(path)
        if node is None:
            row = self.database.execute(
                f"SELECT {COLUMNS} FROM node WHERE path=? AND died={ALIVE} ORDER BY born DESC LIMIT 1", (path,)
            ).fetchone()
            if row is None:
                raise DamagedData(f"the database names file {path:x} and does not have it")
            node = self._nodes[path] = Node(*row)
            self._kept.append(node)
        return node

    def children(self, node: Node) -> dict[str, tuple[int, int]]:
        """Name to (path, epoch of the name's row) of a directory."""
        if node.children is None:
            rows = self.database.execute(
                f"SELECT name, child, born FROM name WHERE parent=? AND died={ALIVE}", (node.path,)
            )
            node.children = {name: (child, born) for name, child, born in rows}
        return node.children

    def child(self, node: Node, name: str) -> Node | None:
        """The node called ``name`` in a directory."""
        found = self.children(node).get(name)
        return None if found is None else self.node(found[0])

    def extents(self, node: Node) -> list[Extent]:
        """The extents of a file, sorted."""
        if node.extents is None:
            rows = self.database.execute(
                "SELECT start, length, place, skip, stored, digest, born FROM extent "
                f"WHERE path=? AND died={ALIVE} ORDER BY start",
                (node.path,),
            )
            node.extents = [Extent(*row) for row in rows]
        return node.extents

    def read(self, node: Node, offset: int, count: int) -> Maybe[Buffer]:
        """At most ``count`` bytes from ``offset``; what was never written reads as zeros."""
        return read_extents(self.log, self.extents(node), node.length, offset, count)

    # Changing

    def check(self) -> None:
        """Raises ``WritesStopped`` after a failure that nothing can be promised behind."""
        if self.stopped is not None:
            raise WritesStopped(self.stopped)

    def touch(self, node: Node) -> None:
        """The row of a node is to be written, and everything above it is to know that something changed."""
        if node.removed:
            return
        self._pending.nodes[node.path] = node
        epoch = self.epoch
        while node.changed != epoch:
            node.changed = epoch
            if node.path == ROOT:
                break
            node = self.node(node.parent)
            self._pending.nodes[node.path] = node

    def create(self, parent: Node, name: str, mode: int, uid: str, gid: str) -> Node:
        """Makes a file or directory whose name is free."""
        self.check()
        path = self._next_path
        self._next_path += 1
        now = self.now()
        node = Node(path, self.epoch, parent.path, name, 0, mode, now, now, 0, uid, gid, uid, self.epoch)
        if mode & DMDIR:
            node.children = {}
        else:
            node.extents = []
        self._nodes[path] = node
        self._kept.append(node)
        self._pending.nodes[path] = node
        self.children(parent)[name] = (path, self.epoch)
        self._pending.names[parent.path, name] = path
        self._directory_changed(parent, uid)
        return node

    def _directory_changed(self, directory: Node, uid: str) -> None:
        directory.next_version()
        directory.mtime = self.now()
        directory.muid = uid
        self.touch(directory)

    def _drop_name(self, parent: Node, name: str) -> int:
        child, born = self.children(parent).pop(name)
        if born == self.epoch:
            self._pending.names[parent.path, name] = None
        else:
            self._pending.names_closed.append((self.epoch, parent.path, name, born))
        return child

    def remove(self, node: Node, uid: str) -> None:
        """Takes a file or an empty directory out of the tree. Whoever has it open keeps its content."""
        self.check()
        parent = self.node(node.parent)
        self._drop_name(parent, node.name)
        if not node.mode & DMDIR:
            mark = len(self.freed)
            self._forget(node, list(self.extents(node)))
            if node.opens:
                node.orphans = self.freed[mark:]
                del self.freed[mark:]
        node.removed = True
        self._pending.nodes[node.path] = node
        self._directory_changed(parent, uid)

    def note_access(self, node: Node) -> None:
        """A file is being read. Its access time changes if it has been written since, or after a day."""
        now = self.now()
        if now != node.atime and (node.atime <= node.mtime or now - node.atime >= DAY):
            node.atime = now
            self._accessed[node.path] = node

    def store_accesses(self, most: int) -> bool:
        """Puts at most so many new access times into the next commit; whether there were any.

        They are no change of the file: an archive need not have them.
        """
        taken = [self._accessed.popitem()[1] for _ in range(min(most, len(self._accessed)))]
        self._pending.nodes.update((node.path, node) for node in taken if not node.removed)
        return bool(taken)

    def closed(self, node: Node) -> None:
        """A fid that had it open is gone."""
        node.opens -= 1
        if node.removed and not node.opens:
            self.freed += node.orphans
            node.orphans = []

    def rename(self, node: Node, name: str, uid: str) -> None:
        """Gives a file another name in its directory, which is free."""
        self.check()
        parent = self.node(node.parent)
        self._drop_name(parent, node.name)
        node.name = name
        self.children(parent)[name] = (node.path, self.epoch)
        self._pending.names[parent.path, name] = node.path
        self.touch(node)
        self._directory_changed(parent, uid)

    def write(self, node: Node, offset: int, data: Buffer, uid: str) -> int:
        """Writes; the data is with the operating system when this returns.

        Raises:
            FileSystemFull: the disk is full; the file is as before.
            FileTooBig: the file would be larger than any may be.
        """
        self.check()
        size = len(data)
        if offset + size > LARGEST_FILE:
            raise FileTooBig
        view = memoryview(data)
        for first in range(0, size, LONGEST):
            self._write_piece(node, offset + first, view[first : first + LONGEST])
        if offset + size > node.length:
            node.length = offset + size
        node.next_version()
        node.mtime = self.now()
        node.muid = uid
        self.touch(node)
        return size

    def _write_piece(self, node: Node, offset: int, data: memoryview) -> None:
        try:
            place = self.log.append(data)
        except OSError as error:
            if error.errno in _full:
                raise FileSystemFull from error
            self._stop(f"writing data failed: {error.strerror}")
            raise WritesStopped(self.stopped) from error
        if node.removed:
            # Nobody will find it again; whoever has it open may go on.
            digest = blake3(data).digest()
            extents = self.extents(node)
            ranges.cut(extents, offset, offset + len(data), self.epoch)
            ranges.insert(extents, Extent(offset, len(data), place, 0, len(data), digest, self.epoch))
            return
        if self._grow(node, offset, data, place):
            return
        self._free_range(node, offset, offset + len(data))
        hasher = blake3(data)
        extent = Extent(offset, len(data), place, 0, len(data), hasher.digest(), self.epoch)
        ranges.insert(self.extents(node), extent)
        self._pending.extents[node.path, offset] = extent
        self._growing = (node.path, extent, hasher)

    def _grow(self, node: Node, offset: int, data: memoryview, place: int) -> bool:
        """Lengthens the extent that was written last, where the new data follows it in the file and in the log."""
        if self._growing is None:
            return False
        path, old, hasher = self._growing
        if (
            path != node.path
            or old.born != self.epoch
            or old.end != offset
            or old.place + old.stored != place
            or old.stored + len(data) > LONGEST
            or node.length > offset
        ):
            return False
        extents = self.extents(node)
        if not extents or extents[-1] is not old:
            return False
        hasher.update(data)
        stored = old.stored + len(data)
        new = old._replace(length=stored, stored=stored, digest=hasher.digest())
        extents[-1] = new
        self._pending.extents[path, new.start] = new
        self._growing = (path, new, hasher)
        return True

    def _free_range(self, node: Node, start: int, end: int) -> None:
        """Takes a range out of a file."""
        gone, stay = ranges.cut(self.extents(node), start, end, self.epoch)
        self._forget(node, gone)
        for extent in stay:
            self._pending.extents[node.path, extent.start] = extent

    def _forget(self, node: Node, gone: list[Extent]) -> None:
        for extent in gone:
            if extent.born == self.epoch:
                self._pending.extents[node.path, extent.start] = None
                self.freed.append((extent.place, extent.stored))
            else:
                self._pending.extents_closed.append((self.epoch, node.path, extent.start, extent.born))

    def truncate(self, node: Node, length: int, uid: str, *, counts: bool) -> None:
        """Cuts a file, or extends it by zeros. ``counts`` tells whether the version changes."""
        self.check()
        if length > LARGEST_FILE:
            raise FileTooBig
        if length < node.length and not node.removed:
            self._free_range(node, length, LARGEST_FILE)
        elif length < node.length:
            ranges.cut(self.extents(node), length, LARGEST_FILE, self.epoch)
        node.length = length
        if counts:
            node.next_version()
        node.mtime = self.now()
        node.muid = uid
        self.touch(node)

    # Making it last

    @property
    def dirty(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._pending.nodes) and self.stopped is None

    def commit(self) -> None:
        """Writes all changes as one transaction; they then survive the end of this process.

        Raises:
            FileSystemFull, WritesStopped: they do not, and the file system takes no more of them.
        """
        if not self._pending.nodes:
            return
        self.check()
        try:
            self._pending.write(self.database, self.epoch, next_path=self._next_path, tail=self.log.tail)
        except sqlite3.Error as error:
            self._stop(f"the database takes no changes: {error}")
            raise WritesStopped(self.stopped) from error

    def next_epoch(self) -> int:
        """Ends the epoch, which a snapshot then stands for; the caller has committed and commits again."""
        ended = self.epoch
        self.epoch += 1
        self._growing = None
        return ended

    def sync(self) -> None:
        """Makes durable what has been committed: the data first, then what speaks of it. In any thread.

        Raises:
            OSError: nothing is promised any more; call ``stop``.
        """
        self.log.sync()
        sync_database(self._metadata)

    def _stop(self, text: str) -> None:
        log.error("%s; no more changes are taken", text)
        self.stopped = f"{text}: restart the server once the disk is well"

    def stop(self, text: str) -> None:
        """Takes no more changes: something failed that what was promised depends on."""
        self._stop(text)

    def release_freed(self) -> None:
        """Gives back the room of pieces that no row refers to any more."""
        freed, self.freed = self.freed, []
        for place, stored in freed:
            if self.database.execute("SELECT 1 FROM extent WHERE place=? LIMIT 1", (place,)).fetchone() is None:
                self.log.free(place, stored)

    def close(self) -> None:
        """Commits and releases the files."""
        try:
            if self.stopped is None:
                self.commit()
        finally:
            self.database.close()
            self.log.close()
