"""The log: all arenas of a store, one behind the other, of which only the last is appended to.

What is appended waits in memory until ``flush`` hands it to the system; ``sync`` makes it durable. A full arena is
sealed and then made read-only on the disk: it is never opened for writing again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from ninep.wire.dialect import Buffer
from venti.disk import arena as arenas
from venti.disk.arena import START, Found, arena_name
from venti.disk.files import ArenaFile, ArenaFolder
from venti.errors import DamagedStore

log = logging.getLogger(__name__)

MOST_FILES = 256
"""Arenas that are kept open at the same time."""


class Position(NamedTuple):
    """A place in the log; positions compare as they follow each other."""

    arena: int
    offset: int


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
    ) -> None:
        """``known`` is a place up to where all is known to be sound, so that it need not be looked through."""
        self.folder = folder
        self.read_only = read_only
        self._arena_size = arena_size
        self._clock = clock
        self._files: dict[int, ArenaFile] = {}
        self._ends: dict[int, int] = {}
        self._unsealed: set[int] = set()
        self._pieces: list[Buffer] = []
        self._number = -1
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

    def since(self, position: Position) -> Iterator[tuple[int, Found]]:
        """Every sound clump from a position on: what an index that reaches to there does not know.

        A sealed arena counts as sound: all of it had been synced. In one that is not, a crash may have kept the header
        of a clump and lost its block, and such a clump must not be taken for stored.
        """
        for number in self.numbers[position.arena :]:
            start = position.offset if number == position.arena else START
            for found in self.clumps(number, start):
                if self.is_sealed(number) or arenas.is_whole(self.file(number), found):
                    yield number, found
                else:
                    log.warning(
                        "arena %d offset %d: block %s is not whole", number, found.offset, found.clump.score.hex()
                    )

    # Opening

    def _recover(self, known: Position) -> None:
        numbers = sorted(
            int(name.removesuffix(".arena")) for name in self.folder.names() if name.removesuffix(".arena").isdecimal()
        )
        if numbers != list(range(len(numbers))):
            missing = sorted(set(range(max(numbers) + 1)) - set(numbers))
            raise DamagedStore(f"{self.folder.where('')}: arenas {missing} are missing: put them back")
        self._number = len(numbers) - 1
        for number in numbers:
            self._ends[number] = self._end(number, known, last=number == self._number)
        if numbers:
            self._tail = self._flushed = self._ends[self._number]
        if not self.read_only and (not numbers or self.is_sealed(self._number)):
            self.begin_arena()

    def _end(self, number: int, known: Position, *, last: bool) -> int:
        """Where the clumps of an arena end; one that should be sealed and is not is among the ``full`` ones."""
        file = self.file(number)
        name = arena_name(number)
        path = self.folder.where(name)
        size = file.size()
        if last and size <= START and not self.read_only and not _has_head(file, number, path):
            # The crash came while this arena was made: it never had a clump.
            self._unsealed.add(number)
            file = self._reopen(number)
            file.truncate(0)
            arenas.write_head(file, number, int(self._clock()))
            return START
        arenas.check_head(file, number, path)
        sealed = arenas.sealed_at(file)
        if sealed is not None and self._is_true_seal(file, number, path):
            return sealed
        if self.folder.protected(name):
            log.error("%s has lost its end: what is left is served; restore the file from a copy", path)
            return size
        self._unsealed.add(number)
        end = known.offset if number == known.arena and known.offset <= size else START
        for found in arenas.clumps(file, end, size):
            if arenas.is_whole(file, found):
                end = found.end
        if self.read_only:
            return end
        file = self._reopen(number)
        if end < size:
            log.warning("arena %d: %d bytes at its end are no whole clump and are cut", number, size - end)
            file.truncate(end)
        return end

    def _is_true_seal(self, file: ArenaFile, number: int, path: str) -> bool:
        """Whether an arena that looks sealed is. One that is protected has been looked at before."""
        if self.folder.protected(arena_name(number)):
            return True
        try:
            found = arenas.verify_seal(file).get("number")
        except DamagedStore as error:
            log.warning("%s looks sealed and is not: %s", path, error)
            return False
        if found != number:
            return False
        if not self.read_only:
            self.folder.protect(arena_name(number))
        return True

    def _reopen(self, number: int) -> ArenaFile:
        self._files.pop(number).close()
        return self.file(number)

    # Appending

    def append(self, pieces: Sequence[Buffer], size: int) -> Position:
        """Queues bytes at the end; says where they will be. They must stay as they are until ``flush``."""
        at = self._tail
        self._pieces += pieces
        self._tail = at + size
        return Position(self._number, at)

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
        return self._flushed >= self._arena_size

    def begin_arena(self) -> None:
        """Goes on in a new arena; the last one is to be sealed. Raises OSError: there is none, and nothing is lost."""
        file = arenas.create(self.folder, self._number + 1, int(self._clock()))
        if self._number >= 0:
            self._ends[self._number] = self._flushed
        self._number += 1
        self._files[self._number] = file
        self._unsealed.add(self._number)
        self._tail = self._flushed = START

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


def _has_head(file: ArenaFile, number: int, path: str) -> bool:
    try:
        arenas.check_head(file, number, path)
    except DamagedStore:
        return False
    return True
