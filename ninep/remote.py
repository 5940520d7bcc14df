"""A file on a server, seen through one fid; reads and writes keep a window of messages in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import trio

from ninep import messages as m
from ninep.errors import FileNotFound, NinepError
from ninep.qid import Qid
from ninep.stat import Stat, unpack_directory
from ninep.wire.client import Call
from ninep.wire.dialect import Buffer
from ninep.wire.errors import ConnectionLost

if TYPE_CHECKING:
    from ninep.client import Connection

WINDOW = 4 * 1024 * 1024
"""Bytes of data asked for or sent ahead, in as many messages as that takes."""
DEEPEST = 64
"""Most messages in flight for one file."""
UNOPENED = -1


class RemoteFile:
    """One fid. Made by ``Connection.attach`` and ``walk``; ``clunk`` or ``remove`` ends it, as does ``async with``.

    Reads and writes may run at the same time. All methods raise ``FileError`` for a refusal and ``ConnectionLost``
    when the link broke. Cancelled, a method gives its requests up and leaves no fid behind.

    Attributes:
        qid: identity and version, as of the last walk, open or create.
        iounit: bytes that move in one message once the file is open.
        mode: the open mode; ``UNOPENED`` before.
    """

    def __init__(self, connection: Connection, fid: int, qid: Qid) -> None:
        self.connection = connection
        self.fid = fid
        self.qid = qid
        self.iounit = connection.iounit
        self.mode = UNOPENED

    async def __aenter__(self) -> RemoteFile:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.clunk()

    async def walk(self, names: Sequence[str]) -> RemoteFile:
        """A new file, ``names`` further on; without names another view of this one.

        More than sixteen names take several messages.

        Raises:
            FileNotFound: the first name that is not there.
        """
        _, file = await self.walk_far(names)
        if file is None:
            raise FileNotFound
        return file

    async def walk_far(self, names: Sequence[str]) -> tuple[list[Qid], RemoteFile | None]:
        """The qids of the names that could be followed, and the file if all could.

        Raises:
            FileError: not even the first could; the server's own reason.
        """
        connection = self.connection
        fid = connection.take_fid()
        made = False
        qids: list[Qid] = []
        names = list(names)
        try:
            while True:
                part, names = names[: m.MAXWELEM], names[m.MAXWELEM :]
                try:
                    reply = await connection.ask(m.Twalk(fid if made else self.fid, fid, part))
                except NinepError:
                    if not qids:
                        raise
                    return qids, None
                except trio.Cancelled:
                    # Whether the server made the fid before it heard of the flush is its secret: clunk it.
                    made = True
                    raise
                qids += reply.wqids
                if len(reply.wqids) < len(part):
                    return qids, None
                made = True
                if not names:
                    file = RemoteFile(connection, fid, qids[-1] if qids else self.qid)
                    fid = -1
                    return qids, file
        finally:
            if fid >= 0:
                if made:
                    await connection.clunk(fid)
                else:
                    connection.give_fid(fid)

    async def open(self, mode: int = m.OREAD) -> None:
        """Prepares for reading or writing."""
        reply = await self.connection.ask(m.Topen(self.fid, mode))
        self._opened(reply, mode)

    async def create(self, name: str, perm: int = 0o666, mode: int = m.OWRITE) -> None:
        """Makes ``name`` in this directory and becomes the new file, open."""
        reply = await self.connection.ask(m.Tcreate(self.fid, name, perm, mode))
        self._opened(reply, mode)

    def _opened(self, reply: m.Ropen | m.Rcreate, mode: int) -> None:
        self.qid = reply.qid
        self.mode = mode
        most = self.connection.iounit
        self.iounit = min(reply.iounit or most, most)

    async def read(self, offset: int, count: int) -> memoryview:
        """At most ``count`` bytes in one message; empty at the end of the file."""
        reply = await self.connection.ask(m.Tread(self.fid, offset, min(count, self.iounit)))
        return memoryview(reply.data)

    async def read_range(self, offset: int, count: int) -> bytes:
        """``count`` bytes, fewer only where the file ends. Many messages are in flight."""
        return b"".join([part async for part in self.stream(offset, count)])

    async def stream(self, offset: int = 0, count: int = 1 << 62) -> AsyncIterator[memoryview]:
        """The bytes from ``offset`` on, piece by piece as they come, at most ``count`` of them.

        The size of the file need not be known: the window opens as data comes, and what was asked beyond the end is
        dropped.
        """
        client, unit = self.connection.client, self.iounit
        end = offset + count
        calls: deque[tuple[int, int, Call[Any]]] = deque()
        window = 1
        most = max(1, min(DEEPEST, WINDOW // unit))
        ask = offset
        try:
            while offset < end:
                while len(calls) < window and ask < end:
                    size = min(unit, end - ask)
                    calls.append((ask, size, client.begin(m.Tread(self.fid, ask, size))))
                    ask += size
                place, size, call = calls.popleft()
                reply = await client.wait(call)
                data = memoryview(reply.data)
                if not data:
                    return
                offset = place + len(data)
                yield data
                if len(data) < size:
                    # A short read says nothing about the end; what follows was asked from the wrong place.
                    await self._drop(calls)
                    ask = offset
                else:
                    window = min(window * 2, most)
        finally:
            if calls:
                with trio.move_on_after(5, shield=True):
                    await self._drop(calls)

    async def _drop(self, calls: deque[tuple[int, int, Call[Any]]]) -> None:
        """Waits for answers that nobody wants: their tags are taken until then."""
        while calls:
            try:
                await self.connection.client.wait(calls.popleft()[2])
            except NinepError:
                pass
            except ConnectionLost:
                calls.clear()

    async def read_all(self) -> bytes:
        """The whole file from its start."""
        return await self.read_range(0, 1 << 62)

    async def write(self, offset: int, data: Buffer) -> int:
        """Sends at most one message; returns how many bytes were taken."""
        view = memoryview(data)[: self.iounit]
        reply = await self.connection.ask(m.Twrite(self.fid, offset, view))
        return int(reply.count)

    async def write_range(self, offset: int, data: Buffer) -> None:
        """Writes all of ``data``. Many messages are in flight; on return all have been answered.

        Raises:
            FileError: one of them was refused. Which bytes were written is then unknown.
        """
        client, unit = self.connection.client, self.iounit
        view = memoryview(data)
        most = max(1, min(DEEPEST, WINDOW // unit))
        calls: deque[tuple[int, int, Call[Any]]] = deque()
        at = 0
        try:
            while at < len(view) or calls:
                if at < len(view) and len(calls) < most:
                    part = view[at : at + unit]
                    calls.append((at, len(part), client.begin(m.Twrite(self.fid, offset + at, part))))
                    at += len(part)
                    continue
                place, size, call = calls.popleft()
                taken = (await client.wait(call)).count
                if taken < size:
                    await self._write_rest(offset + place + taken, view[place + taken : place + size])
        finally:
            if calls:
                with trio.move_on_after(5, shield=True):
                    await self._drop(calls)

    async def _write_rest(self, offset: int, data: memoryview) -> None:
        while data:
            taken = await self.write(offset, data)
            if taken <= 0:
                raise NinepError("the server takes no bytes of a write")
            offset += taken
            data = data[taken:]

    async def list(self) -> list[Stat]:
        """All entries of this directory, which is open for reading."""
        entries: list[Stat] = []
        offset = 0
        while data := await self.read(offset, self.iounit):
            offset += len(data)
            entries += unpack_directory(data)
        return entries

    async def stat(self) -> Stat:
        """The directory entry."""
        stat: Stat = (await self.connection.ask(m.Tstat(self.fid))).stat
        return stat

    async def wstat(self, changes: Stat) -> None:
        """Changes the fields that are set; none set asks for stable storage."""
        await self.connection.ask(m.Twstat(self.fid, changes))

    async def remove(self) -> None:
        """Removes the file; the fid is gone whatever happens."""
        await self.connection.clunk(self.fid, m.Tremove(self.fid))

    async def clunk(self) -> None:
        """Gives the fid up. Waits for the answer, which tells whether what was written is safe with the server.

        A link that broke is no error here: the fid is gone with it.
        """
        await self.connection.clunk(self.fid)
