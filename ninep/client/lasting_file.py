"""An open file of a reconnecting tree: it is reopened on each new connection and continues.

It is the same file as before, by its qid; where another has its name by now, ``FileRemoved`` is raised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

import trio

from ninep.client.link import Link
from ninep.client.remote import RemoteFile
from ninep.client.remote_io import Reading, Writing
from ninep.client.tree import RemoteTree
from ninep.net.errors import ConnectionLost
from ninep.protocol import messages as m
from ninep.protocol.errors import FileRemoved, NotSupported
from ninep.protocol.qid import QTAPPEND, QTEXCL
from ninep.protocol.stat import Stat
from ninep.wire.dialect import Buffer

T = TypeVar("T")


class LastingFile:
    """The file at ``path``, open with ``mode``; the end of the context gives it up.

    Attributes:
        mode: the open mode.
    """

    def __init__(self, link: Link, path: str, mode: int) -> None:
        self.mode = mode
        self._link = link
        self._path = path
        self._tree: RemoteTree | None = None
        self._file: RemoteFile | None = None
        self._lock = trio.Lock()

    async def begin(self, opening: Callable[[RemoteTree], Awaitable[RemoteFile]], *, harmless: bool = True) -> None:
        """Opens it for the first time, by ``opening``, which is done again with the next connection if it is harmless.

        Raises:
            NotSupported: an exclusive-use file, which would be somebody else's as soon as the connection broke.
            ConnectionLost: the connection broke, and it must not be done again.
        """

        async def first(tree: RemoteTree) -> None:
            file = await opening(tree)
            if file.qid.type & QTEXCL:
                await file.leave()
                raise NotSupported("an exclusive-use file does not outlive its connection")
            self._tree, self._file = tree, file

        if harmless:
            await self._link.repeated(first)
        else:
            await first(await self._link.tree())

    async def __aenter__(self) -> LastingFile:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A link that broke meanwhile is no error: the fid is gone with it."""
        if self._file is not None and self._tree is not None and self._tree.connection.lost is None:
            await self._file.__aexit__(kind, error, trace)

    async def read(self, offset: int, count: int) -> bytes:
        """At most ``count`` bytes in one message; empty at the end."""
        return await self._done(lambda file: self._bytes(file, offset, count))

    async def _bytes(self, file: RemoteFile, offset: int, count: int) -> bytes:
        return bytes(await file.read(offset, count))

    async def read_range(self, offset: int, count: int) -> bytes:
        """``count`` bytes, fewer only where the file ends."""
        return await self._done(lambda file: file.read_range(offset, count))

    async def read_all(self) -> bytes:
        """The whole file."""
        return await self._done(lambda file: file.read_all())

    def reading(self, offset: int = 0, *, length: int = 0) -> LastingReading:
        """The bytes from ``offset`` to the end in pieces, with many messages in flight; each byte once.

        ``length``, if it is known, makes it quicker. Left early, nothing has to be cleaned up.
        """
        return LastingReading(self._link, self.current, offset, length)

    async def write(self, offset: int, data: Buffer) -> None:
        """Writes all of ``data`` at a place.

        Raises:
            ConnectionLost: an append-only file may have got it, or not.
        """
        await self._done(lambda file: file.write_range(offset, data), harmless=not self.appends)

    def writing(self, offset: int = 0) -> LastingWriting:
        """A sink for the bytes from ``offset`` on, as ``RemoteFile.writing`` has it; what was not answered is repeated.

        Raises, at its methods:
            ConnectionLost: an append-only file may have got the last of it, or not.
        """
        return LastingWriting(self._link, self, offset)

    async def stat(self) -> Stat:
        """The entry."""
        return await self._done(lambda file: file.stat())

    async def wstat(self, changes: Stat) -> None:
        """Changes the entry."""
        await self._done(lambda file: file.wstat(changes))

    @property
    def appends(self) -> bool:
        """Whether all writes go to its end, wherever they are meant to go."""
        return self._file is not None and bool(self._file.qid.type & QTAPPEND)

    async def _done(self, work: Callable[[RemoteFile], Awaitable[T]], *, harmless: bool = True) -> T:
        async def once(tree: RemoteTree) -> T:
            return await work(await self.current(tree))

        return await self._link.repeated(once) if harmless else await once(await self._link.tree())

    async def current(self, tree: RemoteTree) -> RemoteFile:
        """The file in the connection of ``tree``, opened there if it is a new one."""
        async with self._lock:
            before = self._file
            if before is None:
                raise NotSupported("the file has not been opened: begin comes first")
            if self._tree is tree:
                return before
            file = await tree.walk(self._path)
            try:
                if file.qid.path != before.qid.path:
                    raise FileRemoved(f"{self._path}: another file has that name since the connection broke")
                await file.open(self.mode & ~m.OTRUNC)
            except BaseException:
                await file.leave()
                raise
            self._tree, self._file = tree, file
            return file


class LastingReading:
    """The bytes of a file from a place on, by ``async for``; it goes on in the next connection where it was."""

    def __init__(
        self, link: Link, current: Callable[[RemoteTree], Awaitable[RemoteFile]], offset: int, length: int
    ) -> None:
        self._link = link
        self._current = current
        self._offset = offset
        self._length = length
        self._tree: RemoteTree | None = None
        self._inner: Reading

    def __aiter__(self) -> LastingReading:
        return self

    async def __anext__(self) -> memoryview:
        """The next bytes, never empty."""
        return await self._link.repeated(self._next)

    async def _next(self, tree: RemoteTree) -> memoryview:
        if self._tree is not tree:
            self._inner = (await self._current(tree)).reading(self._offset, length=self._length)
            self._tree = tree
        piece = await self._inner.__anext__()
        self._offset += len(piece)
        return piece


class LastingWriting:
    """A sink for the bytes of a file from a place on; what was not answered is written again in the next connection.

    Buffers given to ``write`` must stay as they are until they have been answered, at the latest at the end.
    """

    def __init__(self, link: Link, file: LastingFile, offset: int) -> None:
        self._link = link
        self._file = file
        self._tree: RemoteTree | None = None
        self._inner: Writing
        self._unsure: deque[tuple[int, memoryview]] = deque()
        self.offset = offset
        """Where the next bytes go."""

    async def __aenter__(self) -> LastingWriting:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """All have been answered, unless the context failed."""
        if self._tree is None:
            return
        if kind is None:
            await self._carried(self._end)
        else:
            await self._inner.__aexit__(kind, error, trace)

    async def write(self, data: Buffer) -> None:
        """Sends all of ``data``; returns when so much has been answered that the window is open again."""
        view = memoryview(data).cast("B")
        place = self.offset
        self._unsure.append((place, view))
        self.offset += len(view)

        async def send(tree: RemoteTree) -> None:
            if not await self._renewed(tree):
                await self._inner.write(view)

        await self._carried(send)
        while self._unsure and self._unsure[0][0] + len(self._unsure[0][1]) <= self._inner.answered:
            self._unsure.popleft()

    async def _carried(self, work: Callable[[RemoteTree], Awaitable[None]]) -> None:
        if self._file.appends:
            await work(await self._link.tree())
        else:
            await self._link.repeated(work)

    async def _end(self, tree: RemoteTree) -> None:
        await self._renewed(tree)
        await self._inner.__aexit__(None, None, None)
        self._unsure.clear()

    async def _renewed(self, tree: RemoteTree) -> bool:
        """Whether this is a new connection; then all that is unsure has been sent in it."""
        if self._tree is tree:
            return False
        if self._tree is not None and self._file.appends:
            raise ConnectionLost("the connection broke while an append-only file was written")
        file = await self._file.current(tree)
        inner = file.writing(self._unsure[0][0] if self._unsure else self.offset)
        await inner.__aenter__()
        for _, view in list(self._unsure):
            await inner.write(view)
        self._tree, self._inner = tree, inner
        return True
