"""Finds blocks in a local file, so that they need not be fetched from the archive. Source: vac(1), ``unvac -d``."""

from __future__ import annotations

import os

import trio

from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.stores.interface import Pending, PipelinedStore


class SeededStore:
    """A ``BlockStore`` in front of another that takes leaves from a local file where that has the same.

    Every block that comes from the file is checked against its score, so a file that changes meanwhile does no harm.
    """

    def __init__(self, store: PipelinedStore, descriptor: int, places: dict[Score, int], dsize: int) -> None:
        """``descriptor`` stays the caller's to close; ``places`` is what ``leaves_of`` found in it."""
        self._store = store
        self._descriptor = descriptor
        self._places = places
        self._dsize = dsize

    def read_nowait(self, score: Score, type: BlockType, limit: int) -> bytes:
        """The block if the file has it; see ``ImmediateStore``."""
        place = self._places.get(score)
        if place is None or type.wire != BlockType.DATA.wire:
            raise trio.WouldBlock
        data = os.pread(self._descriptor, self._dsize, place).rstrip(b"\0")
        if len(data) > limit or Score.of(data) != score:
            raise trio.WouldBlock
        return data

    async def write(self, type: BlockType, data: Buffer) -> Score:
        """See ``BlockStore``."""
        return await self._store.write(type, data)

    async def sync(self) -> None:
        """See ``BlockStore``."""
        await self._store.sync()

    async def aclose(self) -> None:
        """Nothing here is closed: file and store belong to others."""

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``."""
        return await self._store.read(score, type, limit)

    def begin_read(self, score: Score, type: BlockType, limit: int) -> Pending[bytes]:
        """See ``PipelinedStore``."""
        return self._store.begin_read(score, type, limit)


def leaves_of(descriptor: int, dsize: int) -> dict[Score, int]:
    """Where in a file which leaf of ``dsize`` bytes is. Blocks, and reads all of the file."""
    places: dict[Score, int] = {}
    offset = 0
    while data := os.pread(descriptor, dsize, offset):
        places[Score.of(data.rstrip(b"\0"))] = offset
        offset += dsize
    return places
