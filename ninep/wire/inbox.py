"""The way in of a connection: what the peer has sent, as soon as there is anything.

A socket is waited for first and read then: most often nothing is there when a connection has answered all it got, and
finding that out by reading costs a system call and an exception for each request at depth one.
"""

from __future__ import annotations

import os

import trio


class Inbox:
    """Bytes from ``stream``. Only one task may receive at a time."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._socket = stream.socket if isinstance(stream, trio.SocketStream) else None

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
                return os.read(self._socket.fileno(), most)
            except (BlockingIOError, InterruptedError):
                continue
