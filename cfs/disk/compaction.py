"""Compacts mostly empty segments, so that the number of segments is bounded by what they hold.

Of a segment often a few extents stay that somebody uses again and again. Each would keep a file, and a descriptor while
it is read, for ever. So a few extents of the emptiest segment go along with a batch: their bytes are copied to the end
of the segment that is appended to, then the index says that they are there, and then their old places are given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cfs.disk.filetable import FileTable
from cfs.disk.index import Index
from cfs.disk.layout import pages
from cfs.disk.row import Place, Row
from cfs.disk.segments import Files, Segments

AT_ONCE = 16
"""Most extents that go along with one batch: 1 MiB."""


class Move(NamedTuple):
    """An extent, by its file's number and its row, and where it goes."""

    file: int
    row: Row
    to: Place


def chosen(index: Index, segments: Segments) -> list[tuple[int, Row]]:
    """Extents of the emptiest segment, where there are more segments than what they hold asks for."""
    segment = segments.sparse()
    return [] if segment is None else index.in_segment(segment, AT_ONCE)


def size_of(extents: Sequence[tuple[int, Row]]) -> int:
    """Bytes that they take on the disk."""
    return sum(pages(row.place.length) for _, row in extents)


def placed(extents: Sequence[tuple[int, Row]], segments: Segments) -> list[Move]:
    """Gives them places at the end."""
    return [Move(file, row, segments.place(row.place.length)) for file, row in extents]


def copied(moves: Sequence[Move], files: Files) -> list[Move]:
    """Copies their bytes, unseen: their checksums go with them. Returns those that could be read.

    Raises:
        OSError: one could not be written.
    """
    done = []
    for move in moves:
        try:
            data = files.read(move.row.place)
        except OSError:
            continue
        if len(data) == move.to.length:
            files.write(move.to, data)
            done.append(move)
    return done


def entered(
    moves: Sequence[Move], moved: Sequence[Move], index: Index, table: FileTable
) -> tuple[list[Place], list[tuple[int, int, Place]]]:
    """Says where those that ``moved`` are.

    Returns the places that nothing is in any more, the old ones and new ones of what is gone, for the caller to give up
    after the commit; and what could not be read where it is: file, start, place.
    """
    left = []
    unread = []
    for move in moves:
        file, row, to = move
        if move not in moved:
            left.append(to)
            if any(there.place == row.place for there in index.rows(file, row.start, row.start + 1)):
                unread.append((file, row.start, row.place))
        elif not index.move(file, row, to):
            left.append(to)
        else:
            left.append(row.place)
            loaded = table.numbered(file)
            if loaded is not None:
                loaded.entered(row._replace(place=to))
    return left, unread
