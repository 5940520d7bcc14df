"""Maintains a byte-for-byte copy of a store in a second directory, which can take over.

A sealed arena is copied once and checked against the BLAKE3 of its whole. The arena in use grows in the copy as it grew
in the original. Whatever is there already is not copied again, so a copy that was cut short goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from venti.blocks.errors import DamagedStore
from venti.log import arena as arenas
from venti.log.arena import START, Gap, arena_name
from venti.log.files import ArenaFile, ArenaFolder, numbers

STEP = 8 * 1024 * 1024
"""Bytes between two looks at the world."""
_STRIDE = 1024 * 1024
"""Bytes of copy and original that are compared at once."""


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
        """Whether the copy is sealed with the same footer, and whole: its end may be all that came to the disk."""
        if not self._exists or _size(self._destination, self._number) != original.size():
            return False
        copy = self._destination.open(self._name, writable=False)
        try:
            start = arenas.sealed_at(copy)
            if start is None or start != arenas.sealed_at(original):
                return False
            size = original.size() - start
            if copy.read(size, start) != original.read(size, start):
                return False
            return self._destination.protected(self._name) or _is_sound(copy)
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

        All of it is compared: after a loss of power the last that was written may be there, and what was before not.

        Raises:
            DamagedStore: the copy has blocks that the original has not.
        """
        if size <= end and _same(original, copy, 0, size):
            return size
        common = size if not arenas.head_fault(copy, self._number) else 0
        gaps: list[Gap] = []
        for found in arenas.clumps(copy, START, size, gaps):
            if _same(original, copy, found.offset, found.end):
                continue
            if not arenas.is_genuine(copy, found):
                common = min(common, found.offset)
            elif found.end > end or _is_genuine(original, found.offset, end):
                raise DamagedStore(
                    f"{self._destination.where(self._name)} is not a copy of {self._source.where(self._name)}: "
                    "if it holds nothing that is needed, move it away and it is copied anew"
                )
        return min([common, end, *(gap.start for gap in gaps)])

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


def _same(original: ArenaFile, copy: ArenaFile, start: int, end: int) -> bool:
    return all(
        original.read(min(_STRIDE, end - at), at) == copy.read(min(_STRIDE, end - at), at)
        for at in range(start, end, _STRIDE)
    )


def _is_genuine(file: ArenaFile, offset: int, end: int) -> bool:
    """Whether a block is whole there."""
    found = next(arenas.clumps(file, offset, end), None)
    return found is not None and found.offset == offset and arenas.is_genuine(file, found)


def _is_sound(file: ArenaFile) -> bool:
    """Whether a sealed arena is what it was."""
    try:
        arenas.verify_seal(file)
    except DamagedStore:
        return False
    return True
