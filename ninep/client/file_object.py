"""An open remote file with a position: read, write, seek, lines, like the binary files of Python's ``io``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Protocol, Self

from ninep.protocol import messages as m
from ninep.protocol.errors import BadFidUse, InvalidArgument
from ninep.protocol.stat import Stat
from ninep.wire.dialect import Buffer

MODES = {
    "r": m.OREAD,
    "w": m.OWRITE | m.OTRUNC,
    "a": m.OWRITE,
    "x": m.OWRITE,
    "r+": m.ORDWR,
    "w+": m.ORDWR | m.OTRUNC,
    "a+": m.ORDWR,
    "x+": m.ORDWR,
}
"""The open mode of each mode of ``open``; ``b`` may stand anywhere in it and changes nothing."""
PROBE = 64 * 1024
"""Bytes that are kept for the lines to come."""


class Sink(Protocol):
    """See ``RemoteFile.writing``."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    async def write(self, data: Buffer) -> None: ...


class PositionedIO(Protocol):
    """An open file that is read and written at places: a ``RemoteFile``, or a ``LastingFile``."""

    mode: int

    def reading(self, offset: int, *, length: int) -> AsyncIterator[memoryview]: ...
    def writing(self, offset: int) -> Sink: ...
    async def stat(self) -> Stat: ...
    async def wstat(self, changes: Stat) -> None: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_mode(mode: str) -> tuple[int, bool]:
    """The open mode for a mode of Python's ``open``, and whether every write starts at the end. Raises ValueError."""
    kind = mode.replace("b", "")
    if kind not in MODES:
        raise ValueError(f"{mode!r} is no mode to open a file with: say one of {', '.join(MODES)}")
    return MODES[kind], kind.startswith("a")


class FileObject:
    """Reads ahead and writes behind with many messages in flight. One call at a time.

    What was written is at the server after ``flush``, ``seek``, a read, or the end of the context. Cancelled, a write
    may have taken effect in part, and a read has none but that the place is not defined.
    """

    def __init__(
        self, file: PositionedIO, *, append: bool = False, length: int = 0, among: set[FileObject] | None = None
    ) -> None:
        """``append`` starts every write at the end; ``length``, if it is known, makes reading quicker.

        ``among`` are the open files that this one belongs to until it is closed.
        """
        self._among = among
        if among is not None:
            among.add(self)
        self._closed = False
        self.file = file
        self._append = append
        self._length = length
        self._place = 0
        self._reading: AsyncIterator[memoryview] | None = None
        self._rest = memoryview(b"")
        self._sink: Sink | None = None

    async def __aenter__(self) -> FileObject:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose(kind)

    async def aclose(self, failed: type[BaseException] | None = None) -> None:
        """Writes what is under way and gives the fid up. Raises what went wrong with it; harmless the second time."""
        if self._closed:
            return
        self._closed = True
        if self._among is not None:
            self._among.discard(self)
        try:
            if failed is None:
                await self._written()
            self._sink = None
        finally:
            await self.file.__aexit__(failed, None, None)

    def tell(self) -> int:
        """The place, in bytes from the start."""
        return self._place

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a place; returns it.

        Raises:
            InvalidArgument: it is before the start.
        """
        self._check()
        await self._written()
        if whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
            raise ValueError(f"{whence!r} is no place to seek from: say os.SEEK_SET, SEEK_CUR or SEEK_END")
        if whence == os.SEEK_CUR:
            offset += self._place
        elif whence == os.SEEK_END:
            offset += (await self.file.stat()).length
        if offset < 0:
            raise InvalidArgument
        if offset != self._place:
            self._forget()
            self._place = offset
        return offset

    async def read(self, size: int = -1) -> bytes:
        """``size`` bytes, or all to the end; fewer only at the end of the file."""
        pieces = []
        while size and (piece := await self._some(size)):
            pieces.append(piece)
            size -= len(piece) if size > 0 else 0
        return b"".join(pieces)

    async def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fills the buffer; returns how many bytes, fewer only at the end of the file."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and (piece := await self._some(len(view) - done)):
            view[done : done + len(piece)] = piece
            done += len(piece)
        return done

    async def readline(self, limit: int = -1) -> bytes:
        """One line with its newline, at most ``limit`` bytes; empty at the end."""
        pieces = []
        while limit and (piece := await self._some(limit if limit >= 0 else PROBE)):
            data = bytes(piece)
            end = data.find(b"\n") + 1
            if end:
                self._rest = memoryview(b"".join((data[end:], self._rest)))
                self._place -= len(data) - end
                pieces.append(data[:end])
                break
            pieces.append(data)
            limit -= len(data) if limit > 0 else 0
        return b"".join(pieces)

    def __aiter__(self) -> FileObject:
        return self

    async def __anext__(self) -> bytes:
        """The next line."""
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    async def write(self, data: Buffer) -> int:
        """Writes all of ``data`` at the place; returns its length. It must not change before ``flush``."""
        self._check()
        size = memoryview(data).nbytes
        if self.file.mode & 3 in (m.OREAD, m.OEXEC):
            raise BadFidUse
        if self._append:
            await self._written()
            self._place = (await self.file.stat()).length
        if self._sink is None:
            self._forget()
            self._sink = await self.file.writing(self._place).__aenter__()
        await self._sink.write(data)
        self._place += size
        return size

    async def flush(self) -> None:
        """Returns when the server has answered for everything written. Raises what one of them was refused with."""
        self._check()
        await self._written()

    async def truncate(self, size: int | None = None) -> int:
        """Cuts or extends the file, by default to the place; returns the size."""
        self._check()
        await self._written()
        self._forget()
        size = self._place if size is None else size
        await self.file.wstat(Stat(length=size))
        return size

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the file is closed")

    async def _some(self, most: int) -> memoryview:
        self._check()
        await self._written()
        if not self._rest:
            if self._reading is None:
                self._reading = self.file.reading(self._place, length=self._length)
            try:
                self._rest = await self._reading.__anext__()
            except StopAsyncIteration:
                # A file may grow.
                self._reading = None
                return memoryview(b"")
            except BaseException:
                self._reading = None
                raise
        piece = self._rest if most < 0 else self._rest[:most]
        self._rest = self._rest[len(piece) :]
        self._place += len(piece)
        return piece

    async def _written(self) -> None:
        if self._sink is not None:
            sink, self._sink = self._sink, None
            await sink.__aexit__(None, None, None)

    def _forget(self) -> None:
        self._reading = None
        self._rest = memoryview(b"")
