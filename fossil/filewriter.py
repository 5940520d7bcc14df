"""Writing and cutting the contents of files of the live tree."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from fossil import extents as ranges
from fossil.extents import LONGEST, Extent
from fossil.node import Node
from ninep.errors import FileSystemFull

if TYPE_CHECKING:
    from fossil.filesystem import FileSystem

_full = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class FileWriter:
    """Puts pieces into the log and into files. Small writes that follow each other become one piece."""

    def __init__(self, system: FileSystem) -> None:
        self._system = system
        self._growing: tuple[int, Extent, Any] | None = None

    def end_epoch(self) -> None:
        """What was written before belongs to a snapshot now, and nothing is added to it."""
        self._growing = None

    def write(self, node: Node, offset: int, data: memoryview) -> None:
        """Writes at most ``LONGEST`` bytes. Raises ``FileSystemFull``, ``WritesStopped``."""
        system, epoch = self._system, self._system.epoch
        try:
            place = system.log.append(data)
        except OSError as error:
            if error.errno in _full:
                raise FileSystemFull from error
            raise system.stop(f"writing data failed: {error.strerror}") from error
        if node.removed:
            # Nobody will find it again; whoever has it open may go on.
            node.orphans.append((place, len(data)))
            node.held.append(place)
            system.log.hold((place,))
            digest = blake3(data).digest()
            extents = system.extents(node)
            ranges.cut(extents, offset, offset + len(data), epoch)
            ranges.insert(extents, Extent(offset, len(data), place, 0, len(data), digest, epoch))
            return
        if self._grow(node, offset, data, place):
            return
        self.cut(node, offset, offset + len(data))
        hasher = blake3(data)
        extent = Extent(offset, len(data), place, 0, len(data), hasher.digest(), epoch)
        ranges.insert(system.extents(node), extent)
        system.pending.extents[node.path, offset] = extent
        self._growing = (node.path, extent, hasher)

    def _grow(self, node: Node, offset: int, data: memoryview, place: int) -> bool:
        """Lengthens the extent that was written last, where the new data follows it in the file and in the log."""
        if self._growing is None:
            return False
        path, old, hasher = self._growing
        if (
            path != node.path
            or old.born != self._system.epoch
            or old.end != offset
            or old.place + old.stored != place
            or old.stored + len(data) > LONGEST
            or node.length > offset
        ):
            return False
        extents = self._system.extents(node)
        if not extents or extents[-1] is not old:
            return False
        hasher.update(data)
        stored = old.stored + len(data)
        new = old._replace(length=stored, stored=stored, digest=hasher.digest())
        extents[-1] = new
        self._system.pending.extents[path, new.start] = new
        self._growing = (path, new, hasher)
        return True

    def cut(self, node: Node, start: int, end: int) -> None:
        """Takes a range out of a file."""
        system = self._system
        gone, stay = ranges.cut(system.extents(node), start, end, system.epoch)
        self.forget(node, gone)
        for extent in stay:
            system.pending.extents[node.path, extent.start] = extent

    def forget(self, node: Node, gone: list[Extent]) -> None:
        """Extents are no longer part of a file; the room of those that no snapshot has is given back."""
        system, epoch = self._system, self._system.epoch
        for extent in gone:
            if extent.born == epoch:
                system.pending.extents[node.path, extent.start] = None
                system.freed.append((extent.place, extent.stored))
            else:
                system.pending.extents_closed.append((epoch, node.path, extent.start, extent.born))
