"""Verifies a whole store, arenas and index. Changes nothing and needs no lock."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import lmdb

from venti.blocks.errors import DamagedStore, StoreInUse
from venti.log import arena as arenas
from venti.log import synced
from venti.log.arena import Found, Gap, Listed, arena_name
from venti.log.claim import claimed
from venti.log.damaged import noted
from venti.log.files import OsFolder, numbers
from venti.log.index import PLACE, Index, Place
from venti.log.log import Position
from venti.upkeep.agreement import Agreement, Difference
from venti.upkeep.survey import Fault, Survey, fault, in_gaps, stored_again

_NEVER = 1 << 62
"""An offset that no arena reaches."""
_ENTRIES = 20_000
"""Entries of the index that are looked at in one step."""
_DAMAGED = (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.PanicError, lmdb.VersionMismatchError)


class Verification:
    """Goes through a store, step by step; in any thread, one step at a time. A context manager.

    Attributes:
        arenas: how many there are.
        total: bytes to look at; ``at`` of them have been.
        clumps: sound clumps so far.
        faults: what was found, and has not been healed, since the list was emptied.
        healed: how many damaged blocks have a sound copy.
        entries: how many blocks the index knows; None if it was not compared.
        differences: what the index says and the arenas do not, or the other way round; the first of ``differing``.
        trouble: why the index was not compared, or not to its end; empty if it was.
        index_damaged: whether that is the fault of the index.
    """

    def __init__(self, path: Path) -> None:
        """The store in the directory ``path``.

        Raises:
            OSError: it cannot be read.
        """
        self.at = self.clumps = self.healed = 0
        self.faults: list[Fault] = []
        self.entries: int | None = None
        self.differences: Sequence[Difference] = ()
        self.differing = 0
        self.trouble = ""
        self.index_damaged = False
        self._folder = OsFolder(path / "arenas")
        self._noted = noted(path)
        self._synced = synced.read(OsFolder(path))
        self._numbers = numbers(self._folder)
        self.arenas = len(self._numbers)
        self.total = sum(_size(self._folder, number) for number in self._numbers)
        self._gaps: dict[int, list[Gap]] = {}
        self._nameless: dict[int, list[Gap]] = {}
        self._named: set[tuple[int, int]] = set()
        self._survey: Survey | None = None
        self._waiting = iter(self._numbers)
        self._index: Index | None = None
        self._agreement: Agreement | None = None
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._look_at_index(path, stack)
            self._stack = stack.pop_all()
        expected = max([*self._numbers, self._limit.arena])
        for number in sorted(set(range(expected + 1)) - set(self._numbers)):
            self.faults.append(fault(number, 0, f"{arena_name(number)} is missing: put it back from a copy"))

    def __enter__(self) -> Verification:
        return self

    def __exit__(self, *_: object) -> None:
        if self._survey is not None:
            self._survey.close()
        self._stack.close()

    @property
    def _limit(self) -> Position:
        """Up to where the index knows everything."""
        return Position(-1, 0) if self._agreement is None else self._agreement.limit

    def _look_at_index(self, path: Path, stack: ExitStack) -> None:
        if not (path / "index" / "data.mdb").exists():
            self.trouble = "there is none: it is made when the store is opened"
            return
        try:
            self._index = stack.enter_context(closing(_opened(path, stack)))
        except StoreInUse:
            self.trouble = "only the owner of the store can look at it while the store is open"
            return
        except lmdb.Error as error:
            self._index_trouble(error)
            return
        self.entries = self._index.entries()
        self._agreement = stack.enter_context(closing(Agreement(self._folder, self._index)))

    def _index_trouble(self, error: Exception) -> None:
        self.trouble = str(error)
        self.index_damaged = isinstance(error, (*_DAMAGED, DamagedStore))
        self._agreement = None

    # Step by step

    def step(self, budget: int) -> bool:
        """Looks at about ``budget`` bytes of an arena, or some entries of the index; True when that was the last.

        Raises:
            OSError: the disk does not give the bytes.
        """
        if self._survey is None and not self._next():
            return self._compare()
        survey = self._survey
        assert survey is not None
        before = survey.at, survey.clumps
        done = survey.step(budget)
        self.at += survey.at - before[0]
        self.clumps += survey.clumps - before[1]
        self._judge(survey)
        if done:
            survey.close()
            self._survey = None
        if self._agreement is not None:
            self._agreement.renew()
        return False

    def _next(self) -> bool:
        number = next(self._waiting, None)
        if number is None:
            return False
        certain = self._synced.get(number, 0)
        if number <= self._limit.arena:
            covered = self._limit.offset if number == self._limit.arena else _size(self._folder, number)
            certain = max(certain, covered)
        survey = Survey(
            self._folder,
            number,
            certain=certain,
            noted=self._noted.get(number, ()),
            seen=lambda found, sound: self._seen(number, found, sound),
        )
        self._survey = survey
        self._gaps[number] = survey.gaps
        if not survey.sealed and number <= self._limit.arena:
            # It may have been longer.
            survey.gaps.append(Gap(survey.end, _NEVER))
        return True

    def _seen(self, number: int, found: Found, sound: bool) -> None:
        if self._agreement is not None:
            try:
                self._agreement.clump(number, found, sound)
            except (lmdb.Error, DamagedStore) as error:
                self._index_trouble(error)

    def _judge(self, survey: Survey) -> None:
        """Takes what a survey found: the healed is counted, and what nobody knows waits for the index to tell."""
        for found in survey.faults:
            if found.size and self._agreement is not None:
                self._nameless.setdefault(found.arena, []).append(Gap(found.offset, found.offset + found.size))
            else:
                self._tell(found)
        survey.faults.clear()

    def _tell(self, found: Fault) -> None:
        place = (found.arena, found.offset)
        if found.score is not None:
            if place in self._named:
                return
            self._named.add(place)
        if self._is_healed(found):
            self.healed += 1
        else:
            self.faults.append(found)

    def _is_healed(self, found: Fault) -> bool:
        if found.score is None or found.type is None:
            return False
        value = self._known(found.score + bytes((found.type.wire,)))
        if value is not None and len(value) == PLACE:
            place = Place.unpack(value)
            if (place.arena, place.offset) != (found.arena, found.offset) and self._is_sound(place, found):
                return True
        return stored_again(self._folder, found)

    def _known(self, key: bytes) -> bytes | None:
        try:
            return None if self._index is None or self.index_damaged else self._index.get(key)
        except DamagedStore as error:
            self._index_trouble(error)
            return None

    def _is_sound(self, place: Place, found: Fault) -> bool:
        try:
            file = self._folder.open(arena_name(place.arena), writable=False)
        except OSError:
            return False
        with closing(file):
            there = next(arenas.clumps(file, place.offset, file.size()), None)
            return (
                there is not None
                and there.offset == place.offset
                and found.type is not None
                and (there.clump.score, there.clump.type) == (found.score, found.type.wire)
                and arenas.is_genuine(file, there)
            )

    def _compare(self) -> bool:
        if self._agreement is None:
            self._tell_gaps({})
            return True
        self._agreement.all_clumps_seen(self._gaps)
        try:
            if not self._agreement.step(_ENTRIES):
                return False
        except (lmdb.Error, DamagedStore) as error:
            self._index_trouble(error)
            self._tell_gaps({})
            return True
        self.differences, self.differing = self._agreement.differences, self._agreement.count
        self._tell_gaps(self._agreement.lost)
        return True

    def _tell_gaps(self, lost: dict[int, list[Listed]]) -> None:
        for number, gaps in self._nameless.items():
            for found in in_gaps(number, gaps, lost.get(number, ())):
                self._tell(found)
        for number, entries in lost.items():
            what = "the end of its arena is missing" if number in self._gaps else "its arena is missing"
            for entry in sorted(entries, key=lambda entry: entry.offset):
                self._tell(fault(number, entry.offset, what, entry.score, entry.type))
        self._tell_forgotten()

    def _tell_forgotten(self) -> None:
        """Blocks that were found to be lost and are still: the index was made without them."""
        if self._index is None or self.index_damaged:
            return
        for number, entries in self._noted.items():
            for entry in entries:
                if self._known(entry.score + bytes((entry.type,))) is None and not self.index_damaged:
                    self._tell(fault(number, entry.offset, "it was here and is lost", entry.score, entry.type))


def _opened(path: Path, stack: ExitStack) -> Index:
    """The index, to be read beside a server; where its lock must not be written, only while there is no server.

    Raises:
        StoreInUse: there is one.
        lmdb.Error: the index cannot be used.
    """
    beside = os.access(path / "index" / "lock.mdb", os.W_OK)
    if not beside:
        stack.enter_context(claimed(path, read_only=True))
    return Index(path / "index", read_only=True, strict=True, beside=beside)


def _size(folder: OsFolder, number: int) -> int:
    with closing(folder.open(arena_name(number), writable=False)) as file:
        return file.size()
