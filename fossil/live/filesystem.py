"""The live file system: a tree in memory whose changes go to the database in batches.

A row of the database lives from its ``born`` epoch to before its ``died`` epoch. What changes in the epoch of its birth
is updated; what is older and so may be seen by a snapshot is closed, and a new row is opened.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fossil.data import extents as ranges
from fossil.data.content import Content
from fossil.data.datalog import DataLog
from fossil.data.disk import DiskFile
from fossil.data.extents import Extent
from fossil.data.room import Room
from fossil.errors import DamagedData, Unlisted, WritesStopped
from fossil.live import hardlinks
from fossil.live.accesses import Accesses
from fossil.live.elsewhere import Elsewhere
from fossil.live.filewriter import FileWriter
from fossil.live.freed import Freed, Piece
from fossil.live.fresh import make_root
from fossil.live.hardlinks import Place
from fossil.live.loaded import LoadedNodes
from fossil.live.present import check_files
from fossil.live.users import Users, first_table
from fossil.metadata import contained, lookup, settled
from fossil.metadata.headroom import is_full
from fossil.metadata.ledger import Ledger
from fossil.metadata.node import Node
from fossil.metadata.schema import DamagedDatabase, Database, end_of_data, has_unlisted, keep_head, open_database
from fossil.metadata.settings import Settings
from fossil.metadata.syncpoint import SyncPoint
from ninep.protocol.errors import FileSystemFull, FileTooBig
from ninep.protocol.locks import LockTable
from ninep.protocol.stat import DMDIR
from ninep.wire.dialect import Buffer, Maybe

log = logging.getLogger(__name__)

ROOT = 2
"""The path of the root of the live tree."""
FIRST_PATH = 16
"""Smaller paths are those of directories that are not in the database."""
CHANGE = 8
"""Rows that one request changes at most, but for the extents of what it cuts."""
LARGEST_FILE = 1 << 44
"""Bytes: 2^31 blocks of 8 KiB, as many as readers of archives count."""


class FileSystem:
    """The live tree. Every change is in memory at once and in the database after ``commit``.

    Attributes:
        freed: pieces to give back.
        stopped: why no more changes are taken, after a failure.
        full: whether a commit failed because the disk is full; nothing grows until one succeeds.
        next_path: the path of the next file that is made.
        lazy: whether there are directories whose names are still in venti alone.
        room: of the disk.
        locks: record locks of clients that speak 9P2000.L.
        halted: whether an operator has forbidden changes for a while.
        top: the path of the root.
    """

    top = ROOT

    def __init__(
        self,
        folder: Path,
        *,
        owner: str,
        durable: bool = False,
        clock: Callable[[], float] = time.time,
        file: DiskFile | None = None,
    ) -> None:
        """Opens the file system in ``folder``; a fresh one gets a root that belongs to ``owner``.

        ``file`` is what the data log is kept in; None is the file ``data`` in the folder.

        Raises:
            DamagedData: what is there is not a file system, not all of one, or one of a later format.
        """
        self.clock = clock
        self.durable = durable
        self._folder = folder
        metadata = folder / "metadata"
        check_files(folder)
        settled.recover(folder, metadata)
        self.database = open_database(metadata, durable=durable, boot=settled.boot())
        with ExitStack() as undo:
            undo.callback(self.database.close)
            self.settings = Settings(self.database)
            self.settings.mend()
            self.ledger = Ledger(self.database, self.settings, folder / "redo", durable=durable)
            undo.callback(self.ledger.close)
            self.epoch: int = self.settings.get("epoch", 1)
            self.next_path: int = self.settings.get("next_path", FIRST_PATH)
            self.log = DataLog(folder / "data", end_of_data(self.database, folder / "data"), file=file)
            undo.callback(self.log.close)
            self.sync_point = SyncPoint(self, folder)
            undo.pop_all()
        self._elsewhere = Elsewhere()
        self.content = Content(self.log, self._fetch)
        self._nodes = LoadedNodes()
        self.pending = self.ledger.pending
        self.writer = FileWriter(self)
        self.locks = LockTable()
        self.freed = Freed(self.log, self.database, self.transaction)
        self.stopped: str | None = None
        self.halted = False
        self.accesses = Accesses(self.pending)
        self.full = False
        self.lazy = has_unlisted(self.database)
        self.room = Room(self.log.file, folder)
        self.users = Users.parse(first_table(owner))
        if "epoch" not in self.settings:
            make_root(self, owner)
        self.sync_point.begin()

    def now(self) -> int:
        """Seconds since 1970."""
        return int(self.clock())

    def time(self) -> int:
        """Nanoseconds since 1970."""
        return int(self.clock() * 1e9)

    # Looking

    def node(self, path: int) -> Node:
        """The node of a path in the live tree."""
        node = self._nodes.get(path)
        if node is None:
            row = lookup.living_node(self.database, path)
            if row is None or row[0] != path:
                raise DamagedData(f"the database names file {path:x} and does not have it")
            node = Node.loaded(row)
            self._nodes.add(node)
        return node

    def loaded(self, path: int) -> Node | None:
        """The node of a path, if it is in memory; also one that was removed while open."""
        return self._nodes.get(path)

    def enter(self, node: Node) -> None:
        """Takes a node in that is new and is to be written."""
        self._nodes.add(node)
        self.pending.nodes[node.path] = node

    def take_path(self) -> int:
        """A path for a file; nobody has it or will have it."""
        path = self.next_path
        self.next_path += 1
        return path

    def children(self, node: Node) -> dict[str, tuple[int, int]]:
        """Name to (path, epoch of the name's row) of a directory. Raises ``Unlisted`` before it changes anything."""
        if node.children is None:
            if self.lazy:
                born = lookup.living_unlisted(self.database, node.path)
                if born is not None:
                    raise Unlisted(node.path, born)
            node.children = contained.names(node, lookup.living_names(self.database, node.path))
        return node.children

    def child(self, node: Node, name: str) -> Node | None:
        """The node called ``name`` in a directory."""
        if node.children is None and not self.lazy:
            # Nothing of it is pending; one name of it does not bring the others to memory.
            row = lookup.living_name(self.database, node.path, name)
            if row is not None and row[:2] == (node.path, name):
                return self.node(row[3])
        # That a name is not there is only said where none has been lost.
        return None if (found := self.children(node).get(name)) is None else self.node(found[0])

    def extents(self, node: Node) -> list[Extent]:
        """The extents of a file, sorted."""
        self.writer.settle()
        if node.extents is None:
            rows = lookup.living_extents(self.database, node.path)
            node.extents = contained.extents(node, rows)
        return node.extents

    def read(self, node: Node, offset: int, count: int) -> Maybe[Buffer]:
        """At most ``count`` bytes from ``offset``; what was never written reads as zeros."""
        return self.content.read(self.extents(node), node.length, offset, count)

    # What is in venti alone

    def connect(self, elsewhere: Elsewhere) -> None:
        """From now on what is in venti alone is got in this way."""
        self._elsewhere = elsewhere

    async def fetch_names(self, unlisted: Unlisted) -> None:
        """Gets the names of a directory. Raises ``ArchiveAway``, ``DamagedData``, ``FileSystemFull``."""
        await self._elsewhere.list(unlisted)

    async def _fetch(self, source: int, offset: int, count: int) -> bytes:
        return await self._elsewhere.read(source, offset, count)

    # Changing

    def check(self) -> None:
        """Raises ``WritesStopped`` after a failure that nothing can be promised behind."""
        if self.stopped is not None:
            raise WritesStopped(self.stopped)

    def prepare(self) -> None:
        """Something is going to be changed, and that will find room. Raises ``FileSystemFull``, ``WritesStopped``."""
        if self.stopped is None and not self.full and self.ledger.is_prepared(CHANGE):
            return
        self.check()
        if self.full:
            self.commit()
        try:
            self.ledger.prepare(CHANGE, self.commit)
        except FileSystemFull as error:
            raise self._filled() from error
        self.full = False

    def check_room(self, size: int = 4096) -> None:
        """Raises ``FileSystemFull`` where what is left of the disk is kept for removing; ``size`` is to be taken."""
        self.room.take(size, full=self.full)

    def touch(self, node: Node) -> None:
        """The row of a node is to be written, and everything above it is to know that something changed."""
        node.entry = None
        if node.removed:
            return
        self.pending.nodes[node.path] = node
        if node.links and node.changed != self.epoch:
            for parent, _, _ in node.links:
                self.touch(self.node(parent))
        while node.changed != self.epoch:
            node.changed = self.epoch
            if node.path == ROOT:
                break
            node = self.node(node.parent)
            self.pending.nodes[node.path] = node

    def create(self, parent: Node, name: str, mode: int, uid: str, gid: str) -> Node:
        """Makes a file or directory whose name is free. Raises ``FileSystemFull``, ``WritesStopped``."""
        self.check()
        self.check_room()
        path = self.take_path()
        now, epoch = self.time(), self.epoch
        children = self.children(parent)
        node = Node(path, epoch, parent.path, name, 0, mode, now, now, now, 0, 0, uid, gid, uid, epoch)
        if mode & DMDIR:
            node.children = {}
        else:
            node.extents = []
        self.enter(node)
        children[name] = (path, epoch)
        parent.holds += 1
        self.pending.names[parent.path, name] = path
        self.directory_changed(parent, uid, now)
        return node

    def directory_changed(self, directory: Node, uid: str, now: int | None = None) -> None:
        """Its names are other ones, since ``now`` in nanoseconds."""
        directory.next_version()
        directory.mtime = directory.ctime = self.time() if now is None else now
        directory.muid = uid
        self.touch(directory)

    def _drop_name(self, parent: Node, name: str) -> int:
        child, born = self.children(parent).pop(name)
        parent.holds -= 1
        if born == self.epoch:
            self.pending.names[parent.path, name] = None
        else:
            self.pending.names_closed.append((self.epoch, parent.path, name, born))
        return child

    def remove(self, node: Node, uid: str, place: Place | None = None) -> None:
        """Takes a file or an empty directory out of the tree. Whoever has it open keeps its content.

        One that has more names than ``place`` keeps them.
        """
        self.check()
        place = hardlinks.place_of(node, place)
        parent = self.node(place[0])
        self._drop_name(parent, place[1])
        if node.links:
            hardlinks.drop(node, place)
            node.ctime = self.time()
            self.touch(node)
            self.directory_changed(parent, uid)
            return
        if not node.mode & DMDIR:
            self.writer.forget_all(node)
        node.removed = True
        self._nodes.let_go(node)
        self.pending.nodes[node.path] = node
        self.directory_changed(parent, uid)

    def closed(self, node: Node) -> None:
        """A fid that had it open is gone."""
        node.opens -= 1
        if node.removed and not node.opens:
            self.writer.release(node)

    def rename(
        self, node: Node, name: str, uid: str, *, directory: Node | None = None, place: Place | None = None
    ) -> None:
        """Gives a file another name, which is free, in the place of one: in its directory or in another one."""
        self.check()
        place = hardlinks.place_of(node, place)
        parent = self.node(place[0])
        target = directory or parent
        names = self.children(target)
        self._drop_name(parent, place[1])
        hardlinks.move(node, place, (target.path, name))
        names[name] = (node.path, self.epoch)
        target.holds += 1
        node.ctime = self.time()
        self.pending.names[target.path, name] = node.path
        self.touch(node)
        for changed in {parent.path: parent, target.path: target}.values():
            self.directory_changed(changed, uid)

    def write(self, node: Node, offset: int, data: Buffer, uid: str) -> int:
        """Puts bytes into a file, and returns how many: fewer where the disk filled up on the way, as Unix has it.

        The data is with the operating system when that has been recorded.

        Raises:
            FileSystemFull: the disk is full; the file is as before.
            FileTooBig: the file would be larger than any may be.
        """
        self.prepare()
        size = len(data)
        if offset + size > LARGEST_FILE:
            raise FileTooBig
        self.room.take(size, full=self.full)
        size = self.writer.write(node, offset, data)
        if not size:
            # A write of nothing makes no file longer.
            return 0
        if offset + size > node.length:
            node.length = offset + size
        node.next_version()
        node.mtime = node.ctime = int(self.clock() * 1e9)
        node.muid = uid
        if node.changed == self.epoch and not node.removed:
            node.entry = None
            self.pending.nodes[node.path] = node
        else:
            self.touch(node)
        return size

    def truncate(self, node: Node, length: int, uid: str, *, counts: bool) -> None:
        """Cuts a file, or extends it by zeros. ``counts`` tells whether the version changes."""
        self.check()
        if length > LARGEST_FILE:
            raise FileTooBig
        if length < node.length and not node.removed:
            self.writer.cut(node, length, LARGEST_FILE)
        elif length < node.length:
            ranges.cut(self.extents(node), length, LARGEST_FILE, self.epoch)
            node.holds = sum(extent.length for extent in self.extents(node))
        node.length = length
        if counts:
            node.next_version()
        node.mtime = node.ctime = self.time()
        node.muid = uid
        self.touch(node)

    # Making it last

    @property
    def dirty(self) -> bool:
        """Whether there is anything that is not answered and was not refused because the disk is full."""
        return bool(self.pending.nodes) and self.stopped is None

    def record(self) -> None:
        """Makes all changes survive the end of this process, most often without the database. Raises as ``commit``."""
        if self.pending.nodes:
            self.check()
            self.writer.flush()
            # What was refused is in no log, and what comes after it must not be there without it.
            try:
                recorded = not self.full and self.ledger.record(self.epoch, next_path=self.next_path)
            except sqlite3.Error as error:
                self._failed(error)
                recorded = False
            if not recorded:
                self.commit()

    def rest(self) -> None:
        """Brings the database nearer to the present by a few rows, in a moment in which nobody waits."""
        if self.stopped is None and not self.full:
            try:
                self.ledger.some()
            except sqlite3.Error as error:
                self._failed(error)

    def complete(self) -> None:
        """Lets the database have whole groups of changes, for who asks it how rows fit together."""
        try:
            self.ledger.complete()
        except sqlite3.Error as error:
            self._failed(error)

    def commit(self) -> None:
        """Writes all changes to the database, as one transaction.

        Raises:
            FileSystemFull: the disk is full. They are kept and written as soon as can be; until then nothing grows.
            WritesStopped: they do not last, and the file system takes no more of them.
        """
        if not (self.pending.nodes or self.ledger.behind):
            return
        self.check()
        self.writer.flush()
        try:
            self.ledger.commit(self.epoch, next_path=self.next_path)
        except sqlite3.Error as error:
            raise self._failed(error) from error
        self.full = False

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """A transaction on the database, apart from the changes of files. It must not wait for anything.

        Raises:
            FileSystemFull, WritesStopped, DamagedDatabase: nothing of it was done.
        """
        self.check()
        if self.ledger.behind:
            # What is redone after a crash must not be older than anything else in the database.
            self.commit()
        self.writer.flush()
        database = self.database
        try:
            with database.transaction():
                yield database
            self.ledger.headroom.used()
        except DamagedDatabase:
            # It was undone, and what was committed before is as good as it was.
            raise
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> FileSystemFull | WritesStopped:
        """What a failure of the database means."""
        if is_full(error, self._folder):
            return self._filled()
        return self.stop(f"the database takes no changes: {error}")

    def _filled(self) -> FileSystemFull:
        if not self.full:
            log.warning("the disk is full: nothing can grow until something is removed")
        self.full = True
        return FileSystemFull()

    def next_epoch(self) -> int:
        """Ends the epoch, which a snapshot then stands for; the caller has committed that."""
        self.epoch += 1
        self.writer.end_epoch()
        return self.epoch - 1

    def stop(self, text: str) -> WritesStopped:
        """Takes no more changes: something failed that what was promised depends on. Returns what to raise for it."""
        log.error("%s; no more changes are taken", text)
        self.stopped = f"{text}: restart the server once the disk is well"
        return WritesStopped(self.stopped)

    def waiting_to_be_freed(self) -> list[Piece]:
        """Pieces without a row that must stay for now: not yet durably gone, or open somewhere."""
        held = [piece for node in self._nodes if node.orphans for piece in node.orphans]
        return [*self.freed.pieces, *self.freed.settling, *held]

    def close(self) -> None:
        """Commits and releases the files. Raises OSError, and ``WritesStopped`` as ``commit`` does."""
        try:
            if self.stopped is None:
                try:
                    self.commit()
                    with self.transaction():
                        self.settings.set("next_path", self.next_path)
                except FileSystemFull:
                    log.warning("the disk is full: changes that were refused for that are given up")
                # The database is brought up to date when it is closed, and must not speak of what is not there.
                self.log.sync()
        finally:
            self.database.close()
            self.ledger.close()
            self.log.close()
            self.sync_point.close()
            keep_head(self._folder / "metadata")
