"""A venti in memory that goes away and comes back, forgets what was not synced, and counts what it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ninep.net.errors import ConnectionLost, Unreachable
from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.stores.interface import BlockStore
from venti.stores.memory import MemoryStore


class FlakyVenti:
    """Its method ``connect`` is what a file system opens; ``store`` has the blocks that are safe.

    Attributes:
        away: whether nobody answers.
        mute_after: writes until who is connected then hears nothing any more, not even that the connection is lost.
        fail_after: writes until it goes away, or None.
        written: how many blocks were written to it.
        dialled: how often it was connected to.
    """

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.away = False
        self.fail_after: int | None = None
        self.mute_after: int | None = None
        self.written = 0
        self.reads = 0
        self.dialled = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[BlockStore]:
        if self.away:
            raise Unreachable("nobody answers at tcp!127.0.0.1!17034")
        self.dialled += 1
        connection = _Connection(self)
        try:
            yield connection
        finally:
            connection.closed.set()


class _Connection:
    def __init__(self, venti: FlakyVenti) -> None:
        self._venti = venti
        self._unsynced: list[tuple[BlockType, bytes]] = []
        self._mute = False
        self.closed = trio.Event()

    async def _hear(self) -> None:
        if self._mute:
            await self.closed.wait()
            raise ConnectionLost("connection closed")

    async def ping(self) -> None:
        self._check()
        await self._hear()

    def _check(self) -> None:
        if self._venti.away:
            raise ConnectionLost("the connection to venti was lost")

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        self._check()
        await self._hear()
        self._venti.reads += 1
        return await self._venti.store.read(score, type, limit)

    async def write(self, type: BlockType, data: Buffer) -> Score:
        venti = self._venti
        self._check()
        if venti.fail_after is not None:
            venti.fail_after -= 1
            if venti.fail_after < 0:
                venti.fail_after, venti.away = None, True
                self._check()
        if venti.mute_after is not None:
            venti.mute_after -= 1
            if venti.mute_after < 0:
                venti.mute_after, self._mute = None, True
        await self._hear()
        venti.written += 1
        self._unsynced.append((type, bytes(data)))
        return Score.of(data)

    async def sync(self) -> None:
        self._check()
        await self._hear()
        for type, data in self._unsynced:
            self._venti.store.write_nowait(type, data)
        self._unsynced.clear()

    async def aclose(self) -> None:
        if not self._venti.away and not self._mute:
            await self.sync()
