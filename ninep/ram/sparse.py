"""Bytes of a file in memory: what was never written takes no room and reads as zeros. Pure."""

from __future__ import annotations

from ninep.wire.dialect import Buffer

SHIFT = 16
CHUNK = 1 << SHIFT
"""Bytes in one piece. A piece is as long as its last written byte needs."""
_WITHIN = CHUNK - 1


class SparseBytes:
    """A growing row of bytes.

    Attributes:
        length: bytes that can be read.
        stored: bytes that take room.
    """

    __slots__ = ("_chunks", "length", "stored")

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}
        self.length = 0
        self.stored = 0

    def read(self, offset: int, count: int) -> Buffer:
        """At most ``count`` bytes from ``offset``, a copy; empty at the end."""
        count = min(count, self.length - offset)
        if count <= 0:
            return b""
        number, at = offset >> SHIFT, offset & _WITHIN
        if at + count <= CHUNK:
            return self._piece(number, at, count)
        pieces = [self._piece(number, at, CHUNK - at)]
        left = count - (CHUNK - at)
        while left > 0:
            number += 1
            pieces.append(self._piece(number, 0, min(left, CHUNK)))
            left -= CHUNK
        return b"".join(pieces)

    def growth(self, offset: int, count: int) -> int:
        """By how much a write of ``count`` bytes would raise ``stored``."""
        chunks = self._chunks
        grown = 0
        end = offset + count
        while offset < end:
            number, at = offset >> SHIFT, offset & _WITHIN
            until = min(CHUNK, at + end - offset)
            chunk = chunks.get(number)
            size = 0 if chunk is None else len(chunk)
            if until > size:
                grown += until - size
            offset += until - at
        return grown

    def write(self, offset: int, data: Buffer) -> None:
        """Puts ``data`` at ``offset``, beyond the end if need be."""
        count = len(data)
        if not count:
            return
        number, at = offset >> SHIFT, offset & _WITHIN
        if at + count <= CHUNK:
            self._put(number, at, data)
        else:
            view = memoryview(data)
            done = 0
            while done < count:
                piece = view[done : done + CHUNK - at]
                self._put(number, at, piece)
                done += len(piece)
                number, at = number + 1, 0
        if offset + count > self.length:
            self.length = offset + count

    def resize(self, length: int) -> None:
        """Cuts, or extends with zeros."""
        if length < self.length:
            last, at = length >> SHIFT, length & _WITHIN
            for number in [number for number in self._chunks if number > last or (number == last and not at)]:
                self.stored -= len(self._chunks.pop(number))
            chunk = self._chunks.get(last)
            if chunk is not None and len(chunk) > at:
                self.stored -= len(chunk) - at
                del chunk[at:]
        self.length = length

    def _piece(self, number: int, at: int, count: int) -> Buffer:
        chunk = self._chunks.get(number)
        if chunk is None:
            return bytes(count)
        piece = chunk[at : at + count]
        if len(piece) < count:
            piece += bytes(count - len(piece))
        return piece

    def _put(self, number: int, at: int, piece: Buffer) -> None:
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._chunks[number] = bytearray()
        size = len(chunk)
        if at > size:
            chunk += bytes(at - size)
        if at >= size:
            chunk += piece
        else:
            chunk[at : at + len(piece)] = piece
        self.stored += len(chunk) - size
