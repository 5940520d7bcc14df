"""A 9P server that does only what a test says: requests are taken and answered one by one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import trio
import trio.testing

from ninep.client.connection import Connection
from ninep.client.remote import RemoteFile
from ninep.protocol import messages as m
from ninep.protocol.dialect import NinePDialect
from ninep.protocol.qid import QTDIR, Qid
from ninep.wire.frames import FrameBuffer

ROOT = Qid(QTDIR, 0, 1)


class Peer:
    """The far end of a connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._dialect = NinePDialect()
        self._buffer = FrameBuffer(self._dialect.format, 1 << 20)
        self._frames: list[memoryview] = []

    async def take(self) -> tuple[int, Any]:
        while not self._frames:
            self._buffer.feed(bytes(await self._stream.receive_some(65536)))
            self._frames = self._buffer.frames()
        return self._dialect.decode_request(self._frames.pop(0))

    async def answer(self, tag: int, reply: m.Reply) -> None:
        pieces: list[Any] = []
        self._dialect.encode(tag, reply, pieces)
        await self._stream.send_all(b"".join(pieces))

    async def hang_up(self) -> None:
        """Ends the connection after the next request, without an answer."""
        await self.take()
        await self._stream.aclose()

    async def expect(self, kind: type, reply: m.Reply) -> Any:
        """Takes a request of this kind and answers it."""
        tag, request = await self.take()
        assert type(request) is kind, request
        await self.answer(tag, reply)
        return request


@contextlib.asynccontextmanager
async def scripted(msize: int = 8216) -> AsyncIterator[tuple[RemoteFile, Peer]]:
    """An attached root and the peer that serves it, past version and attach."""
    near, far = trio.testing.memory_stream_pair()
    peer = Peer(far)
    connection = Connection(near, msize=msize)
    async with trio.open_nursery() as nursery:
        await nursery.start(connection.run)
        async with trio.open_nursery() as talk:
            talk.start_soon(peer.expect, m.Tversion, m.Rversion(msize, "9P2000"))
            await connection.negotiate()
        async with trio.open_nursery() as talk:
            talk.start_soon(peer.expect, m.Tattach, m.Rattach(ROOT))
            root = await connection.attach("glenda")
        yield root, peer
        nursery.cancel_scope.cancel()
