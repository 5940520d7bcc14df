"""Reads arenas and checks every clump against its score. Changes nothing and needs no lock.

It may be used beside a running server: what the server appends meanwhile is left for the next time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha1
from typing import NamedTuple

from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BadBlockType, DamagedStore
from venti.blocks.score import Score
from venti.log import arena as arenas
from venti.log.arena import START, Found, Gap, Listed, arena_name
from venti.log.clump import HEADER, BadClump
from venti.log.files import ArenaFile, ArenaFolder, numbers


class Fault(NamedTuple):
    """Something in an arena that is not as it was written.

    Attributes:
        arena: its number.
        offset: in the file.
        score: of the block that cannot be read; None where nobody knows, or where it is none.
        type: of that block, None with it.
        detail: what is wrong.
        size: bytes that are no clump, where nobody knows of which blocks they were; else 0.
    """

    arena: int
    offset: int
    score: Score | None
    type: BlockType | None
    detail: str
    size: int = 0

    def __str__(self) -> str:
        block = "" if self.score is None else f"block {self.score}/{int(self.type or 0)}: "
        return f"arena {self.arena} offset {self.offset}: {block}{self.detail}"


def fault(number: int, offset: int, detail: str, score: bytes | None = None, type: int = 0) -> Fault:
    """A fault whose block has that score, and a type as on the wire; a type that there is not makes it nobody's."""
    kind = None
    if score is not None:
        try:
            kind = BlockType.from_wire(type)
        except BadBlockType:
            score = None
    return Fault(number, offset, None if score is None else Score(score), kind, detail)


def in_gaps(number: int, gaps: Sequence[Gap], known: Iterable[Listed]) -> list[Fault]:
    """What the gaps of an arena have swallowed: the blocks that were there as far as they are known, and the rest."""
    faults = []
    entries = sorted(known, key=_offset)
    for gap in gaps:
        at = gap.start
        for entry in entries[bisect_left(entries, gap.start, key=_offset) :]:
            if entry.offset >= gap.end:
                break
            if entry.offset > at:
                faults.append(_nameless(number, at, entry.offset))
            faults.append(fault(number, entry.offset, "its header is damaged", entry.score, entry.type))
            at = max(at, entry.offset + HEADER + entry.stored)
        if at < gap.end:
            faults.append(_nameless(number, at, gap.end))
    return faults


def _offset(entry: Listed) -> int:
    return entry.offset


def _nameless(number: int, start: int, end: int) -> Fault:
    return Fault(number, start, None, None, f"{end - start} bytes are no clump", end - start)


class Survey:
    """Goes through one arena, step by step. To be closed.

    Attributes:
        at: everything before this offset has been looked at.
        end: where the clumps end.
        sealed: whether the arena never changes again.
        clumps, size: sound clumps so far, and the bytes that they take in the file.
        faults: what was found.
        gaps: where there should be clumps and are none.
    """

    def __init__(
        self,
        folder: ArenaFolder,
        number: int,
        start: int = START,
        *,
        certain: int = 0,
        noted: Sequence[Listed] = (),
        seen: Callable[[Found, bool], None] = lambda found, sound: None,
    ) -> None:
        """Begins at ``start``, where a clump begins.

        Everything before the offset ``certain`` was durable once: no crash has taken it away. ``noted`` says what was
        where, as far as somebody wrote it down; a sealed arena knows that by itself. ``seen`` gets each clump with a
        whole header, and whether it is sound.

        Raises:
            OSError: the arena cannot be read.
        """
        self.number = number
        self.clumps = self.size = 0
        self.faults: list[Fault] = []
        self.gaps: list[Gap] = []
        self._certain = certain
        self._noted = noted
        self._seen = seen
        self._file = folder.open(arena_name(number), writable=False)
        try:
            self._new_gaps: list[Gap] = []
            self._listed: Sequence[Listed] | None = None
            sealed = arenas.sealed_at(self._file)
            self.sealed = sealed is not None
            self._cut = sealed is None and folder.protected(arena_name(number))
            self.end = self._file.size() if sealed is None else sealed
            self.at = min(start, self.end)
            if start == START:
                self._check_frame()
            self._found = arenas.clumps(self._file, self.at, self.end, self._new_gaps)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Gives the file back."""
        self._file.close()

    def _check_frame(self) -> None:
        if wrong := arenas.head_fault(self._file, self.number):
            self._fault(0, f"{wrong}, which costs no block: opening the store mends it")
        if self._cut:
            self._fault(self.end, "it was sealed and has lost its end: restore the file from a copy")
        elif not self.sealed and self.end < self._certain:
            self._fault(self.end, f"{self._certain - self.end} bytes at its end are missing that were safe there")
        if self.sealed:
            try:
                footer = arenas.footer(self._file)
                if footer.get("number") != self.number or footer.get("end") != self.end:
                    self._fault(self.end, "its footer is that of another arena")
            except DamagedStore as error:
                self._fault(self.end, str(error))

    def _fault(self, offset: int, detail: str, score: bytes | None = None, type: int = 0) -> None:
        self.faults.append(fault(self.number, offset, detail, score, type))

    def step(self, budget: int) -> bool:
        """Looks at about ``budget`` bytes; True when that was the last of them. In any thread, one at a time.

        Raises:
            OSError: the disk does not give the bytes.
        """
        stop = self.at + budget
        for found in self._found:
            self._note_gaps()
            detail = self._wrong(found)
            if detail is None:
                self.clumps += 1
                self.size += HEADER + found.clump.stored
            else:
                self._fault(found.offset, detail, found.clump.score, found.clump.type)
            self._seen(found, detail is None)
            self.at = found.end
            if self.at >= stop:
                return False
        self._note_gaps(at_end=True)
        self.at = self.end
        return True

    def _wrong(self, found: Found) -> str | None:
        try:
            block = arenas.block_of(self._file, found)
        except BadClump as error:
            return str(error)
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        if sha1(block, usedforsecurity=False).digest() != found.clump.score:
            return "its score is that of another block"
        return None

    def _note_gaps(self, *, at_end: bool = False) -> None:
        for gap in self._new_gaps:
            end = gap.end
            if at_end and end == self.end and not self.sealed and not self._cut:
                # The server is writing there, or died while it was; opening the store cuts it.
                end = min(end, self._certain)
            if gap.start < end:
                gap = Gap(gap.start, end)
                self.gaps.append(gap)
                self.faults += in_gaps(self.number, [gap], self._directory())
        self._new_gaps.clear()

    def _directory(self) -> Sequence[Listed]:
        if self._listed is None:
            try:
                listed = list(arenas.listed(arenas.footer(self._file)["directory"])) if self.sealed else []
            except DamagedStore:
                listed = []
            offsets = {entry.offset for entry in listed}
            self._listed = [*listed, *(entry for entry in self._noted if entry.offset not in offsets)]
        return self._listed


def stored_again(folder: ArenaFolder, fault: Fault) -> bool:
    """Whether the block of a fault has a sound copy later in the log: that is how damage is healed."""
    if fault.score is None or fault.type is None:
        return False
    for number in numbers(folder):
        if number < fault.arena:
            continue
        file = folder.open(arena_name(number), writable=False)
        try:
            for found in _copies(file, fault.score, fault.type.wire):
                if (number, found.offset) > (fault.arena, fault.offset) and arenas.is_genuine(file, found):
                    return True
        finally:
            file.close()
    return False


def _copies(file: ArenaFile, score: bytes, type: int) -> Iterator[Found]:
    """The clumps of an arena with that score and type."""
    end = arenas.sealed_at(file)
    try:
        if end is not None:
            for entry in arenas.listed(arenas.footer(file)["directory"]):
                if entry.score == score and entry.type == type:
                    # A damaged header is stepped over: what comes then is another block.
                    found = next(arenas.clumps(file, entry.offset, end), None)
                    if found is not None and found.offset == entry.offset:
                        yield found
            return
    except DamagedStore:
        pass
    for found in arenas.clumps(file, START, file.size() if end is None else end):
        if found.clump.score == score and found.clump.type == type:
            yield found
