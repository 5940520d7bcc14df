"""The data log: one sparse file that is only appended to; freed ranges become holes.

Pieces have no header: their length and BLAKE3 are in the database.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path

import trio
from blake3 import blake3

from fossil.data.disk import DiskFile
from fossil.errors import DamagedData
from ninep.wire.dialect import Buffer

CHANGED = "what is stored is not what was written"
CACHE = 64 * 1024 * 1024
"""Bytes of checked pieces kept in memory."""
BESIDE = 256
"""Bytes that keeping a piece takes besides its own."""
RECENT = 200_000
"""Pieces of which it is known when they were read last, besides those in memory."""

SMALL = 32 * 1024
"""Bytes of a piece up to which it may wait to be written with others."""
MOST = 1024 * 1024
"""Bytes that may wait."""
NOWHERE = 1 << 63
AHEAD = 1024 * 1024
"""Bytes of the disk that are taken beforehand."""

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
        self._waiting: list[Buffer] = []
        self._waiting_size = 0
        self._begin = NOWHERE
        self._reserved = 0
        self._cache: OrderedDict[int, Buffer] = OrderedDict()
        self._cached = 0
        self._recent: OrderedDict[int, None] = OrderedDict()
        self._parts: OrderedDict[int, int] = OrderedDict()
        self._held: Counter[int] = Counter()

    def append(self, data: Buffer, *, whole: bool = False) -> int:
        """Takes a piece; returns its place. Small ones are handed to the operating system by ``flush``, many at once.

        Until then their bytes must not change. ``whole`` lets a piece begin with a block of the disk, which then holds
        nothing else: that is faster to write.

        Raises:
            OSError: there is no room for it, or it could not be written whole; nothing refers to it.
        """
        start, size = self.tail, len(data)
        place = -(-start // BLOCK) * BLOCK if whole else start
        end = place + size
        if place != start or self._waiting_size > MOST:
            self.flush()
        if size <= SMALL and (end <= self._reserved or self._reserve(end)):
            if not self._waiting_size:
                self._begin = place
            self._waiting.append(data)
            self._waiting_size += size
        else:
            self.flush()
            self.file.write(data, place)
        self.tail = end
        if place != start:
            self._free_part(start, place)
        return place

    def _reserve(self, end: int) -> bool:
        """Takes room up to ``end`` and more, so that writing it can wait; False where that cannot be done."""
        start = max(self.tail, self._reserved)
        try:
            found = self.file.reserve(start, end - start + AHEAD)
        except OSError:
            # The last of the disk is taken bit by bit.
            return False
        if found:
            self._reserved = end + AHEAD
        return found

    def flush(self) -> None:
        """Hands to the operating system what waits for that. Raises OSError; then it waits still."""
        if self._waiting:
            waiting = self._waiting
            self.file.write(waiting[0] if len(waiting) == 1 else b"".join(waiting), self._begin)
            waiting.clear()
            self._waiting_size = 0
            self._begin = NOWHERE

    def used(self) -> int:
        """Bytes that pieces take on the disk."""
        return self.file.used() - max(0, self._reserved - self.tail)

    def trim(self) -> None:
        """Gives back the room that was taken beforehand. Raises OSError."""
        if self._reserved and not self._waiting:
            self.file.trim()
            self._reserved = 0

    def remember(self, place: int, data: Buffer) -> None:
        """Keeps a piece that was just written, as if it had been read."""
        self._keep(place, data)

    def drop(self, place: int) -> None:
        """Keeps a piece in memory no longer."""
        old = self._cache.pop(place, None)
        if old is not None:
            self._cached -= len(old) + BESIDE

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
            if place + stored > self._begin:
                self.flush()
            data = self.file.read_nowait(place, stored)
        except OSError as error:
            raise DamagedData.at(self.file.path, place, f"{error.strerror}") from error
        return self._checked(place, data, digest)

    def read_run(self, pieces: Sequence[tuple[int, bytes]], place: int) -> memoryview:
        """Pieces (stored, digest) that lie side by side from ``place`` on, checked and not kept.

        Raises as ``read_nowait``.
        """
        total = sum(stored for stored, _ in pieces)
        try:
            if place + total > self._begin:
                self.flush()
            data = memoryview(self.file.read_nowait(place, total))
        except OSError as error:
            raise DamagedData.at(self.file.path, place, f"{error.strerror}") from error
        at = 0
        for stored, digest in pieces:
            if blake3(data[at : at + stored]).digest() != digest:
                raise DamagedData.at(self.file.path, place + at, CHANGED)
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
            raise DamagedData.at(self.file.path, place, f"{error.strerror}") from error
        return self._checked(place, data, digest)

    def verify(self, place: int, stored: int, digest: bytes) -> bytes:
        """A piece as it is on the disk, checked and not kept; in any thread. Raises ``DamagedData``."""
        try:
            data = self.file.read(place, stored)
        except OSError as error:
            raise DamagedData.at(self.file.path, place, f"{error.strerror}") from error
        if blake3(data).digest() != digest:
            raise DamagedData.at(self.file.path, place, CHANGED)
        return data

    def _checked(self, place: int, data: Buffer, digest: bytes) -> Buffer:
        if blake3(data).digest() != digest:
            raise DamagedData.at(self.file.path, place, CHANGED)
        self._keep(place, data)
        return data

    def _keep(self, place: int, data: Buffer) -> None:
        self.drop(place)
        self._cache[place] = data
        self._cached += len(data) + BESIDE
        while self._cached > CACHE:
            left, piece = self._cache.popitem(last=False)
            self._cached -= len(piece) + BESIDE
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
        """Makes durable all pieces that have been flushed; in any thread. Raises OSError."""
        self.file.sync()

    def free(self, place: int, stored: int) -> None:
        """Gives the room of a piece back to the host; where it cannot be given back nothing happens."""
        self.free_all([(place, stored)])

    def free_all(self, pieces: Iterable[tuple[int, int]]) -> None:
        """The same for many pieces (place, stored). Those that lie side by side are given back as one."""
        start = end = 0
        for place, stored in sorted(pieces):
            self.drop(place)
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
