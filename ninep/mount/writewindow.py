"""Writes an open file with many messages in flight: like a disk cache, it answers when a write has been sent.

What goes wrong is told to the next write, or to who asks whether all is well: ``fsync`` and ``close``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from ninep.client.remote import RemoteFile
from ninep.net.errors import ConnectionLost, WireError
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError, InputOutput
from ninep.wire.client import Call

WINDOW = 8 * 1024 * 1024
"""Most bytes that have been sent and not been answered."""


class WriteWindow:
    """The writes of one open file."""

    def __init__(self, file: RemoteFile, again: Callable[[], Awaitable[None]]) -> None:
        """``again`` is asked for another connection when one broke: it returns after ``renew``, or raises."""
        self._file = file
        self._again = again
        self._calls: deque[tuple[int, memoryview, Call[Any]]] = deque()
        self._size = 0
        self._lock = trio.Lock()
        self._failure: Exception | None = None

    @property
    def pending(self) -> bool:
        """Whether something has not been answered, or has failed and nobody was told."""
        return bool(self._calls) or self._failure is not None or self._lock.locked()

    async def write(self, offset: int, data: bytes) -> None:
        """Sends ``data``. Raises what an earlier write failed with."""
        self._complain()
        view, unit = memoryview(data), self._file.iounit
        begin, fid = self._file.connection.client.begin, self._file.fid
        for at in range(0, len(view), unit):
            part = view[at : at + unit]
            self._calls.append((offset + at, part, begin(m.Twrite(fid, offset + at, part))))
            self._size += len(part)
        self._file.connection.client.send_soon()
        if self._size > WINDOW:
            await self._answered(WINDOW // 2)
            self._complain()

    async def settle(self) -> None:
        """Returns when all has been answered. Raises what a write failed with, once."""
        await self._answered(0)
        self._complain()

    async def _answered(self, size: int) -> None:
        async with self._lock:
            while self._calls and self._size > size:
                offset, part, call = self._calls[0]
                try:
                    taken = (await self._file.connection.client.wait(call)).count
                    while taken < len(part):
                        more = await self._file.write(offset + taken, part[taken:])
                        if not more:
                            raise InputOutput(f"short write: the server takes {taken} of {len(part)} bytes")
                        taken += more
                except ConnectionLost as error:
                    try:
                        await self._again()
                    except (FileError, WireError):
                        self._failure = self._failure or error
                    else:
                        continue
                except (FileError, WireError) as error:
                    self._failure = self._failure or error
                self._calls.popleft()
                self._size -= len(part)

    def renew(self, file: RemoteFile) -> None:
        """Goes on with the same file on another connection: what was not answered is written again."""
        begin, unit = file.connection.client.begin, file.iounit
        calls: deque[tuple[int, memoryview, Call[Any]]] = deque()
        for offset, part, _ in self._calls:
            for at in range(0, len(part), unit):
                piece = part[at : at + unit]
                calls.append((offset + at, piece, begin(m.Twrite(file.fid, offset + at, piece))))
        file.connection.client.send_soon()
        self._file, self._calls = file, calls

    def _complain(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
