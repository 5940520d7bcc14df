"""Writes and truncates the contents of files of the live tree."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any, Protocol

from blake3 import blake3

from fossil.data import extents as ranges
from fossil.data.content import LONG
from fossil.data.datalog import BLOCK, DataLog
from fossil.data.extents import LONGEST, Extent
from fossil.errors import WritesStopped
from fossil.live.freed import Freed
from fossil.metadata.node import Node
from fossil.metadata.pending import Pending
from ninep.protocol.errors import FileSystemFull
from ninep.wire.dialect import Buffer

_full = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class _Growing:
    """The piece that was written last: what follows it in file and log is added to it.

    What is written is often read soon, so the bytes are kept. They are copied and hashed once for all that comes
    before somebody looks.
    """

    __slots__ = ("_fresh", "_hasher", "_parts", "born", "end", "extent", "node", "place", "start", "tail")

    def __init__(self, node: Node, start: int, place: int, data: memoryview, born: int) -> None:
        self.node = node
        self.start = start
        self.place = place
        self.born = born
        self.end = start + len(data)
        self.tail = place + len(data)
        self.extent: Extent | None = None
        self._fresh: list[memoryview] = [data]
        self._parts: list[bytes] = []
        self._hasher: Any = None

    def add(self, data: memoryview) -> None:
        """More bytes, which do not change before ``settle``."""
        self._fresh.append(data)
        size = len(data)
        self.end += size
        self.tail += size

    def settle(self) -> Extent | None:
        """The extent as it is now; None if it has not changed since it was last asked for."""
        if not self._fresh:
            return None
        part = b"".join(self._fresh)
        self._fresh.clear()
        self._parts.append(part)
        if self._hasher is None:
            self._hasher = blake3(part)
        else:
            self._hasher.update(part)
        length = self.end - self.start
        return Extent(self.start, length, self.place, 0, length, self._hasher.digest(), self.born)

    def data(self) -> bytes:
        """All of it."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


class WrittenSystem(Protocol):
    """What the file system is to who writes its files."""

    epoch: int
    log: DataLog
    pending: Pending
    freed: Freed

    def extents(self, node: Node) -> list[Extent]:
        """The extents of a file, sorted."""

    def truncate(self, node: Node, length: int, uid: str, *, counts: bool) -> None:
        """Cuts a file. ``counts`` tells whether its version changes."""

    def stop(self, text: str) -> WritesStopped:
        """Takes no more changes, and returns what to raise for that."""


class FileWriter:
    """Puts pieces into the log and into files. Small writes that follow each other become one piece."""

    def __init__(self, system: WrittenSystem) -> None:
        self._system = system
        self._growing: _Growing | None = None

    def end_epoch(self) -> None:
        """What was written before belongs to a snapshot now, and nothing is added to it."""
        self._growing = None

    def settle(self) -> None:
        """Lets the file have what was added to its last piece; before anybody looks at its extents."""
        growing = self._growing
        if growing is not None and (new := growing.settle()) is not None:
            node = growing.node
            extents = node.extents
            assert extents is not None
            if growing.extent is None:
                ranges.insert(extents, new)
            else:
                extents[-1] = new
            growing.extent = new
            self._system.pending.extents[node.path, new.start] = new

    def flush(self) -> None:
        """Everything written is with the operating system when this returns. Raises ``WritesStopped``."""
        self.settle()
        try:
            self._system.log.flush()
        except OSError as error:
            raise self._system.stop(f"writing data failed: {error.strerror}") from error

    def write(self, node: Node, offset: int, data: Buffer) -> int:
        """Puts bytes into a file, and returns how many: fewer where the disk filled up on the way.

        Raises:
            FileSystemFull: the disk is full, and nothing was written.
            WritesStopped
        """
        view, size, done = memoryview(data), len(data), 0
        if type(view.obj) is not bytes:
            # What waits for being handed over must not change meanwhile.
            view = memoryview(bytes(view))
        try:
            if 0 < size <= LONGEST:
                self._put(node, offset, view)
                return size
            for done in range(0, size, LONGEST):
                self._put(node, offset + done, view[done : done + LONGEST], long=size >= LONG)
        except OSError as error:
            if error.errno not in _full:
                raise self._system.stop(f"writing data failed: {error.strerror}") from error
            if not done:
                raise FileSystemFull from error
            return done
        return size

    def _put(self, node: Node, offset: int, data: memoryview, *, long: bool = False) -> None:
        """Writes at most ``LONGEST`` bytes, which must not change before the next ``flush``.

        ``long`` tells that there are more, and that they are not kept in memory. Raises OSError; then nothing happened.
        """
        system, growing, size = self._system, self._growing, len(data)
        if (
            growing is not None
            and growing.node is node
            and growing.end == offset
            and growing.tail == system.log.tail
            and node.length <= offset
            and not node.removed
            and offset + size - growing.start <= LONGEST
            and (growing.extent is None or (node.extents and node.extents[-1] is growing.extent))
        ):
            system.log.append(data)
            growing.add(data)
            node.holds += size
            return
        place, epoch = system.log.append(data, whole=not size % BLOCK), system.epoch
        if node.removed:
            # Nobody will find it again; whoever has it open may go on.
            node.orphans.append((place, size))
            node.held.append(place)
            system.log.hold((place,))
            extents = system.extents(node)
            ranges.cut(extents, offset, offset + size, epoch)
            ranges.insert(extents, Extent(offset, size, place, 0, size, blake3(data).digest(), epoch))
            node.holds = sum(extent.length for extent in extents)
            return
        if offset < node.length:
            self.cut(node, offset, offset + size)
        # From here on the list of extents is there, and what was written before is in it.
        extents = system.extents(node)
        node.holds += size
        if growing is not None and not growing.node.removed:
            system.log.remember(growing.place, growing.data())
        if size < LONGEST:
            self._growing = _Growing(node, offset, place, data, epoch)
            return
        self._growing = None
        extent = Extent(offset, size, place, 0, size, blake3(data).digest(), epoch)
        ranges.insert(extents, extent)
        system.pending.extents[node.path, offset] = extent
        if not long:
            system.log.remember(place, bytes(data))

    def adopt(self, node: Node, extents: Sequence[Extent], length: int, uid: str) -> None:
        """Gives a file the content of another one, past or present, whose pieces it then shares: no byte is copied."""
        system, epoch = self._system, self._system.epoch
        mine = [extent._replace(born=epoch) for extent in extents]
        system.truncate(node, 0, uid, counts=True)
        system.extents(node)[:] = mine
        system.pending.extents.update({(node.path, extent.start): extent for extent in mine})
        node.holds += sum(extent.length for extent in mine)
        node.length = length

    def cut(self, node: Node, start: int, end: int) -> None:
        """Takes a range out of a file."""
        system = self._system
        gone, stay = ranges.cut(system.extents(node), start, end, system.epoch)
        self.forget(node, gone)
        node.holds -= sum(extent.length for extent in gone) - sum(extent.length for extent in stay)
        for extent in stay:
            system.pending.extents[node.path, extent.start] = extent

    def forget_all(self, node: Node) -> None:
        """A file is removed: its room is given back, or when nobody has it open any more; see ``release``."""
        system = self._system
        mark = len(system.freed.pieces)
        extents = list(system.extents(node))
        self.forget(node, extents)
        if node.opens:
            node.orphans = system.freed.pieces[mark:]
            del system.freed.pieces[mark:]
            node.held = [extent.place for extent in extents]
            system.log.hold(node.held)

    def release(self, node: Node) -> None:
        """Nobody has a removed file open any more."""
        self._system.freed.add(node.orphans)
        self._system.log.release(node.held)
        node.orphans, node.held = [], []

    def forget(self, node: Node, gone: list[Extent]) -> None:
        """Extents are no longer part of a file; the room of those that no snapshot has is given back."""
        system, epoch = self._system, self._system.epoch
        for extent in gone:
            if extent.born == epoch:
                system.pending.extents[node.path, extent.start] = None
                # What it takes in memory is good for the next one that is written.
                system.log.drop(extent.place)
                system.freed.pieces.append((extent.place, extent.stored))
            else:
                system.pending.extents_closed.append((epoch, node.path, extent.start, extent.born))
