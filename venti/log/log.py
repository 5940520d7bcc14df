"""The log: the sequence of a store's arenas, of which only the last is appended to.

What is appended waits in memory until ``flush`` hands it to the system; ``sync`` makes it durable. A full arena is
sealed and then made read-only on the disk: it is never opened for writing again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from ninep.wire.dialect import Buffer
from venti.blocks.errors import DamagedStore
from venti.log import arena as arenas
from venti.log.arena import START, Found, arena_name
from venti.log.files import ArenaFile, ArenaFolder

log = logging.getLogger(__name__)

MOST_FILES = 256
"""Arenas that are kept open at the same time."""


MOST_CLUMPS = 1 << 18
"""Clumps of one arena, more or less. Whoever seals or checks it has its whole directory in memory, some 50 MiB then."""
_SAMPLE = 1 << 20
"""Bytes of an arena from which its clumps are estimated."""


class Position(NamedTuple):
    """A place in the log; positions compare as they follow each other."""

    arena: int
    offset: int


class Since(NamedTuple):
    """A clump that an index does not know; ``damaged`` where its block cannot be read although it was once durable."""

    number: int
    found: Found
    damaged: bool


BEGINNING = Position(0, START)
"""Where the first clump of all is."""


class Log:
    """The arenas in ``folder``; opening one cuts what a crash left half written, unless it is only read.

    Not for several threads, but for ``seal`` and what ``to_sync`` gives.
    """

    def __init__(
        self,
        folder: ArenaFolder,
        *,
        arena_size: int,
        clock: Callable[[], float],
        read_only: bool = False,
        known: Position = BEGINNING,
        certain: Mapping[int, int] | None = None,
    ) -> None:
        """``known`` is a place up to where all is in the index, so that it need not be looked through.

        ``certain`` says of arenas up to which offset they were once durable: no crash has cut or torn that.
        """
        self.folder = folder
        self.read_only = read_only
        self._arena_size = arena_size
        self._clock = clock
        self._certain = dict(certain or {})
        self._certain[known.arena] = max(known.offset, self._certain.get(known.arena, START))
        self._files: dict[int, ArenaFile] = {}
        self._ends: dict[int, int] = {}
        self._unsealed: set[int] = set()
        self._pieces: list[Buffer] = []
        self._number = -1
        self._clumps = 0
        self._tail = self._flushed = START
        try:
            self._recover(known)
        except BaseException:
            self.close()
            raise

    # What there is

    @property
    def numbers(self) -> range:
        """The arenas."""
        return range(self._number + 1)

    @property
    def tail(self) -> Position:
        """Where the next clump goes."""
        return Position(self._number, self._tail)

    @property
    def flushed(self) -> Position:
        """Up to where the system has everything."""
        return Position(self._number, self._flushed)

    @property
    def full(self) -> list[int]:
        """The arenas that wait to be sealed."""
        return sorted(self._unsealed - {self._number})

    def is_sealed(self, number: int) -> bool:
        """Whether an arena never changes again."""
        return number not in self._unsealed

    def end(self, number: int) -> int:
        """Where the clumps of an arena end, as far as the system has them."""
        return self._flushed if number == self._number else self._ends[number]

    def file(self, number: int) -> ArenaFile:
        """An arena, open. It may be closed when others are opened: a thread takes a ``duplicate``."""
        file = self._files.get(number)
        if file is None:
            if len(self._files) >= MOST_FILES:
                oldest = next(old for old in self._files if old not in self._unsealed)
                self._files.pop(oldest).close()
            file = self._files[number] = self.folder.open(
                arena_name(number), writable=number in self._unsealed and not self.read_only
            )
        return file

    def clumps(self, number: int, start: int = START, gaps: list[arenas.Gap] | None = None) -> Iterator[Found]:
        """Every clump of an arena from ``start`` on whose header is whole; see ``arena.clumps``."""
        return arenas.clumps(self.file(number), start, self.end(number), gaps)

    def since(self, position: Position) -> Iterator[Since]:
        """Every clump from a position on that counts as stored: what an index that reaches to there does not know.

        A sealed arena counts whole: all of it had been synced. In one that is not, a crash may have kept the header of
        a clump and lost its block; such a clump must not be taken for stored, unless it was once durable.
        """
        for number in self.numbers[position.arena :]:
            start = position.offset if number == position.arena else START
            if self.is_sealed(number):
                for found in self.clumps(number, start):
                    yield Since(number, found, damaged=False)
            else:
                yield from self._since(number, start)

    def _since(self, number: int, start: int) -> Iterator[Since]:
        file = self.file(number)
        certain = self._certain.get(number, START)
        gaps: list[arenas.Gap] = []
        for found in self.clumps(number, start, gaps):
            yield from self._hidden(number, gaps, certain)
            if arenas.is_whole(file, found):
                yield Since(number, found, damaged=False)
            elif found.offset < certain:
                yield Since(number, found, damaged=True)
            else:
                log.warning("arena %d offset %d: block %s is not whole", number, found.offset, found.clump.score.hex())
        yield from self._hidden(number, gaps, certain)

    def _hidden(self, number: int, gaps: list[arenas.Gap], certain: int) -> Iterator[Since]:
        """The clumps whose damaged headers still say whose they were."""
        for gap in gaps:
            if gap.start < certain:
                found = arenas.recognised(self.file(number), gap)
                if found is None:
                    log.error(
                        "arena %d offset %d: %d bytes that were safe are no clump any more: see verify and repair",
                        number,
                        gap.start,
                        gap.end - gap.start,
                    )
                else:
                    yield Since(number, found, damaged=True)
        gaps.clear()

    # Opening

    def _recover(self, known: Position) -> None:
        numbers = sorted(
            int(name.removesuffix(".arena")) for name in self.folder.names() if name.removesuffix(".arena").isdecimal()
        )
        expected = max([*numbers, *(number for number, end in self._certain.items() if end > START)], default=-1)
        if missing := sorted(set(range(expected + 1)) - set(numbers)):
            raise DamagedStore(
                f"{self.folder.where('')}: arenas {missing} are missing: put them back, or an empty file in "
                "the place of one that is lost for good"
            )
        self._number = len(numbers) - 1
        for number in numbers:
            self._ends[number] = self._end(number, known, last=number == self._number)
        if numbers:
            self._tail = self._flushed = self._ends[self._number]
            self._clumps = self._estimate()
        if not self.read_only and (not numbers or self.is_sealed(self._number)):
            self.begin_arena()

    def _estimate(self) -> int:
        """About how many clumps the last arena has, if all of it is like its beginning."""
        end = self._flushed
        found = arenas.clumps(self.file(self._number), START, min(end, START + _SAMPLE))
        sample = [clump.end - START for clump in found]
        return len(sample) * (end - START) // sample[-1] if sample else 0

    def _end(self, number: int, known: Position, *, last: bool) -> int:
        """Where the clumps of an arena end; one that should be sealed and is not is among the ``full`` ones."""
        file = self.file(number)
        name = arena_name(number)
        path = self.folder.where(name)
        size = file.size()
        certain = self._certain.get(number, START)
        if certain > max(size, START) and not self.folder.protected(name):
            log.error("%s ends %d bytes before what was safe in it: restore the file from a copy", path, certain - size)
        if last and size <= START and not self.read_only and arenas.head_fault(file, number):
            # The crash came while this arena was made: it never had a clump.
            self._unsealed.add(number)
            file = self._reopen(number)
            file.truncate(0)
            arenas.write_head(file, number, int(self._clock()))
            return START
        arenas.check_name(file, number, path)
        if fault := arenas.head_fault(file, number):
            log.error("%s: %s, which its blocks do not need: all of them are served", path, fault)
            file = self._mend_head(file, number, path)
        sealed = arenas.sealed_at(file)
        if sealed is not None and self._is_true_seal(file, number, path, last=last):
            return sealed
        if self.folder.protected(name):
            log.error("%s has lost its end: what is left is served; restore the file from a copy", path)
            return size
        self._unsealed.add(number)
        start = known.offset if number == known.arena and known.offset <= size else START
        certain = max(start, min(certain, size))
        if self.read_only:
            return max([certain, *(found.end for found in arenas.clumps(file, start, size) if _is_left(file, found))])
        return self._closed_up(self._reopen(number), number, start, certain, size)

    def _mend_head(self, file: ArenaFile, number: int, path: str) -> ArenaFile:
        """Makes the head of an arena what it was, if that is known for certain. Returns the arena."""
        if self.read_only:
            return file
        try:
            with self.folder.writable(arena_name(number)) as writable:
                if arenas.mend_head(writable, number):
                    log.warning("%s: its head is as it was again", path)
        except OSError as error:
            log.warning("%s: its head cannot be written: %s", path, error.strerror)
        return file

    def _closed_up(self, file: ArenaFile, number: int, start: int, certain: int, size: int) -> int:
        """Cuts what a crash left half written; what is whole behind it moves up. Returns where the arena ends then.

        So nothing is left in a log that looks like damage and never was stored.
        """
        end = certain
        moved = 0
        for found in arenas.clumps(file, start, size):
            if found.offset < certain or not _is_left(file, found):
                continue
            if found.offset > end:
                file.write((file.read(found.end - found.offset, found.offset),), end)
                moved += 1
            end += found.end - found.offset
        if end < size:
            log.warning("arena %d: %d bytes at its end are no whole clump and are cut", number, size - end)
            file.truncate(end)
            if moved:
                log.warning("arena %d: %d blocks that were behind moved up", number, moved)
                file.sync()
        return end

    def _is_true_seal(self, file: ArenaFile, number: int, path: str, *, last: bool) -> bool:
        """Whether an arena that looks sealed is. One that is protected has been looked at before."""
        if self.folder.protected(arena_name(number)):
            return True
        try:
            found = arenas.verify_seal(file).get("number")
        except DamagedStore as error:
            if last or not arenas.was_sealed(file, number):
                log.warning("%s looks sealed and is not: %s", path, error)
                return False
            log.error("%s is damaged: what is sound is served, see verify and repair: %s", path, error)
            found = number
        if found != number:
            return False
        if not self.read_only:
            self.folder.protect(arena_name(number))
        return True

    def _reopen(self, number: int) -> ArenaFile:
        self._files.pop(number).close()
        return self.file(number)

    # Appending

    def append(self, pieces: Sequence[Buffer], size: int) -> None:
        """Queues clumps at the end, two pieces each, ``size`` in all. They must stay as they are until ``flush``."""
        self._pieces += pieces
        self._tail += size
        self._clumps += len(pieces) // 2

    def flush(self) -> None:
        """Hands what was appended to the system. Raises OSError: nothing of it counts then, see ``forget``."""
        if self._pieces:
            self.file(self._number).write(self._pieces, self._flushed)
            self._pieces = []
            self._flushed = self._tail

    def forget(self) -> None:
        """Drops what was appended and not flushed."""
        self._pieces = []
        self._tail = self._flushed
        with suppress(OSError):
            self.file(self._number).truncate(self._flushed)

    @property
    def is_full(self) -> bool:
        """Whether the next arena is due."""
        return self._flushed >= self._arena_size or self._clumps >= MOST_CLUMPS

    def begin_arena(self) -> None:
        """Goes on in a new arena; the last one is to be sealed. Raises OSError: there is none, and nothing is lost."""
        file = arenas.create(self.folder, self._number + 1, int(self._clock()))
        if self._number >= 0:
            self._ends[self._number] = self._flushed
        self._number += 1
        self._clumps = 0
        self._files[self._number] = file
        self._unsealed.add(self._number)
        self._tail = self._flushed = START

    def unsealed_ends(self) -> dict[int, int]:
        """Where the arenas end that are not sealed, as far as the system has them."""
        return {number: self.end(number) for number in self._unsealed}

    def durable_ends(self) -> dict[int, int]:
        """What is left, in arenas that are not sealed, of what was once durable."""
        return {n: min(end, self.end(n)) for n, end in self._certain.items() if n in self._unsealed}

    def to_sync(self) -> list[ArenaFile]:
        """The files whose ``sync`` makes everything durable that was flushed."""
        return [self.file(number) for number in sorted(self._unsealed)]

    def seal(self, number: int) -> None:
        """Writes the footer of a full arena; in any thread, never two at once. ``sealed`` must follow."""
        arenas.seal(self._files[number], self._ends[number], number)
        self.folder.protect(arena_name(number))

    def sealed(self, number: int) -> None:
        """An arena has its seal: from now on it is only opened for reading."""
        self._unsealed.discard(number)
        self._reopen(number)

    def close(self) -> None:
        """Gives all files back; what was not flushed is lost."""
        for file in self._files.values():
            file.close()
        self._files.clear()


def _is_left(file: ArenaFile, found: Found) -> bool:
    """Whether a clump that was never durable is whole; told if it is not."""
    if arenas.is_whole(file, found):
        return True
    log.warning("offset %d: block %s is not whole", found.offset, found.clump.score.hex())
    return False
