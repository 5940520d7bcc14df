"""Compares an index with the arenas: every sound clump needs an entry, and every entry must lead to its clump.

The clumps come one after the other, as a survey of the arenas meets them, and each is looked up. That no entry leads
anywhere else is then seen without reading a disk at random: the sum of a hash of all entries that led to their clumps
must be the sum of the hashes of all entries that there are. Only where it is not, each entry is followed by itself.

A server may write the index meanwhile. It adds entries, for clumps behind those that the index covered in the
beginning, and lets entries lead to copies further on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BadBlockType
from venti.log.arena import START, Found, Gap, Listed, arena_name
from venti.log.clump import HEADER, BadClump, unpack_header
from venti.log.files import ArenaFile, ArenaFolder
from venti.log.index import PLACE, Index, Place, pack_place
from venti.log.log import BEGINNING, Position

MOST = 1000
"""Differences that are named; the others are counted."""
MOST_FILES = 64
"""Arenas that are kept open to follow entries."""
_KEY = 21


class Difference(NamedTuple):
    """Something that the index says and the arenas do not, or the other way round; no ``type``: one there is not."""

    score: bytes
    type: BlockType | None
    detail: str

    def __str__(self) -> str:
        type = "?" if self.type is None else int(self.type)
        return f"block {self.score.hex()}/{type}: {self.detail}"


class Agreement:
    """Compares; ``clump`` first for all clumps in the order of the log, then ``step`` until it is done.

    Attributes:
        limit: the clumps before it are compared.
        count: how many differences there are; ``differences`` has the first of them.
        lost: by arena, blocks that the index knows in places where no clump is any more.
    """

    def __init__(self, folder: ArenaFolder, index: Index) -> None:
        """``index`` is looked at from outside and is the caller's to close."""
        self.limit = index.covered or BEGINNING
        self.count = 0
        self.differences: list[Difference] = []
        self.lost: dict[int, list[Listed]] = {}
        self._folder = folder
        self._index = index
        self._right = 0
        self._sum = 0
        self._entries: Iterator[tuple[bytes, bytes]] | None = None
        self._doubtful = False
        self._gaps: Mapping[int, Sequence[Gap]] = {}
        self._files: dict[int, ArenaFile] = {}

    def close(self) -> None:
        """Gives the files back."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _differs(self, key: bytes, detail: str) -> None:
        self.count += 1
        if len(self.differences) < MOST:
            self.differences.append(Difference(key[:20], _type(key), detail))

    def clump(self, number: int, found: Found, sound: bool) -> None:
        """A clump with a whole header, in arena ``number``."""
        here = Position(number, found.offset)
        if here >= self.limit:
            return
        clump = found.clump
        key = clump.score + bytes((clump.type,))
        value = self._index.get(key)
        if value == pack_place(number, found.offset, clump.stored, clump.size, clump.digest[:16]):
            self._right += hash(key + value)
        elif not sound or (value is not None and len(value) != PLACE):
            return
        elif value is None:
            self._differs(key, f"arena {number} offset {found.offset} has it, and the index does not know it")
        elif (there := _position(value)) == here:
            self._differs(key, f"at arena {number} offset {found.offset} its size or digest is another one")
        elif there < here:
            self._differs(key, f"the index leads to arena {there.arena} offset {there.offset}, not to the later copy")

    def renew(self) -> None:
        """Between some clumps and others: lets the server that writes the index have its old pages back."""
        self._index.renew()

    def all_clumps_seen(self, gaps: Mapping[int, Sequence[Gap]]) -> None:
        """Where in each arena clumps may have been that are none any more; an arena that is not named is gone."""
        self._gaps = gaps

    def step(self, budget: int) -> bool:
        """Looks at so many entries of the index; True when that was the last of them.

        Raises:
            lmdb.Error: the index is damaged.
        """
        if self._entries is None:
            self._entries = self._index.items()
        for key, value in self._entries:
            self._entry(key, value)
            budget -= 1
            if not budget:
                return False
        if self._doubtful or self._sum == self._right:
            return True
        self._doubtful = True
        self._entries = self._index.items()
        return False

    def _entry(self, key: bytes, value: bytes) -> None:
        if len(key) != _KEY or len(value) != PLACE:
            if not self._doubtful:
                self._differs(key, "its entry is malformed")
            return
        before = _position(value) < self.limit
        if before and not self._doubtful:
            self._sum += hash(key + value)
        if before == self._doubtful:
            self._follow(key, value)

    def _follow(self, key: bytes, value: bytes) -> None:
        place = Place.unpack(value)
        is_lost = self._is_lost(place)
        if not is_lost and self._leads_to(key, place):
            return
        self._index.renew()
        if self._index.get(key) != value:
            # The server has stored it anew since.
            return
        if is_lost:
            lost = Listed(key[:20], key[20], place.offset, place.stored, place.size)
            self.lost.setdefault(place.arena, []).append(lost)
        else:
            self._differs(key, f"the index leads to arena {place.arena} offset {place.offset}, where it is not")

    def _leads_to(self, key: bytes, place: Place) -> bool:
        file = self._file(place.arena)
        if file is None or place.offset >= file.size():
            return False
        try:
            clump = unpack_header(file.read(HEADER, place.offset))
        except (BadClump, OSError):
            return False
        found = (clump.score + bytes((clump.type,)), clump.stored, clump.size, clump.digest[:16])
        return found == (key, place.stored, place.size, place.check)

    def _file(self, number: int) -> ArenaFile | None:
        if number not in self._files:
            try:
                file = self._folder.open(arena_name(number), writable=False)
            except OSError:
                return None
            if len(self._files) >= MOST_FILES:
                self._files.pop(next(iter(self._files))).close()
            self._files[number] = file
        return self._files[number]

    def _is_lost(self, place: Place) -> bool:
        """Whether a block may well have been there, and damage to its arena is why it is not."""
        if Position(place.arena, place.offset) >= self.limit or place.offset < START:
            return False
        if place.arena not in self._gaps:
            return True
        return any(gap.start <= place.offset < gap.end for gap in self._gaps[place.arena])


def _type(key: bytes) -> BlockType | None:
    try:
        return BlockType.from_wire(key[20])
    except (BadBlockType, IndexError):
        return None


def _position(value: bytes) -> Position:
    place = Place.unpack(value)
    return Position(place.arena, place.offset)
