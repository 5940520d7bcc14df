"""The receiving side of a connection: it gives what the peer has sent as soon as there is anything.

A socket is waited for first and read then: most often nothing is there when a connection has answered all it got, and
finding that out by reading costs a system call and an exception for each request at depth one. How much is asked for
follows what came last: memory for a large read is mapped and given back each time, which costs a small request more
than all the rest of it.
"""

from __future__ import annotations

import os

import trio

from ninep.wire.busypoll import watch

SMALL = 64 * 1024
"""Bytes asked for as long as less than that comes: allocators have so much at hand."""


class Inbox:
    """Bytes from ``stream``. Only one task may receive at a time."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._socket = stream.socket if isinstance(stream, trio.SocketStream) else None
        self._bulk = False
        self._busy = watch(stream)

    async def receive(self, most: int, *, look: bool = False) -> bytes:
        """Up to ``most`` bytes, at least one unless the peer has closed its side. A cancelled call has lost nothing.

        With ``look``, where the program asked for busy polling, it may return what came meanwhile without a checkpoint:
        for callers who know that nobody waits for them.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError, OSError: the link is over.
        """
        if self._socket is None:
            data = await self._stream.receive_some(most)
            return data if type(data) is bytes else bytes(data)
        while True:
            if not look or self._busy is None or not self._busy.look(self._socket.fileno()):
                await trio.lowlevel.wait_readable(self._socket)
            try:
                return self._take(self._socket, most)
            except (BlockingIOError, InterruptedError):
                continue

    def receive_nowait(self, most: int) -> bytes | None:
        """What has come, at once. None: nothing, or one has to wait to know. Raises OSError: the link is over."""
        if self._socket is None:
            return None
        try:
            return self._take(self._socket, most)
        except (BlockingIOError, InterruptedError):
            return None

    def look(self, most: int) -> bytes | None:
        """What comes within the moment that this program looks before it sleeps. None: wait for it with ``receive``.

        Another task may be waiting in ``receive``; it does not notice.
        """
        if self._busy is None or self._socket is None or not self._busy.look(self._socket.fileno()):
            return None
        try:
            # The end of the stream is left to who receives, and so is its breaking.
            return self._take(self._socket, most) or None
        except OSError:
            return None

    def _take(self, source: trio.socket.SocketType, most: int) -> bytes:
        data = os.read(source.fileno(), most if self._bulk else min(most, SMALL))
        self._bulk = len(data) >= SMALL
        return data
