"""A block store over a venti that may be unreachable for a while, with recently used blocks in memory."""

from __future__ import annotations

from collections import OrderedDict

from fossil.archive.vault import Vault
from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import ReadOnlyStore
from venti.blocks.score import Score

CACHE = 64 * 1024 * 1024
"""Bytes of blocks that are kept."""


class VaultStore:
    """Reads blocks from whatever a vault has open just then. A block never changes, so what is kept is never old."""

    def __init__(self, vault: Vault, *, cache: int = CACHE) -> None:
        self._vault = vault
        self._most = cache
        self._size = 0
        self._blocks: OrderedDict[tuple[Score, BlockType], bytes] = OrderedDict()

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``. Raises ``ArchiveAway`` besides: it will be tried anew at the next read."""
        key = score, type
        block = self._blocks.get(key)
        if block is not None and len(block) <= limit:
            self._blocks.move_to_end(key)
            return block
        async with self._vault.use() as store:
            block = await store.read(score, type, limit)
        if key not in self._blocks:
            self._size += len(block)
        self._blocks[key] = block
        while self._size > self._most:
            self._size -= len(self._blocks.popitem(last=False)[1])
        return block

    async def write(self, type: BlockType, data: Buffer) -> Score:
        """Refuses: this is for reading."""
        raise ReadOnlyStore

    async def sync(self) -> None:
        """Has nothing to do."""

    async def aclose(self) -> None:
        """Forgets the blocks; the vault is its owner's."""
        self._blocks.clear()
        self._size = 0
