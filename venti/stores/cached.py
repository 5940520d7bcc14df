"""A store that keeps recently used blocks in memory. Blocks never change, so the cache is never stale."""

from __future__ import annotations

from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import ReadTooSmall
from venti.blocks.score import ZERO_SCORE, Score
from venti.stores.interface import BlockStore

EACH = 200
"""Bytes that a block costs in memory beside its own, about."""


class CachedStore:
    """A ``BlockStore`` in front of ``store``; at most ``size`` bytes of blocks are kept, the least used leave first.

    Attributes:
        hits: reads that were answered from memory.
        misses: reads that were not.
    """

    def __init__(self, store: BlockStore, *, size: int) -> None:
        self.hits = self.misses = 0
        self._store = store
        self._room = size
        self._blocks: dict[tuple[Score, int], bytes] = {}

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``. Two readers of one block that is not there yet both ask for it."""
        key = (score, type.wire)
        data = self._blocks.pop(key, None)
        if data is None:
            self.misses += 1
            data = await self._store.read(score, type, limit)
            self._keep(key, data)
            return data
        self.hits += 1
        self._blocks[key] = data
        if len(data) > limit:
            raise ReadTooSmall(limit, len(data))
        return data

    async def write(self, type: BlockType, data: Buffer) -> Score:
        """See ``BlockStore``. The block goes to the store in any case: only it can say that it is kept."""
        block = bytes(data)
        score = await self._store.write(type, block)
        self._keep((score, type.wire), block)
        return score

    def _keep(self, key: tuple[Score, int], data: bytes) -> None:
        if key[0] == ZERO_SCORE or key in self._blocks:
            return
        self._blocks[key] = data
        self._room -= len(data) + EACH
        while self._room < 0:
            self._room += len(self._blocks.pop(next(iter(self._blocks)))) + EACH

    async def sync(self) -> None:
        """See ``BlockStore``."""
        await self._store.sync()

    async def aclose(self) -> None:
        """See ``BlockStore``; closes the store behind, too."""
        self._blocks.clear()
        await self._store.aclose()
