"""Reads back a part of what was written before a sync counts, to catch stores that lose data.

A venti that was killed may have an index that names blocks which its log lost. It then acknowledges those blocks when
they are written again, since it believes that it has them, and cannot read them. Whoever is about to claim that a
tree is safe asks for its blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ninep.tasks import for_each
from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import LostBlock, VentiError
from venti.blocks.score import ZERO_SCORE, Score
from venti.stores.fetch import WINDOW
from venti.stores.interface import BlockStore

SAMPLES: Final = 16
"""Blocks of a batch that are read back when there is no reason for doubt."""

MOST: Final = 16384
"""Blocks that are remembered until a sync where all are read back."""

Written = tuple[Score, BlockType, int]
"""A block that was acknowledged: its score, its type and its size in bytes."""


async def read_back(store: BlockStore, written: Sequence[Written], *, window: int = WINDOW) -> None:
    """Reads every block; at most ``window`` reads are in flight.

    Raises:
        LostBlock: the store does not have one, or has it damaged.
        And what says that the store cannot be asked.
    """

    async def ask(index: int) -> None:
        score, type, size = written[index]
        try:
            found = await store.read(score, type, size)
        except LostBlock:
            raise
        except VentiError as error:
            raise LostBlock(score, type, str(error)) from error
        if len(found) != size:
            raise LostBlock(score, type, f"{len(found)} bytes came of {size}")

    await for_each(range(len(written)), ask, window)


class ReadBack:
    """A ``BlockStore`` before another one whose ``sync`` raises ``LostBlock`` unless what it covers can be read.

    Attributes:
        doubtful: whether every block is read back; otherwise a sample of each batch is.
    """

    def __init__(self, store: BlockStore, *, doubtful: bool) -> None:
        self.doubtful = doubtful
        self._store = store
        self._written: dict[tuple[Score, int], Written] = {}
        self._last: Written | None = None
        self._stride = 1
        self._count = 0

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``."""
        return await self._store.read(score, type, limit)

    async def write(self, type: BlockType, data: Buffer) -> Score:
        """See ``BlockStore``. Syncs where too many blocks would have to be remembered; may raise ``LostBlock``."""
        score = await self._store.write(type, data)
        if score != ZERO_SCORE:
            self._last = (score, type, len(data))
            self._count += 1
            if self.doubtful or self._count % self._stride == 0:
                await self._note(self._last)
        return score

    async def _note(self, block: Written) -> None:
        self._written[block[0], block[1].wire] = block
        if self.doubtful:
            if len(self._written) >= MOST:
                await self.sync()
        elif len(self._written) > 2 * SAMPLES:
            self._written = dict(list(self._written.items())[::2])
            self._stride *= 2

    async def sync(self) -> None:
        """See ``BlockStore``. Raises ``LostBlock``, too."""
        covered, last = dict(self._written), self._last
        await self._store.sync()
        # The last block is the one that leads to the others.
        await read_back(self._store, [*covered.values(), *([] if last is None else [last])])
        for key in covered:
            self._written.pop(key, None)
        self._stride = 1

    async def aclose(self) -> None:
        """Syncs. The store behind belongs to whoever opened it and stays open."""
        await self.sync()
