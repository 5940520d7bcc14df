"""Reads the bytes of a file: extents in the data log, and zeros between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from fossil.data import extents as ranges
from fossil.data.datalog import DataLog
from fossil.data.extents import LONGEST, Extent
from ninep.wire.dialect import Buffer, Maybe

LONG = 4 * LONGEST
"""Bytes from which on a read or a write is a long one: its pieces would push everything else out of memory."""
Fetch = Callable[[int, int, int], Awaitable[bytes]]
"""Bytes that are in venti: of a source, from an offset, so many. Raises ``ArchiveAway``, ``DamagedData``."""


class Content:
    """Reads files by their extents: pieces of the data log, and what only venti has.

    Attributes:
        damage: what was found to be damaged last, for people; empty if nothing was.
        moved: counts how often pieces went from the data log to venti alone, so that extents are looked at anew.
    """

    def __init__(self, data: DataLog, fetch: Fetch) -> None:
        """``fetch`` gets what is in venti alone."""
        self._data = data
        self._fetch = fetch
        self.damage = ""
        self.moved = 0

    def read(self, extents: list[Extent], length: int, offset: int, count: int) -> Maybe[Buffer]:
        """Bytes of a file of ``length`` bytes; a coroutine where the disk or venti must be waited for.

        Raises:
            DamagedData: a piece is not what was written.
            ArchiveAway: a piece is in venti alone, and venti does not answer.
        """
        end = min(offset + count, length)
        if offset >= end:
            return b""
        first, last = ranges.between(extents, offset, end)
        read = self._data.read_nowait
        wanted = extents[first:last]
        try:
            if last - first == 1:
                # By far the most reads are of one piece and of nothing beside it.
                start, length, place, skip, stored, digest, _ = wanted[0]
                if start <= offset and end <= start + length:
                    at = skip + offset - start
                    return memoryview(read(place, stored, digest))[at : at + end - offset]
            if wanted and end - offset >= LONG and (run := self._run(wanted, offset, end)) is not None:
                return run
            pieces = [read(extent.place, extent.stored, extent.digest) for extent in wanted]
        except trio.WouldBlock:
            return self._read_slowly(wanted, offset, end)
        return _joined(wanted, pieces, offset, end)

    def _run(self, wanted: list[Extent], offset: int, end: int) -> Buffer | None:
        """What was written in one go lies in one go, and is read so; None where it does not.

        It is not kept in memory.
        """
        first, last = wanted[0], wanted[-1]
        ahead = first.start - first.place
        for start, length, place, skip, stored, _, _ in wanted:
            if skip or length != stored or start - place != ahead or place < 0:
                return None
        if first.start > offset or last.end < end:
            return None
        data = self._data.read_run([(extent.stored, extent.digest) for extent in wanted], first.place)
        return data[offset - first.start : end - first.start]

    async def _read_slowly(self, wanted: list[Extent], offset: int, end: int) -> Buffer:
        """The same with waiting. The pieces are held meanwhile: they are not given back before all are read."""
        data = self._data
        local = [extent.place for extent in wanted if extent.place >= 0]
        data.hold(local)
        try:
            pieces: list[Buffer] = []
            for at, extent in enumerate(wanted):
                if extent.place >= 0:
                    pieces.append(await data.read(extent.place, extent.stored, extent.digest))
                    continue
                low, high = max(extent.start, offset), min(extent.end, end)
                pieces.append(await self._fetch(-extent.place, low, high - low))
                wanted[at] = extent._replace(start=low, length=high - low, skip=0)
        finally:
            data.release(local)
        return _joined(wanted, pieces, offset, end)


def _joined(wanted: list[Extent], pieces: list[Buffer], offset: int, end: int) -> Buffer:
    parts: list[Buffer] = []
    at = offset
    for extent, piece in zip(wanted, pieces, strict=True):
        if extent.start > at:
            parts.append(bytes(extent.start - at))
            at = extent.start
        stop = min(extent.end, end)
        skip = extent.skip + at - extent.start
        if len(wanted) == 1 and at == offset and stop == end:
            return memoryview(piece)[skip : skip + stop - at]
        parts.append(memoryview(piece)[skip : skip + stop - at])
        at = stop
    if at < end:
        parts.append(bytes(end - at))
    return b"".join(parts)
