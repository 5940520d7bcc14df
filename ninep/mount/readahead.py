"""Reads an open file for many readers at once, and ahead of those that read from start to end."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import trio

from ninep.client.remote import RemoteFile
from ninep.net.errors import Malformed
from ninep.protocol import messages as m
from ninep.wire.client import Call

SEGMENT = 512 * 1024
"""Most bytes of one message."""
FARTHEST = 8
"""Most segments that are asked for ahead."""


class _Segment:
    """Some bytes that were asked for. Several readers may wait for them."""

    __slots__ = ("_call", "_data", "_lock", "offset", "size")

    def __init__(self, offset: int, size: int, call: Call[Any]) -> None:
        self.offset = offset
        self.size = size
        self._call = call
        self._data: memoryview | None = None
        self._lock = trio.Lock()

    async def data(self, file: RemoteFile) -> memoryview:
        async with self._lock:
            if self._data is None:
                data = memoryview((await file.connection.client.wait(self._call)).data)
                if len(data) > self.size:
                    raise Malformed(f"{len(data)} bytes where {self.size} were asked for")
                self._data = data
            return self._data


class ReadAhead:
    """The bytes of one open file. What was asked for ahead is forgotten by ``forget``, as after a write."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self._unit = min(file.iounit, SEGMENT)
        self._segments: OrderedDict[int, _Segment] = OrderedDict()
        self._next = 0
        self._window = 0

    def forget(self) -> None:
        """Nothing that was asked for before is used any more."""
        self._segments.clear()
        self._window = 0

    async def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes, fewer only where the file ends. Raises ``FileError`` and ``ConnectionLost``."""
        known = self._holding(offset)
        if known is None and offset != self._next:
            self._next = offset + size
            self._window = 0
            return await self._alone(offset, size)
        if offset + size > self._next:
            self._window = min(self._window * 2 or 1, FARTHEST) if offset else 0
            self._next = offset + size
        self._ask(offset, size)
        pieces: list[memoryview] = []
        at, end = offset, offset + size
        while at < end:
            segment = self._holding(at)
            if segment is None:
                # Forgotten meanwhile, or never asked for because the file ended before.
                pieces.append(memoryview(await self._alone(at, end - at)))
                break
            try:
                data = await segment.data(self._file)
            except BaseException:
                self.forget()
                raise
            piece = data[at - segment.offset : end - segment.offset]
            pieces.append(piece)
            at += len(piece)
            if len(data) < segment.size and at < end:
                # The end of the file, or only that of what the server gives at once: who asks again finds out.
                self.forget()
                if not piece:
                    break
        self._drop(offset)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    async def _alone(self, offset: int, size: int) -> bytes:
        if size <= self._file.iounit:
            data = await self._file.read(offset, size)
            if len(data) == size or not data:
                return bytes(data)
            rest = await self._file.read_range(offset + len(data), size - len(data))
            return bytes(data) + rest
        return await self._file.read_range(offset, size)

    def _holding(self, offset: int) -> _Segment | None:
        for segment in self._segments.values():
            if segment.offset <= offset < segment.offset + segment.size:
                return segment
        return None

    def _ask(self, offset: int, size: int) -> None:
        """Asks for what is wanted now and, as far as the window is open, for what follows."""
        segments, client, fid = self._segments, self._file.connection.client, self._file.fid
        at = next(reversed(segments.values())).offset + next(reversed(segments.values())).size if segments else offset
        end = offset + size
        ahead = end + self._window * self._unit
        while at < end or (self._window and at + self._unit <= ahead):
            part = min(self._unit, end - at) if not self._window and at < end else self._unit
            segments[at] = _Segment(at, part, client.begin(m.Tread(fid, at, part)))
            at += part
        client.send_soon()

    def _drop(self, offset: int) -> None:
        """Forgets what lies well before the reader. Readers that came out of order may want the last of it."""
        while self._segments:
            first = next(iter(self._segments.values()))
            if first.offset + first.size + self._unit > offset:
                return
            del self._segments[first.offset]
