"""Reading and writing a remote file with many messages in flight.

A message holds up to ``iounit`` bytes; the window holds as many messages as ``WINDOW`` bytes take, at most
``DEEPEST``. No task is needed for that: requests are begun, and the oldest is waited for.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Any, Protocol

import trio

from ninep.net.errors import ConnectionLost, Malformed
from ninep.protocol import messages as m
from ninep.protocol.errors import FileTooBig, InputOutput
from ninep.wire.client import Call, Client
from ninep.wire.dialect import Buffer

WINDOW = 4 * 1024 * 1024
"""Bytes of data asked for or sent ahead."""
DEEPEST = 64
"""Most messages in flight for one file."""
PATIENCE = 5.0
"""Seconds that an interrupted write waits to be done with a buffer that its owner may change."""
ENDLESS = 1 << 64
"""Beyond any offset."""


class Asked(Protocol):
    """What is needed of a connection here."""

    @property
    def client(self) -> Client[Any, Any]: ...


class Opened(Protocol):
    """What is needed of a file here: see ``RemoteFile``."""

    @property
    def connection(self) -> Asked: ...
    @property
    def fid(self) -> int: ...
    @property
    def iounit(self) -> int: ...
    async def write(self, offset: int, data: Buffer) -> int: ...


class Reading:
    """The bytes of an open file from a place on, as views of what was received, by ``async for``.

    Nothing need be known of the file: the window opens as whole messages come. Where its length is known, ``length``,
    everything up to there is asked for at once, together with one message more that tells whether it has grown.
    What was asked in vain is dropped when it comes. Cancelled or left early, nothing has to be cleaned up.
    """

    def __init__(self, file: Opened, offset: int, count: int | None, length: int) -> None:
        self._client = file.connection.client
        self._fid = file.fid
        self._unit = file.iounit
        self._most = max(1, min(DEEPEST, WINDOW // file.iounit))
        self._known = length
        self._ask = offset
        self._end = ENDLESS if count is None else min(offset + count, ENDLESS)
        self._window = self._most if length > offset else 1
        self._calls: deque[tuple[int, int, Call[Any]]] = deque()
        self._done = False

    def __aiter__(self) -> Reading:
        return self

    async def __anext__(self) -> memoryview:
        """The next bytes, never empty."""
        calls = self._calls
        if not self._done:
            self._fill()
        if not calls:
            raise StopAsyncIteration
        offset, size, call = calls.popleft()
        try:
            data = memoryview((await self._client.wait(call)).data)
        except BaseException:
            self._stop()
            raise
        if len(data) > size:
            self._stop()
            raise Malformed(f"{len(data)} bytes where {size} were asked for")
        if not data:
            self._stop()
            raise StopAsyncIteration
        if len(data) < size:
            # A short read says nothing about the end, only that what follows was asked for at the wrong place.
            # Who answers with less than is asked for is asked for one message at a time.
            calls.clear()
            self._ask = offset + len(data)
            self._window = 1
            self._known = 0
        elif offset >= self._known:
            self._known = 0
            self._window = min(self._window * 2, self._most)
        return data

    def _fill(self) -> None:
        calls, begin, fid = self._calls, self._client.begin, self._fid
        while len(calls) < self._window and self._ask < self._end:
            size = min(self._unit, self._end - self._ask)
            if self._ask < self._known:
                size = min(size, self._known - self._ask)
            elif self._known and calls and calls[-1][0] >= self._known:
                return
            calls.append((self._ask, size, begin(m.Tread(fid, self._ask, size))))
            self._ask += size

    def _stop(self) -> None:
        self._done = True
        self._calls.clear()


class Writing:
    """A sink for the bytes of an open file from a place on; at the end of the context all have been answered.

    Buffers given to ``write`` must stay as they are until then. Where a message is refused the next call raises, and
    which of the bytes have been written is unknown.
    """

    def __init__(self, file: Opened, offset: int) -> None:
        self._file = file
        self._client = file.connection.client
        self._unit = file.iounit
        self._most = max(1, min(DEEPEST, WINDOW // file.iounit))
        self._calls: deque[tuple[int, memoryview, Call[Any]]] = deque()
        self.offset = offset
        """Where the next bytes go."""

    @property
    def answered(self) -> int:
        """Up to here all bytes are written."""
        return self._calls[0][0] if self._calls else self.offset

    async def __aenter__(self) -> Writing:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._calls:
                await self._oldest()
        finally:
            if self._calls:
                await self._let_go()

    async def write(self, data: Buffer) -> None:
        """Sends all of ``data``; returns when so much has been answered that the window is open again."""
        view = memoryview(data).cast("B")
        if self.offset + len(view) > ENDLESS:
            raise FileTooBig
        begin, fid, unit, calls = self._client.begin, self._file.fid, self._unit, self._calls
        for at in range(0, len(view), unit):
            while len(calls) >= self._most:
                await self._oldest()
            part = view[at : at + unit]
            calls.append((self.offset, part, begin(m.Twrite(fid, self.offset, part))))
            self.offset += len(part)
        self._client.send_soon()

    async def _oldest(self) -> None:
        offset, part, call = self._calls[0]
        taken = (await self._client.wait(call)).count
        self._calls.popleft()
        if taken > len(part):
            raise Malformed(f"{taken} bytes written of {len(part)}")
        while taken < len(part):
            more = await self._file.write(offset + taken, part[taken:])
            if not more:
                raise InputOutput(f"short write: the server takes {taken} of {len(part)} bytes")
            taken += more

    async def _let_go(self) -> None:
        """Nobody waits for the answers any more; but a buffer that can change must not change before it is sent."""
        changeable = not all(part.readonly for _, part, _ in self._calls)
        self._calls.clear()
        if changeable:
            with trio.move_on_after(PATIENCE, shield=True):
                try:
                    await self._client.drain()
                except ConnectionLost:
                    pass
