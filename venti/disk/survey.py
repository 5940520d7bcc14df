"""Goes through arenas and looks whether every clump is what was written. Changes nothing, and needs no lock.

It may be used beside a running server: what the server appends meanwhile is left for the next time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha1
from typing import NamedTuple

from venti.blocktype import BlockType
from venti.disk import arena as arenas
from venti.disk.arena import START, Found, Gap, Listed, arena_name
from venti.disk.clump import HEADER, BadClump
from venti.disk.files import ArenaFile, ArenaFolder
from venti.errors import BadBlockType, DamagedStore
from venti.score import Score


class Fault(NamedTuple):
    """Something in an arena that is not as it was written.

    Attributes:
        arena: its number.
        offset: in the file.
        score: of the block that cannot be read; None where nobody knows, or where it is none.
        type: of that block, None with it.
        detail: what is wrong.
    """

    arena: int
    offset: int
    score: Score | None
    type: BlockType | None
    detail: str

    def __str__(self) -> str:
        block = "" if self.score is None else f"block {self.score}/{int(self.type or 0)}: "
        return f"arena {self.arena} offset {self.offset}: {block}{self.detail}"


def numbers(folder: ArenaFolder) -> list[int]:
    """The arenas that there are."""
    names = (name.removesuffix(".arena") for name in folder.names() if name.endswith(".arena"))
    return sorted(int(name) for name in names if name.isdecimal())


class Survey:
    """Goes through one arena, step by step. To be closed.

    Attributes:
        at: everything before this offset has been looked at.
        end: where the clumps end.
        sealed: whether the arena never changes again.
        clumps, size: sound clumps so far, and the bytes that they take in the file.
        faults: what was found.
    """

    def __init__(self, folder: ArenaFolder, number: int, start: int = START) -> None:
        """Begins at ``start``, where a clump begins.

        Raises:
            OSError: the arena cannot be read.
        """
        self.number = number
        self.clumps = self.size = 0
        self.faults: list[Fault] = []
        self._file = folder.open(arena_name(number), writable=False)
        try:
            self._gaps: list[Gap] = []
            self._listed: Sequence[Listed] | None = None
            sealed = arenas.sealed_at(self._file)
            self.sealed = sealed is not None
            self.end = self._file.size() if sealed is None else sealed
            self.at = min(start, self.end)
            if start == START:
                self._check_frame()
            self._found = arenas.clumps(self._file, self.at, self.end, self._gaps)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Gives the file back."""
        self._file.close()

    def _check_frame(self) -> None:
        try:
            arenas.check_head(self._file, self.number, arena_name(self.number))
        except DamagedStore as error:
            self._fault(0, str(error))
        if self.sealed:
            try:
                footer = arenas.footer(self._file)
                if footer.get("number") != self.number or footer.get("end") != self.end:
                    self._fault(self.end, "its footer is that of another arena")
            except DamagedStore as error:
                self._fault(self.end, str(error))

    def _fault(self, offset: int, detail: str, score: bytes | None = None, type: int = 0) -> None:
        kind = None
        if score is not None:
            try:
                kind = BlockType.from_wire(type)
            except BadBlockType:
                score = None
        self.faults.append(Fault(self.number, offset, None if score is None else Score(score), kind, detail))

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
        while self._gaps:
            gap = self._gaps.pop(0)
            if at_end and gap.end == self.end and not self.sealed:
                # The server is writing there, or died while it was; opening the store cuts it.
                continue
            lost = [entry for entry in self._directory() if gap.start <= entry.offset < gap.end]
            for entry in sorted(lost, key=lambda entry: entry.offset):
                self._fault(entry.offset, "its header is damaged", entry.score, entry.type)
            if not lost:
                self._fault(gap.start, f"{gap.end - gap.start} bytes are no clump")

    def _directory(self) -> Sequence[Listed]:
        if self._listed is None:
            try:
                self._listed = list(arenas.listed(arenas.footer(self._file)["directory"])) if self.sealed else []
            except DamagedStore:
                self._listed = []
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
