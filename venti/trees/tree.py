"""Hash trees: streams of any length, cut into leaves, named by the score at the top. Source: venti(6), venti-file(3).

Leaves of ``dsize`` bytes; their scores packed into pointer blocks of ``psize`` bytes; those blocks' scores packed
again, until one is left. A subtree of zeros is the zero score and is never written or read. Everything is over a
``BlockStore``; put ``write_behind`` before a store that is far away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ninep.wire.dialect import Buffer
from venti.blocks.blocksize import LARGEST
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import DamagedArchive, ReadTooSmall
from venti.blocks.score import SIZE as SCORE_SIZE
from venti.blocks.score import ZERO_SCORE, Score
from venti.stores.fetch import WINDOW, fetch
from venti.stores.interface import BlockStore
from venti.trees import geometry
from venti.trees.entry import ACTIVE, MAX_SIZE, Entry
from venti.trees.truncate import truncate

DSIZE: Final = 8192
"""Bytes of a leaf unless one says otherwise, as in all the originals."""

_NO_SCORE: Final = bytes(SCORE_SIZE)
_POINTER_BLOCKS: Final = 64


class TreeReader:
    """Reads one tree at any offset; holes cost nothing. Keeps the pointer blocks it used last.

    May be used by several tasks at once.
    """

    def __init__(self, store: BlockStore, entry: Entry, *, window: int = WINDOW) -> None:
        """At most ``window`` blocks are asked for at a time.

        Raises:
            DamagedArchive: the entry is not in use, or its depth is too small for its size.
        """
        if not entry.active:
            raise DamagedArchive("the entry of a tree is not in use")
        needed = geometry.depth(entry.size, entry.psize, entry.dsize)
        if needed > entry.depth:
            raise DamagedArchive(f"bad depth {entry.depth}: {entry.size} bytes need {needed}")
        self.entry = entry
        self._store = store
        self._window = window
        self._arity = geometry.arity(entry.psize)
        self._pointers: dict[tuple[int, int], bytes] = {}

    @property
    def size(self) -> int:
        """Bytes of the tree."""
        return self.entry.size

    async def read(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``offset`` on; fewer only at the end. All of it is in memory at once.

        Raises:
            DamagedArchive: a block is larger than the entry says.
            BlockNotFound, DamagedBlock: and what else the store raises.
        """
        end = min(offset + count, self.entry.size)
        if offset >= end:
            return b""
        dsize = self.entry.dsize
        first, last = offset // dsize, (end - 1) // dsize
        blocks = await self.leaves(range(first, last + 1))
        if first == last:
            low, high = offset - first * dsize, end - first * dsize
            return blocks[0][low:high].ljust(high - low, b"\0")
        blocks[0] = blocks[0][offset - first * dsize :].ljust((first + 1) * dsize - offset, b"\0")
        for index in range(1, len(blocks) - 1):
            if len(blocks[index]) < dsize:
                blocks[index] = blocks[index].ljust(dsize, b"\0")
        tail = end - last * dsize
        blocks[-1] = blocks[-1][:tail].ljust(tail, b"\0")
        return b"".join(blocks)

    async def leaves(self, numbers: Sequence[int]) -> list[bytes]:
        """Whole leaves as they are stored, without the zeros at their ends; ``numbers`` must be rising.

        Raises:
            DamagedArchive, BlockNotFound, DamagedBlock: as ``read``.
        """
        scores: list[Score] = []
        start = 0
        for index, number in enumerate(numbers):
            if index + 1 == len(numbers) or numbers[index + 1] != number + 1:
                scores += await self.scores(0, numbers[start], number)
                start = index + 1
        return await self._fetch(0, scores)

    async def next_data(self, offset: int) -> int:
        """The first offset from ``offset`` on that is not in a hole, or the size; finds the end of any hole quickly."""
        entry, arity = self.entry, self._arity
        leaf = offset // entry.dsize
        end = geometry.leaves(entry.size, entry.dsize)
        while leaf < end:
            level, score = entry.depth, entry.score
            while level and score != ZERO_SCORE:
                block = (await self._pointer_blocks(level, leaf // arity**level, leaf // arity**level))[0]
                level -= 1
                score = _slot(block, leaf // arity**level % arity)
            if score != ZERO_SCORE:
                return max(offset, leaf * entry.dsize)
            span = arity**level
            leaf = (leaf // span + 1) * span
        return entry.size

    async def scores(self, level: int, first: int, last: int) -> list[Score]:
        """Scores of subtrees ``first`` to ``last`` of those that are ``level`` levels high; 0 is the leaves."""
        if level == self.entry.depth:
            return [self.entry.score if self.entry.score != _NO_SCORE else ZERO_SCORE]
        arity = self._arity
        low = first // arity
        found = []
        for number, block in enumerate(await self._pointer_blocks(level + 1, low, last // arity), low):
            base = number * arity
            found += [_slot(block, i) for i in range(max(first - base, 0), min(last - base, arity - 1) + 1)]
        return found

    async def _pointer_blocks(self, level: int, first: int, last: int) -> list[bytes]:
        kept = self._pointers
        keys = [(level, index) for index in range(first, last + 1)]
        found = [kept.pop(key, None) for key in keys]
        blocks = [block for block in found if block is not None]
        if len(blocks) < len(keys):
            blocks = await self._fetch(level, await self.scores(level, first, last))
        for key, block in zip(keys[-_POINTER_BLOCKS:], blocks[-_POINTER_BLOCKS:], strict=True):
            kept[key] = block
        while len(kept) > _POINTER_BLOCKS:
            del kept[next(iter(kept))]
        return blocks

    async def _fetch(self, level: int, scores: list[Score]) -> list[bytes]:
        entry = self.entry
        type = BlockType(entry.type - entry.depth + level)
        limit = min(entry.psize if level else entry.dsize, LARGEST)
        try:
            return await fetch(self._store, [(score, type, limit) for score in scores], window=self._window)
        except ReadTooSmall as error:
            raise DamagedArchive(f"a block of {error.size} bytes stands where at most {limit} can be") from error


def _slot(block: bytes, index: int) -> Score:
    score = block[SCORE_SIZE * index : SCORE_SIZE * (index + 1)]
    if len(score) < SCORE_SIZE or score == _NO_SCORE:
        return ZERO_SCORE
    return Score(score)


class TreeWriter:
    """Builds one tree from its beginning to its end. Belongs to one task.

    Holds one leaf and one pointer block of each level. A cancelled or failed call leaves the writer unusable; the
    blocks written so far do no harm.
    """

    def __init__(
        self,
        store: BlockStore,
        *,
        dsize: int = DSIZE,
        psize: int | None = None,
        directory: bool = False,
    ) -> None:
        """``psize`` follows ``dsize`` unless it is given; ``directory`` makes the leaves blocks of entries."""
        self._store = store
        self._dsize = dsize
        self._psize = geometry.pointer_size(dsize) if psize is None else psize
        self._type = BlockType.DIR if directory else BlockType.DATA
        self._full = geometry.arity(self._psize) * SCORE_SIZE
        self._partial = bytearray()
        self._levels: list[bytearray] = []
        self._leaves = 0
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes appended so far."""
        return self._size

    async def write(self, data: Buffer) -> None:
        """Appends bytes; leaves of zeros become holes.

        Raises:
            ValueError: the tree grows beyond what an entry can describe.
        """
        view = memoryview(data)
        self._grow(len(view))
        dsize, partial = self._dsize, self._partial
        position = 0
        if partial:
            position = min(dsize - len(partial), len(view))
            partial += view[:position]
            if len(partial) < dsize:
                return
            await self._leaf(partial)
            self._partial = partial = bytearray()
        end = len(view) - (len(view) - position) % dsize
        while position < end:
            await self._leaf(view[position : position + dsize])
            position += dsize
        partial += view[end:]

    async def hole(self, count: int) -> None:
        """Appends ``count`` zeros at no cost, however many."""
        if self._partial:
            part = min(count, self._dsize - len(self._partial))
            await self.write(bytes(part))
            count -= part
            if not count:
                return
        whole, rest = divmod(count, self._dsize)
        self._grow(count)
        await self._run(whole, None)
        self._partial = bytearray(rest)

    def can_keep(self, old: Entry) -> bool:
        """Whether an older tree is cut as this one is, so that ``keep`` can take leaves of it."""
        return (old.dsize, old.psize, old.type & 8) == (self._dsize, self._psize, self._type)

    async def keep(self, old: TreeReader, count: int) -> None:
        """Appends ``count`` bytes that stand at this very offset of an older tree, by their scores.

        Reads and writes no leaf, and only pointer blocks at the edges. The offset is a multiple of the leaf size, and
        so is ``count``, unless this is the end of both trees.

        Raises:
            ValueError: the trees are cut differently, or the offset or count is none of those.
        """
        whole, rest = divmod(count, self._dsize)
        if not self.can_keep(old.entry):
            raise ValueError("only leaves of a tree that is cut in the same way can be kept")
        if self._partial or self._size + count > old.size or (rest and self._size + count < old.size):
            raise ValueError(f"{count} bytes from {self._size} on are no whole leaves of the older tree")
        self._grow(count)
        await self._run(whole + bool(rest), old)

    async def finish(self) -> Entry:
        """Writes what is left and returns the entry of the tree. The blocks are safe after the store's ``sync``."""
        if self._partial:
            await self._leaf(self._partial)
            self._partial = bytearray()
        levels = self._levels
        level = 0
        while level + 1 < len(levels) or (levels and len(levels[level]) > SCORE_SIZE):
            if levels[level]:
                await self._flush(level)
            level += 1
        score = Score(levels[level]) if levels else ZERO_SCORE
        return Entry(BlockType(self._type + level), self._size, score, self._psize, self._dsize, ACTIVE)

    def _grow(self, count: int) -> None:
        if self._leaves * self._dsize + len(self._partial) != self._size:
            raise ValueError("nothing can follow the kept end of a tree")
        size = self._size + count
        if size > MAX_SIZE or geometry.leaves(size, self._dsize) > geometry.MAX_LEAVES:
            raise ValueError(f"{size} bytes in leaves of {self._dsize} are more than an entry can describe")
        if geometry.depth(size, self._psize, self._dsize) > geometry.MAX_DEPTH:
            raise ValueError(f"{size} bytes need a deeper tree than an entry can describe: take larger blocks")
        self._size = size

    async def _leaf(self, data: Buffer) -> None:
        block = truncate(self._type, data)
        self._leaves += 1
        await self._append(0, await self._store.write(self._type, block) if len(block) else ZERO_SCORE)

    async def _append(self, level: int, score: Score) -> None:
        levels = self._levels
        while len(levels) <= level:
            levels.append(bytearray())
        levels[level] += score
        if len(levels[level]) == self._full:
            await self._flush(level)

    async def _flush(self, level: int) -> None:
        type = BlockType(self._type + level + 1)
        block = truncate(type, self._levels[level])
        score = await self._store.write(type, block) if len(block) else ZERO_SCORE
        self._levels[level] = bytearray()
        await self._append(level + 1, score)

    async def _run(self, count: int, old: TreeReader | None) -> None:
        """Appends ``count`` leaves that exist already, in the largest subtrees that fit; None is a hole."""
        arity = self._full // SCORE_SIZE
        highest = geometry.MAX_DEPTH if old is None else old.entry.depth
        while count:
            level, span = 0, 1
            while level < highest and self._leaves % (span * arity) == 0 and count >= span * arity:
                level, span = level + 1, span * arity
            score = ZERO_SCORE
            if old is not None:
                score = (await old.scores(level, self._leaves // span, self._leaves // span))[0]
            self._leaves += span
            count -= span
            await self._append(level, score)
