"""A batch of changes to the segment files, made by the store and executed in a worker thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cfs.disk.compaction import Move, copied
from cfs.disk.layout import PAGE, checksum
from cfs.disk.row import Place
from cfs.disk.segments import Files
from ninep.wire.dialect import Buffer

JOINED = 512 * 1024
"""Bytes of pieces that are joined into one write, about: each call costs more than copying a small piece."""


class Piece(NamedTuple):
    """Bytes of a file that go to a place; ``what`` is the ``layout.identity`` of the file."""

    what: bytes
    start: int
    place: Place
    data: Buffer


class Batch(NamedTuple):
    """Space to give back, segments to remove, bytes to write, extents to copy; ``moved`` are those that were."""

    holes: list[Place]
    emptied: list[int]
    pieces: list[Piece]
    moves: list[Move]
    moved: list[Move]

    def carry_out(self, files: Files, nonce: bytes) -> list[bytes]:
        """Does it all, and returns the checksums of the pieces. Space is given back before any is taken.

        Raises:
            OSError: something could not be written; a full disk is the common case. None of the pieces counts then.
        """
        for segment in self.emptied:
            files.remove(segment)
        for place in self.holes:
            if place.segment not in self.emptied:
                files.punch(place)
        for place, data in self._runs():
            files.write(place, data)
        self.moved[:] = copied(self.moves, files)
        return [checksum(nonce, piece.what, piece.start, piece.data) for piece in self.pieces]

    def _runs(self) -> Iterator[tuple[Place, Buffer]]:
        """What is to be written, small pieces that lie one behind the other joined."""
        parts: list[Buffer] = []
        begin, end = Place(0, 0, 0), 0
        for piece in self.pieces:
            segment, offset, length = piece.place
            if not parts or segment != begin.segment or offset != end + -end % PAGE or end - begin.offset > JOINED:
                if parts:
                    yield begin, parts[0] if len(parts) == 1 else b"".join(parts)
                parts = []
                begin, end = piece.place, offset
            if end % PAGE:
                parts.append(bytes(-end % PAGE))
            parts.append(piece.data)
            end = offset + length
        if parts:
            yield begin, parts[0] if len(parts) == 1 else b"".join(parts)
