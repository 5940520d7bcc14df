"""A client of the server in the server itself, for the command ``9p`` of the console. Source: fossilcons(8)."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from fossil.errors import ConsoleRefused
from ninep.protocol import messages as m
from ninep.protocol.dialect import NinePDialect
from ninep.wire.dialect import Buffer

MSIZE = 65536
"""The largest message that may be agreed on: an answer is to be read by people."""
HEAD = 4


class OwnClient:
    """One conversation, shared by all consoles, that begins with the first message and anew when it has ended."""

    def __init__(self, converse: Callable[[trio.abc.Stream], Awaitable[None]], nursery: trio.Nursery) -> None:
        """``converse`` serves a client; it runs in ``nursery``."""
        self._converse = converse
        self._nursery = nursery
        self._stream: trio.SocketStream | None = None
        self._turn = trio.Lock()
        self._tag = 0

    def next_tag(self, tag: int) -> None:
        """The next message has this tag."""
        self._tag = tag - 1

    async def ask(self, request: m.Request) -> tuple[int, Any]:
        """Sends a message; returns its tag, and the reply.

        Raises:
            ConsoleRefused: it cannot be sent, or the server ended the conversation.
        """
        async with self._turn:
            if self._stream is None:
                self._begin()
            stream, dialect = self._stream, self._dialect
            assert stream is not None
            if isinstance(request, m.Tversion):
                if request.msize > MSIZE:
                    raise ConsoleRefused(f"msize too big: at most {MSIZE} here")
                tag = m.NOTAG
            else:
                tag = self._tag = (self._tag + 1) % m.NOTAG
            out: list[Buffer] = []
            try:
                dialect.encode(tag, request, out)
            except ValueError as error:
                raise ConsoleRefused(f"9p: {error}") from error
            try:
                await stream.send_all(b"".join(out))
                reply = dialect.decode_reply(memoryview(await self._frame(stream)))[1]
            except (trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
                self._stream = None
                raise ConsoleRefused("9p: the server ended the conversation; the next message begins another") from None
            if isinstance(reply, m.Rversion) and reply.version == m.VERSION:
                dialect.agree(reply.version, reply.msize)
            return tag, reply

    def _begin(self) -> None:
        near, far = map(trio.socket.from_stdlib_socket, socket.socketpair())
        self._stream = trio.SocketStream(near)
        self._nursery.start_soon(self._serve, self._stream, trio.SocketStream(far))
        self._dialect = NinePDialect()

    async def _serve(self, near: trio.SocketStream, far: trio.SocketStream) -> None:
        async with near:
            await self._converse(far)

    async def _frame(self, stream: trio.SocketStream) -> bytes:
        data = b""
        while len(data) < HEAD or len(data) < int.from_bytes(data[:HEAD], "little"):
            more = await stream.receive_some()
            if not more:
                raise EOFError
            data += more
        return data[HEAD:]
