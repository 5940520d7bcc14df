"""Extents: which bytes of a file are where in the data log, and the arithmetic on them. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import NamedTuple

LONGEST = 64 * 1024
"""Bytes of a stored piece at most: it is read and checked as a whole."""

_start = attrgetter("start")


class Extent(NamedTuple):
    """A range of a file, and the piece of the log that it is in.

    Attributes:
        start: where it begins in the file.
        length: bytes of it.
        place: where the piece begins in the log.
        skip: how far into the piece the range begins.
        stored: bytes of the whole piece.
        digest: BLAKE3 of the whole piece.
        born: the epoch of this row.
    """

    start: int
    length: int
    place: int
    skip: int
    stored: int
    digest: bytes
    born: int

    @property
    def end(self) -> int:
        """Where it ends in the file."""
        return self.start + self.length


def covered(extents: Iterable[Extent], length: int) -> Iterator[tuple[int, int]]:
    """(start, count) of what the extents, in any order, have of a file's ``length`` bytes, none twice.

    Counts are at most ``LONGEST``.
    """
    at = 0
    for extent in sorted(extents, key=_start):
        at = max(at, extent.start)
        end = min(extent.end, length)
        while at < end:
            count = min(LONGEST, end - at)
            yield at, count
            at += count


def between(extents: list[Extent], start: int, end: int) -> tuple[int, int]:
    """The slice of the sorted list that touches ``start`` to ``end``."""
    first = bisect_right(extents, start, key=_start)
    if first and extents[first - 1].end > start:
        first -= 1
    last = first
    while last < len(extents) and extents[last].start < end:
        last += 1
    return first, last


def cut(extents: list[Extent], start: int, end: int, born: int) -> tuple[list[Extent], list[Extent]]:
    """Takes ``start`` to ``end`` out of the sorted list, which is changed.

    Returns the extents that went, and the ends of them that stay, already put back as of epoch ``born``.
    """
    first, last = between(extents, start, end)
    gone = extents[first:last]
    stay: list[Extent] = []
    for extent in gone:
        if extent.start < start:
            stay.append(extent._replace(length=start - extent.start, born=born))
        if extent.end > end:
            ahead = end - extent.start
            stay.append(extent._replace(start=end, length=extent.length - ahead, skip=extent.skip + ahead, born=born))
    extents[first:last] = stay
    return gone, stay


def insert(extents: list[Extent], extent: Extent) -> None:
    """Puts an extent into a gap of the sorted list."""
    extents.insert(bisect_right(extents, extent.start, key=_start), extent)
