"""A store that fails when it is told to."""

from __future__ import annotations

from collections.abc import Callable

import trio

from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.stores.interface import BlockStore


class FaultyStore:
    """A ``BlockStore`` in front of ``store``. ``fault`` is asked before each call and raises what is to go wrong.

    Its arguments are the name of the method and the number of the call, from 1. Every call gives way to others.
    """

    def __init__(self, store: BlockStore, fault: Callable[[str, int], None] = lambda method, number: None) -> None:
        self.store = store
        self.fault = fault
        self.calls = 0

    async def _meet(self, method: str) -> None:
        await trio.lowlevel.checkpoint()
        self.calls += 1
        self.fault(method, self.calls)

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        await self._meet("read")
        return await self.store.read(score, type, limit)

    async def write(self, type: BlockType, data: Buffer) -> Score:
        await self._meet("write")
        return await self.store.write(type, data)

    async def sync(self) -> None:
        await self._meet("sync")
        await self.store.sync()

    async def aclose(self) -> None:
        await self.store.aclose()
