"""Blocks in memory: for tests, and for archives that need not last."""

from __future__ import annotations

from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, BlockTooLarge, ReadTooSmall, ScoreCollision
from venti.blocks.score import ZERO_SCORE, Score
from venti.protocol.messages import LARGEST_BLOCK


class MemoryStore:
    """An ``ImmediateStore`` that is gone when the process is."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[Score, int], bytes] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def read_nowait(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``ImmediateStore``."""
        if score == ZERO_SCORE:
            return b""
        data = self._blocks.get((score, type.wire))
        if data is None:
            raise BlockNotFound(score, type)
        if len(data) > limit:
            raise ReadTooSmall(limit, len(data))
        return data

    def write_nowait(self, type: BlockType, data: Buffer) -> Score:
        """See ``ImmediateStore``."""
        if len(data) > LARGEST_BLOCK:
            raise BlockTooLarge
        if not len(data):
            return ZERO_SCORE
        block = bytes(data)
        score = Score.of(block)
        if self._blocks.setdefault((score, type.wire), block) != block:
            raise ScoreCollision(score)
        return score

    def flush_nowait(self) -> None:
        """There is nothing to hand on."""

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``."""
        return self.read_nowait(score, type, limit)

    async def write(self, type: BlockType, data: Buffer) -> Score:
        """See ``BlockStore``."""
        return self.write_nowait(type, data)

    async def sync(self) -> None:
        """There is nothing to sync."""

    async def aclose(self) -> None:
        """There is nothing to close."""
