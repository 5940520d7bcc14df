"""The data log: one sparse file that only ever grows at its end; what is freed is given back as holes.

Pieces have no header: their length and BLAKE3 are in the database.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path

import trio
from blake3 import blake3

from fossil.disk import DiskFile
from fossil.errors import DamagedData
from ninep.wire.dialect import Buffer

CACHE = 64 * 1024 * 1024
"""Bytes of checked pieces kept in memory."""
RECENT = 200_000
"""Pieces of which it is known when they were read last, besides those in memory."""

BLOCK = 4096
WHOLE = (1 << BLOCK) - 1
"""Bytes that a disk gives back at least; less is only made zeros."""
PARTS = 200_000
"""Blocks of the disk that are free in part and remembered."""


class DataLog:
    """Pieces by their place. Not for several threads, except where said."""

    def __init__(self, path: Path, tail: int, *, file: DiskFile | None = None) -> None:
        """Opens or makes the log; ``tail`` is where the database says that it ends."""
        self.file = file or DiskFile(path)
        self.tail = max(tail, self.file.size())
        """Where the next piece goes."""
        self._cache: OrderedDict[int, Buffer] = OrderedDict()
        self._cached = 0
        self._recent: OrderedDict[int, None] = OrderedDict()
        self._parts: OrderedDict[int, int] = OrderedDict()
        self._held: Counter[int] = Counter()

    def append(self, data: Buffer, *, whole: bool = False) -> int:
        """Hands a piece to the operating system; returns its place.

        ``whole`` lets it begin with a block of the disk, which then holds nothing else: that is faster to write.

        Raises:
            OSError: it could not be written whole; nothing refers to it.
        """
        end = self.tail
        place = -(-end // BLOCK) * BLOCK if whole else end
        self.file.write(data, place)
        self.tail = place + len(data)
        if place != end:
            self._free_part(end, place)
        return place

    def remember(self, place: int, data: Buffer) -> None:
        """Keeps a copy of a piece that was just written: what is written is often read soon."""
        self._keep(place, bytes(data))

    def read_nowait(self, place: int, stored: int, digest: bytes) -> Buffer:
        """A piece, checked. Raises ``trio.WouldBlock`` where the disk, or venti, would have to be waited for.

        Raises:
            DamagedData: it is not what was written.
        """
        piece = self._cache.get(place)
        if piece is not None and len(piece) == stored:
            self._cache.move_to_end(place)
            return piece
        if place < 0:
            raise trio.WouldBlock
        try:
            data = self.file.read_nowait(place, stored)
        except OSError as error:
            raise DamagedData(f"{self.file.path} at {place}: {error.strerror}") from error
        return self._checked(place, data, digest)

    def read_run(self, pieces: Sequence[tuple[int, bytes]], place: int) -> memoryview:
        """Pieces (stored, digest) that lie side by side from ``place`` on, checked and not kept.

        Raises as ``read_nowait``.
        """
        try:
            data = memoryview(self.file.read_nowait(place, sum(stored for stored, _ in pieces)))
        except OSError as error:
            raise DamagedData(f"{self.file.path} at {place}: {error.strerror}") from error
        at = 0
        for stored, digest in pieces:
            if blake3(data[at : at + stored]).digest() != digest:
                raise DamagedData(f"{self.file.path} at {place + at}: what is stored is not what was written")
            self._note(place + at)
            at += stored
        return data

    async def read(self, place: int, stored: int, digest: bytes) -> Buffer:
        """A piece, checked; waits for the disk in a thread. Hold it meanwhile if it could be freed."""
        try:
            return self.read_nowait(place, stored, digest)
        except trio.WouldBlock:
            pass
        try:
            data = await trio.to_thread.run_sync(self.file.read, place, stored)
        except OSError as error:
            raise DamagedData(f"{self.file.path} at {place}: {error.strerror}") from error
        return self._checked(place, data, digest)

    def verify(self, place: int, stored: int, digest: bytes) -> bytes:
        """A piece as it is on the disk, checked and not kept; in any thread. Raises ``DamagedData``."""
        try:
            data = self.file.read(place, stored)
        except OSError as error:
            raise DamagedData(f"{self.file.path} at {place}: {error.strerror}") from error
        if blake3(data).digest() != digest:
            raise DamagedData(f"{self.file.path} at {place}: what is stored is not what was written")
        return data

    def _checked(self, place: int, data: Buffer, digest: bytes) -> Buffer:
        if blake3(data).digest() != digest:
            raise DamagedData(f"{self.file.path} at {place}: what is stored is not what was written")
        self._keep(place, data)
        return data

    def _keep(self, place: int, data: Buffer) -> None:
        old = self._cache.pop(place, b"")
        self._cache[place] = data
        self._cached += len(data) - len(old)
        while self._cached > CACHE:
            left, piece = self._cache.popitem(last=False)
            self._cached -= len(piece)
            self._note(left)

    def _note(self, place: int) -> None:
        recent = self._recent
        recent[place] = None
        recent.move_to_end(place)
        if len(recent) > RECENT:
            recent.popitem(last=False)

    def by_use(self) -> Iterable[int]:
        """The pieces that were read lately, the one that was read last at the end."""
        return [*self._recent, *self._cache]

    def hold(self, places: Iterable[int]) -> None:
        """Whoever frees pieces must not free these, until ``release``."""
        self._held.update(places)

    def release(self, places: Iterable[int]) -> None:
        """Ends a ``hold``."""
        self._held.subtract(places)
        for place in places:
            if self._held[place] <= 0:
                del self._held[place]

    def is_held(self, place: int) -> bool:
        """Whether somebody is reading a piece."""
        return place in self._held

    def sync(self) -> None:
        """Makes all pieces durable; in any thread. Raises OSError."""
        self.file.sync()

    def free(self, place: int, stored: int) -> None:
        """Gives the room of a piece back to the host; where it cannot be given back nothing happens."""
        self.free_all([(place, stored)])

    def free_all(self, pieces: Iterable[tuple[int, int]]) -> None:
        """The same for many pieces (place, stored). Those that lie side by side are given back as one."""
        start = end = 0
        for place, stored in sorted(pieces):
            old = self._cache.pop(place, None)
            if old is not None:
                self._cached -= len(old)
            self._recent.pop(place, None)
            if place != end:
                self._free_range(start, end)
                start = place
            end = place + stored
        self._free_range(start, end)

    def _free_range(self, start: int, end: int) -> None:
        first, last = -(-start // BLOCK), end // BLOCK
        if first < last:
            self.file.punch(first * BLOCK, (last - first) * BLOCK)
        if first > last:
            self._free_part(start, end)
        else:
            self._free_part(start, first * BLOCK)
            self._free_part(last * BLOCK, end)

    def _free_part(self, start: int, end: int) -> None:
        """Some bytes of one block of the disk are free, whether or not that was said before.

        The block is given back when all of them are.
        """
        if start == end:
            return
        block = start // BLOCK
        free = self._parts.pop(block, 0) | (1 << end - start) - 1 << start % BLOCK
        if free == WHOLE:
            self.file.punch(block * BLOCK, BLOCK)
            return
        self._parts[block] = free
        if len(self._parts) > PARTS:
            self._parts.popitem(last=False)

    def close(self) -> None:
        """Releases the file."""
        self.file.close()
