"""The way in of a connection: what the peer has sent, as soon as there is anything.

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
        if self._socket is not None:
            watch(self._socket.fileno())

    async def receive(self, most: int) -> bytes:
        """Up to ``most`` bytes, at least one unless the peer has closed its side. A cancelled call has lost nothing.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError, OSError: the link is over.
        """
        if self._socket is None:
            data = await self._stream.receive_some(most)
            return data if type(data) is bytes else bytes(data)
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                data = os.read(self._socket.fileno(), most if self._bulk else min(most, SMALL))
            except (BlockingIOError, InterruptedError):
                continue
            self._bulk = len(data) >= SMALL
            return data
