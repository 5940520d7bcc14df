"""Bytes that the cache has in memory and not yet on disk, by file and block. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cfs.disk.layout import EXTENT, blocks, pages
from cfs.disk.stored import StoredFile
from ninep.wire.dialect import Buffer

Block = tuple[StoredFile, int]


class Held(NamedTuple):
    """A piece of a file in memory."""

    file: StoredFile
    start: int
    data: bytes

    @property
    def end(self) -> int:
        """The position after the last byte."""
        return self.start + len(self.data)


class Waiting:
    """Two generations: what waits for the next batch, and what is in the batch under way.

    ``StoredFile.waiting`` counts the pieces of each file in both.

    Attributes:
        size: bytes that wait for the next batch.
    """

    def __init__(self) -> None:
        self.size = 0
        self._next: dict[Block, list[Held]] = {}
        self._under_way: dict[Block, list[Held]] = {}

    def __bool__(self) -> bool:
        return bool(self._next)

    def add(self, file: StoredFile, start: int, end: int, view: memoryview) -> None:
        """Copies bytes in that are not there yet; those that continue a piece in its block join it."""
        self.size += end - start
        for first, last in blocks(start, end):
            data = bytes(view[first - start : last - start])
            pieces = self._next.setdefault((file, first // EXTENT), [])
            if pieces and pieces[-1].end == first:
                pieces[-1] = Held(file, pieces[-1].start, pieces[-1].data + data)
            else:
                pieces.append(Held(file, first, data))
                file.waiting += 1

    def pieces(self, file: StoredFile, start: int, end: int) -> Iterator[Held]:
        """The pieces in the blocks of a range."""
        for block in range(start // EXTENT, (end - 1) // EXTENT + 1):
            yield from self._under_way.get((file, block), ())
            yield from self._next.get((file, block), ())

    def take(self, room: int) -> list[Held]:
        """Makes a batch of the oldest, about ``room`` bytes in whole pages; pieces of dead files fall out."""
        chosen: list[Held] = []
        while self._next and room > 0:
            block = next(iter(self._next))
            pieces = self._next.pop(block)
            self.size -= sum(len(piece.data) for piece in pieces)
            if block[0].dead:
                block[0].waiting -= len(pieces)
                continue
            self._under_way[block] = pieces
            chosen += pieces
            room -= sum(pages(len(piece.data)) for piece in pieces)
        return chosen

    def end(self) -> set[StoredFile]:
        """The batch under way is over; returns the files it was of."""
        return self._release(self._under_way)

    def drop(self) -> list[Held]:
        """Gives up what waits for the next batch, and returns it."""
        dropped = [piece for pieces in self._next.values() for piece in pieces]
        self._release(self._next)
        self.size = 0
        return dropped

    def _release(self, generation: dict[Block, list[Held]]) -> set[StoredFile]:
        files = set()
        for (file, _), pieces in generation.items():
            file.waiting -= len(pieces)
            files.add(file)
        generation.clear()
        return files


def assemble(found: Sequence[tuple[int, Buffer]], start: int, end: int) -> Buffer | None:
    """The range out of pieces in order, each with its start, or None if they do not fill it."""
    parts: list[Buffer] = []
    at = start
    for first, data in found:
        last = first + len(data)
        if last <= at or first >= end:
            continue
        if first > at:
            return None
        parts.append(data if first == at and last <= end else memoryview(data)[at - first : min(last, end) - first])
        at = last
    if at < end:
        return None
    return parts[0] if len(parts) == 1 else b"".join(parts)
