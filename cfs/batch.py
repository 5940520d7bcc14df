"""A batch of changes to the segment files: made by the store, carried out anywhere, for instance in a worker thread."""

from __future__ import annotations

from typing import NamedTuple

from cfs.layout import checksum
from cfs.row import Place
from cfs.segments import Files
from ninep.wire.dialect import Buffer


class Piece(NamedTuple):
    """Bytes of a file that go to a place; ``what`` is the ``layout.identity`` of the file."""

    what: bytes
    start: int
    place: Place
    data: Buffer


class Batch(NamedTuple):
    """Space to give back, segments to remove, bytes to write."""

    holes: list[Place]
    emptied: list[int]
    pieces: list[Piece]

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
        sums = []
        for piece in self.pieces:
            sums.append(checksum(nonce, piece.what, piece.start, piece.data))
            files.write(piece.place, piece.data)
        return sums
