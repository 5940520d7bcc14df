"""The bytes of a file, put together from its extents and the zeros between them."""

from __future__ import annotations

import trio

from fossil import extents as ranges
from fossil.datalog import DataLog
from fossil.extents import Extent
from ninep.wire.dialect import Buffer, Maybe


def read_extents(data: DataLog, extents: list[Extent], length: int, offset: int, count: int) -> Maybe[Buffer]:
    """Bytes of a file of ``length`` bytes; a coroutine where the disk must be waited for.

    Raises:
        DamagedData: a piece is not what was written.
    """
    end = min(offset + count, length)
    if offset >= end:
        return b""
    first, last = ranges.between(extents, offset, end)
    wanted = extents[first:last]
    try:
        pieces = [data.read_nowait(extent.place, extent.stored, extent.digest) for extent in wanted]
    except trio.WouldBlock:
        return _read_slowly(data, wanted, offset, end)
    return _joined(wanted, pieces, offset, end)


async def _read_slowly(data: DataLog, wanted: list[Extent], offset: int, end: int) -> Buffer:
    pieces = [await data.read(extent.place, extent.stored, extent.digest) for extent in wanted]
    return _joined(wanted, pieces, offset, end)


def _joined(wanted: list[Extent], pieces: list[bytes], offset: int, end: int) -> Buffer:
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
