"""Keeps a second directory with the same arenas, byte for byte: a store that can take over.

A sealed arena is copied once and checked against the BLAKE3 of its whole. The arena in use grows in the copy as it grew
in the original. Whatever is there already is not copied again, so a copy that was cut short goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from venti.disk import arena as arenas
from venti.disk.arena import START, arena_name
from venti.disk.files import ArenaFile, ArenaFolder
from venti.disk.survey import numbers
from venti.errors import DamagedStore

STEP = 8 * 1024 * 1024
"""Bytes between two looks at the world."""
_TAIL = 1024 * 1024
"""Bytes at the end of a copy that are compared with the original before more is added."""


class Step(NamedTuple):
    """So many bytes of an arena were copied; or, with ``damaged``, it is copied and is not sound in the original."""

    arena: int
    size: int
    damaged: str = ""


def missing(destination: ArenaFolder, ends: Mapping[int, int]) -> int:
    """Bytes that the copy lacks of a source whose arenas end there."""
    there = set(numbers(destination))
    return max(0, sum(end - (_size(destination, n) if n in there else 0) for n, end in ends.items()))


def replicate(
    source: ArenaFolder, destination: ArenaFolder, ends: Mapping[int, int], *, check: bool = False
) -> Iterator[Step]:
    """Copies what is new, step by step; everything is durable when the last step is done. In any thread.

    ``ends`` tells up to where each arena of the source is durable: nothing else of it is copied, since the source may
    lose it and go on with other blocks there. With ``check`` sealed arenas that are in both are read again, too.

    Raises:
        DamagedStore: the second directory is no copy of the first, or damaged; nothing in it was changed then.
        OSError: a disk does not do what it should.
    """
    here, there = numbers(source), numbers(destination)
    more = sorted(set(there) - set(here))
    if more and any(_size(destination, number) > START for number in more):
        raise DamagedStore(f"{destination.where('')} has arenas {more} which the original has not: it is no copy of it")
    for number in here:
        if number in ends:
            arena = _Arena(source, destination, number, exists=number in there)
            yield from arena.copy(ends[number], check=check)


class _Arena:
    """One arena in both directories."""

    def __init__(self, source: ArenaFolder, destination: ArenaFolder, number: int, *, exists: bool) -> None:
        self._source = source
        self._destination = destination
        self._number = number
        self._name = arena_name(number)
        self._exists = exists

    def copy(self, durable: int, *, check: bool) -> Iterator[Step]:
        original = self._source.open(self._name, writable=False)
        try:
            arenas.check_name(original, self._number, self._source.where(self._name))
            sealed = arenas.sealed_at(original)
            if sealed is None:
                yield from self._grow(original, self._whole(original, durable))
            elif not self._is_there(original):
                yield from self._grow(original, original.size())
                yield from self._verify(original)
                self._destination.protect(self._name)
            elif check:
                yield from self._verify(original)
        finally:
            original.close()

    def _whole(self, original: ArenaFile, durable: int) -> int:
        """Where the clumps end, of those that are durable, of an arena that may be growing."""
        end = START
        for found in arenas.clumps(original, START, min(durable, original.size())):
            end = found.end
        return end

    def _is_there(self, original: ArenaFile) -> bool:
        """Whether the copy is sealed with the same footer."""
        if not self._exists or _size(self._destination, self._number) != original.size():
            return False
        copy = self._destination.open(self._name, writable=False)
        try:
            start = arenas.sealed_at(copy)
            if start is None or start != arenas.sealed_at(original):
                return False
            size = original.size() - start
            return copy.read(size, start) == original.read(size, start)
        finally:
            copy.close()

    def _grow(self, original: ArenaFile, end: int) -> Iterator[Step]:
        if self._exists:
            copy = self._destination.open(self._name, writable=True)
        else:
            copy = self._destination.create(self._name)
            self._destination.sync()
        try:
            at = self._common(original, copy, copy.size(), end)
            copy.truncate(at)
            while at < end:
                data = original.read(min(STEP, end - at), at)
                if not data:
                    break
                copy.write((data,), at)
                at += len(data)
                yield Step(self._number, len(data))
            copy.sync()
        finally:
            copy.close()

    def _common(self, original: ArenaFile, copy: ArenaFile, size: int, end: int) -> int:
        """How much of the copy is the beginning of the original; what a crash left behind that does not count.

        Raises:
            DamagedStore: the copy has blocks that the original has not.
        """
        start = max(0, size - _TAIL)
        ends = ((0, min(START, size)), (start, size - start))
        if size <= end and all(original.read(count, at) == copy.read(count, at) for at, count in ends):
            return size
        for found in arenas.clumps(copy, START, size):
            length = found.end - found.offset
            same = original.read(length, found.offset) == copy.read(length, found.offset)
            if not same and arenas.is_genuine(copy, found):
                raise DamagedStore(
                    f"{self._destination.where(self._name)} is not a copy of {self._source.where(self._name)}: "
                    "if it holds nothing that is needed, move it away and it is copied anew"
                )
        at = 0
        while at < min(size, end):
            here, there = original.read(min(_TAIL, end - at), at), copy.read(min(_TAIL, end - at), at)
            if here != there:
                return at + next(
                    (n for n, pair in enumerate(zip(here, there, strict=False)) if pair[0] != pair[1]), len(there)
                )
            at += len(here)
        return min(size, end)

    def _verify(self, original: ArenaFile) -> Iterator[Step]:
        copy = self._destination.open(self._name, writable=False)
        try:
            arenas.verify_seal(copy)
        except DamagedStore as error:
            try:
                arenas.verify_seal(original)
            except DamagedStore as worse:
                yield Step(self._number, 0, f"{self._source.where(self._name)}: {worse}")
                return
            raise DamagedStore(
                f"{self._destination.where(self._name)}: {error}, and the original is: move it away and mirror again"
            ) from error
        finally:
            copy.close()


def _size(folder: ArenaFolder, number: int) -> int:
    file = folder.open(arena_name(number), writable=False)
    try:
        return file.size()
    finally:
        file.close()
