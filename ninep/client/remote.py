"""A file on a server, seen through one fid. Source: intro(5) and the manual page of each message."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any

import trio

from ninep.client.remote_io import Reading, Writing
from ninep.client.remote_methods import UnixMethods
from ninep.net.errors import ConnectionLost, Malformed
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError, IllegalName, NameTooLong, NotDirectory
from ninep.protocol.ids import Ids
from ninep.protocol.qid import QTEXCL, Qid
from ninep.protocol.stat import Stat, unpack_directory
from ninep.wire.client import Call
from ninep.wire.dialect import Buffer
from ninep.wire.taskless import in_task

if TYPE_CHECKING:
    from ninep.client.connection import Connection

UNOPENED = -1
_READ_ONLY = frozenset((UNOPENED, m.OREAD, m.OEXEC))
LONGEST_NAME = 0xFFFF
WALK_HEAD = 17
"""Bytes of a Twalk before its names."""


class RemoteFile(UnixMethods):
    """One fid. Made by ``Connection.attach`` and ``walk``; ``clunk`` or ``remove`` ends it, as does ``async with``.

    The end of the context waits for the server where the answer can tell something: whether a file that was open for
    writing is safe, or an exclusive-use file is free for the next.

    Reads and writes may run at the same time; everything else one after the other. All methods raise ``FileError``
    for a refusal and ``ConnectionLost`` when the link broke. A cancelled method gives its request up; whether it took
    effect is then unknown, but no fid is left behind at the server.

    Attributes:
        connection: what the server is reached by.
        fid: the number; ``NOFID`` after the end.
        qid: identity and version, as of the last walk, open or create.
        iounit: most bytes of data that move in one message.
        mode: the open mode; ``UNOPENED`` before.
        name: what it was called when it was walked to; empty where that is not known.
    """

    __slots__ = ("connection", "fid", "iounit", "mode", "name", "qid")

    _unpack = staticmethod(Stat.unpack)
    """How an entry is read in this dialect."""

    def __init__(self, connection: Connection, fid: int, qid: Qid, name: str = "") -> None:
        self.connection = connection
        self.fid = fid
        self.qid = qid
        self.iounit = connection.iounit
        self.mode = UNOPENED
        self.name = name

    @property
    def ids(self) -> Ids:
        """Which numbers the names of users have."""
        return self.connection.ids

    async def __aenter__(self) -> RemoteFile:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.mode in _READ_ONLY and not self.qid.type & QTEXCL:
            await self.leave()
            return
        try:
            await self.clunk()
        except FileError:
            # What went wrong first matters more than that the fid did not end well, too.
            if kind is None:
                raise

    async def walk(self, names: Sequence[str]) -> RemoteFile:
        """A new file, ``names`` further on; without names another view of this one.

        More than sixteen names take several messages.

        Raises:
            FileError: the server's own reason for the first name that cannot be walked.
        """
        qids, file = await self.walk_far(names)
        if file is not None:
            return file
        # A short walk does not tell why: asked for the next name alone, the server has to say.
        async with await self.walk(names[: len(qids)]) as nearest:
            return await nearest.walk(names[len(qids) :])

    async def walk_far(self, names: Sequence[str]) -> tuple[list[Qid], RemoteFile | None]:
        """The qids of the names that could be followed, and the file if all could.

        Raises:
            FileError: not even the first could; the server's own reason.
        """
        connection = self.connection
        parts = _parts(names, connection.msize)
        fid = connection.take_fid()
        source = self.fid
        qids: list[Qid] = []
        for part in parts:
            try:
                reply = await connection.make(m.Twalk(source, fid, part), fid)
            except FileError:
                if source == fid:
                    connection.discard(fid)
                    return qids, None
                connection.give_fid(fid)
                raise
            if len(reply.wqids) > len(part):
                raise Malformed(f"{len(reply.wqids)} qids for {len(part)} names")
            qids += reply.wqids
            if len(reply.wqids) < len(part):
                if source == fid:
                    connection.discard(fid)
                else:
                    connection.give_fid(fid)
                return qids, None
            source = fid
        name = self.name if not names else "" if ".." in names[-1:] else names[-1]
        return qids, type(self)(connection, fid, qids[-1] if qids else self.qid, name)

    async def open(self, mode: int = m.OREAD) -> None:
        """Prepares for reading or writing."""
        reply = await self.connection.ask(m.Topen(self.fid, mode))
        self._opened(reply, mode)

    async def open_with(self, mode: int, *more: m.Request) -> list[Call[Any]]:
        """The same, in 9P2000; ``more`` leaves in the same go, and its answers are left to the caller.

        For servers that begin requests in the order of arrival, see ``Connection.in_order``.
        """
        client = self.connection.client
        call = client.begin(m.Topen(self.fid, mode))
        calls = [client.begin(request) for request in more]
        self._opened(await client.wait(call), mode)
        return calls

    async def create(self, name: str, perm: int = 0o666, mode: int = m.OWRITE) -> None:
        """Makes ``name`` in this directory and becomes the new file, open.

        The server masks ``perm`` with the rights of the directory. Raises ``FileExists`` where the name is taken.
        """
        check_length(name)
        await self._created(m.Tcreate(self.fid, name, perm, mode), mode)

    async def _created(self, request: Any, mode: int) -> None:
        """Asks for a new file. Cancelled, this is the new file if it was made all the same, and open then."""
        client = self.connection.client
        call = client.begin(request)
        try:
            await client.wait(call)
        finally:
            if isinstance(call.reply, call.expected):
                self._opened(call.reply, mode)

    def _opened(self, reply: Any, mode: int) -> None:
        self.qid = reply.qid
        self.mode = mode
        most = self.connection.iounit
        self.iounit = min(reply.iounit or most, most)

    async def read(self, offset: int, count: int) -> memoryview:
        """At most ``count`` bytes in one message, a view of what was received; empty at the end of the file."""
        count = min(count, self.iounit)
        data = memoryview((await self.connection.ask(m.Tread(self.fid, offset, count))).data)
        if len(data) > count:
            raise Malformed(f"{len(data)} bytes where {count} were asked for")
        return data

    def reading(self, offset: int = 0, count: int | None = None, *, length: int = 0) -> Reading:
        """The bytes from ``offset`` on, piece by piece as they come; see ``Reading``."""
        return Reading(self, offset, count, length)

    async def read_range(self, offset: int, count: int) -> bytes:
        """``count`` bytes, fewer only where the file ends. Many messages are in flight."""
        return b"".join([piece async for piece in self.reading(offset, count, length=offset + count)])

    async def read_all(self, *, length: int = 0) -> bytes:
        """The whole file from its start. ``length`` as it is thought to be makes it quicker."""
        return b"".join([piece async for piece in self.reading(length=length)])

    async def write(self, offset: int, data: Buffer) -> int:
        """Sends at most one message; returns how many bytes were taken."""
        view = memoryview(data).cast("B")[: self.iounit]
        count = int((await self.connection.ask(m.Twrite(self.fid, offset, view))).count)
        if count > len(view):
            raise Malformed(f"{count} bytes written of {len(view)}")
        return count

    def writing(self, offset: int = 0) -> Writing:
        """A sink for the bytes from ``offset`` on; see ``Writing``."""
        return Writing(self, offset)

    async def write_range(self, offset: int, data: Buffer) -> None:
        """Writes all of ``data``. Many messages are in flight; on return all have been answered.

        Raises:
            FileError: one of them was refused. Which bytes were written is then unknown.
        """
        async with Writing(self, offset) as sink:
            await sink.write(data)

    async def scan(self) -> AsyncGenerator[Stat, None]:
        """The entries of this directory, which is open for reading, as they come, in the server's order.

        Raises:
            NotDirectory: it is something else.
        """
        if not self.qid.is_directory:
            raise NotDirectory
        offset = 0
        while data := await self.read(offset, self.iounit):
            offset += len(data)
            for entry in unpack_directory(data, self._unpack):
                yield entry

    async def list(self) -> list[Stat]:
        """All of them."""
        return [entry async for entry in self.scan()]

    async def stat(self) -> Stat:
        """The directory entry."""
        stat: Stat = (await self.connection.ask(m.Tstat(self.fid))).stat
        return stat

    async def wstat(self, changes: Stat) -> None:
        """Changes the fields that are set; none set asks for stable storage."""
        await self.connection.ask(m.Twstat(self.fid, changes))

    async def remove(self) -> None:
        """Removes the file; the fid is gone whatever happens."""
        fid, self.fid = self.fid, m.NOFID
        await self.connection.remove(fid)

    async def clunk(self) -> None:
        """Gives the fid up; harmless when it has been. The answer tells whether what was written is safe.

        A link that broke is no error here: the fid is gone with it.
        """
        fid, self.fid = self.fid, m.NOFID
        if fid != m.NOFID:
            await self.connection.clunk(fid)
        else:
            await in_task()
            await trio.lowlevel.checkpoint()

    def leave_nowait(self) -> bool:
        """Gives the fid up as ``leave`` does, if that can be done without waiting; False if not."""
        if self.fid != m.NOFID:
            if not self.connection.leave_nowait(self.fid):
                return False
            self.fid = m.NOFID
        return True

    async def leave(self) -> None:
        """Gives the fid up without asking how that went: for files that were only read."""
        fid, self.fid = self.fid, m.NOFID
        if fid != m.NOFID:
            await self.connection.leave(fid)

    async def safe(self) -> bool:
        """Asks the server to put on stable storage what was written; False where it cannot say."""
        try:
            await self.wstat(Stat())
        except ConnectionLost:
            raise
        except FileError:
            return False
        return True


def check_length(name: str) -> None:
    """Raises ``NameTooLong`` or ``IllegalName`` for a name that no message can carry."""
    if "\0" in name:
        raise IllegalName(f"no name can hold NUL: {name[:100]!r}")
    if len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
        raise NameTooLong


def _parts(names: Sequence[str], msize: int) -> list[list[str]]:
    """Names cut into what one Twalk can hold each; one empty part where there are none."""
    parts: list[list[str]] = [[]]
    room = msize - WALK_HEAD
    for name in names:
        if "\0" in name:
            raise IllegalName(f"no name can hold NUL: {name[:100]!r}")
        size = 2 + len(name.encode("utf-8", "surrogateescape"))
        if size > min(LONGEST_NAME, msize - WALK_HEAD):
            raise NameTooLong
        if len(parts[-1]) == m.MAXWELEM or size > room:
            parts.append([])
            room = msize - WALK_HEAD
        parts[-1].append(name)
        room -= size
    return parts
