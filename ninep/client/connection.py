"""A connection to a 9P server: it negotiates the version, allocates fids and clunks abandoned ones. Source: intro(5).

A fid's number is used again only when the server has confirmed that the fid is gone. A request that makes a fid and is
given up may or may not have made it: such a fid is clunked whatever the server says, and where its fate stays unknown
its number is never used again; there are enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from ninep.client.remote import RemoteFile
from ninep.client.remote_linux import LinuxFile
from ninep.client.remote_unix import UnixFile
from ninep.net.errors import ConnectionLost, Malformed, NoFreeTag, Unreachable
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.dialect import MSIZE, NinePDialect
from ninep.protocol.errors import FileError, NinepError, UnknownFid
from ninep.protocol.ids import NONUNAME, Ids
from ninep.server.host_ids import HostIds
from ninep.tasks.nursery import outlived
from ninep.wire.client import Call, Client
from ninep.wire.taskless import in_task

PATIENCE = 20.0
"""Seconds until a server that does not say which version it speaks is given up."""
LEAST_MSIZE = 256
MOST_LEAVING = 256
"""Most fids that are being given up while nobody waits for that."""


DIALECTS = (m.VERSION, m.VERSION_UNIX, lm.VERSION)
"""What can be spoken, from the simplest on."""
_SIMPLER = {
    m.VERSION: (m.VERSION,),
    m.VERSION_UNIX: (m.VERSION_UNIX, m.VERSION),
    lm.VERSION: (lm.VERSION, m.VERSION_UNIX, m.VERSION),
}
"""What a server may answer to each proposal."""
_FILES: dict[str, type[RemoteFile]] = {m.VERSION: RemoteFile, m.VERSION_UNIX: UnixFile, lm.VERSION: LinuxFile}

_NOT_9P = "is this a 9P server, and is its address perhaps a tls! one?"


def check_version(version: str) -> None:
    """Raises ``ValueError`` for a dialect that there is not."""
    if version not in DIALECTS:
        raise ValueError(f"{version!r} is no dialect that can be asked for: say {', '.join(DIALECTS)}")


class Connection:
    """One connection of a client. ``connected`` makes one; by hand it takes ``run`` in a task, then ``negotiate``.

    Not for use from several threads.

    Attributes:
        client: the calls themselves, for those who want to send messages of their own.
        msize: the agreed message size in bytes; before, what will be proposed.
        version: the dialect that is spoken; before, the one that will be proposed.
        ids: which numbers users have, for servers that know only the one or the other.
        iounit: most bytes of data in one message.
        in_order: whether requests that need each other may be sent together; False once the server has shown that it
            does not begin them in the order of arrival.
        renames: whether the server can give a file another name; None as long as nobody has tried.
    """

    def __init__(
        self, stream: trio.abc.Stream, *, msize: int = MSIZE, version: str = m.VERSION, ids: Ids | None = None
    ) -> None:
        """``version`` is the highest dialect wanted: the server may agree to a simpler one. ``ids`` by default are
        those of this machine.
        """
        check_version(version)
        if not LEAST_MSIZE <= msize < m.NOFID:
            raise ValueError(f"messages of {msize} bytes cannot be: take {LEAST_MSIZE} to {MSIZE}")
        self._dialect = NinePDialect()
        self.client: Client[Any, Any] = Client(stream, self._dialect)
        self.msize = msize
        self.version = version
        self.ids = ids or HostIds()
        self.iounit = msize - m.IOHDRSZ
        self.in_order = True
        self.renames: bool | None = None
        self._free: list[int] = []
        self._leaving: deque[tuple[int, Call[Any]]] = deque()
        self._next = 0
        self._ended = trio.Event()

    @property
    def lost(self) -> ConnectionLost | None:
        """Why nothing can be asked any more, or None while the connection lives."""
        return self.client.lost

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carries the conversation until cancelled or the link ends; closes the stream. A broken link is no error."""
        try:
            await self.client.run(task_status=task_status)
        finally:
            self._ended.set()

    async def wait_lost(self) -> None:
        """Returns when the link has ended and nothing can be asked any more."""
        await self._ended.wait()

    async def negotiate(self) -> None:
        """Agrees on dialect and message size. A server that refuses a dialect outright is asked for 9P2000.

        Raises:
            NinepError: the server does not speak 9P2000.
            Unreachable: it says nothing at all.
            ConnectionLost: it hung up.
        """
        try:
            with trio.fail_after(PATIENCE):
                reply = await self._hello(self.version)
                if self.version != m.VERSION and (reply is None or reply.version == "unknown"):
                    reply = await self._hello(m.VERSION)
        except FileError as error:
            hint = "" if self.version == lm.VERSION else f"; perhaps it does speak {lm.VERSION}"
            raise NinepError(f"the server does not speak {m.VERSION}: it answers {str(error)!r}{hint}") from error
        except ConnectionLost as error:
            raise ConnectionLost(f"{error} before the first answer: {_NOT_9P}") from error
        except Malformed as error:
            raise Malformed(f"{error}: {_NOT_9P}") from error
        except trio.TooSlowError as error:
            raise Unreachable(f"the server does not answer within {PATIENCE:g} seconds: does it speak 9P?") from error
        assert reply is not None
        if reply.version not in _SIMPLER[self.version]:
            raise NinepError(f"the server does not speak {m.VERSION}: it answers {reply.version!r}")
        if not LEAST_MSIZE <= reply.msize <= self.msize:
            raise NinepError(f"the server wants messages of {reply.msize} bytes where {self.msize} were offered")
        self.version, self.msize = reply.version, reply.msize
        self._dialect.agree(reply.version, reply.msize)
        self.iounit = reply.msize - m.IOHDRSZ

    async def _hello(self, version: str) -> Any:
        """The answer to a proposal; None for a refusal of what need not be spoken."""
        try:
            return await self.client.wait(self.client.begin(m.Tversion(self.msize, version), tag=m.NOTAG))
        except FileError:
            if version == m.VERSION:
                raise
            return None

    async def auth(self, uname: str, aname: str = "", *, n_uname: int = NONUNAME) -> RemoteFile:
        """A file to converse over, until the server believes that this is ``uname``, who then may attach to ``aname``.

        What is to be read and written is between the two: 9P only carries it. The file is open; it is clunked when the
        attaches that it is for are made, or when it went wrong.

        Raises:
            AuthenticationNotRequired: attach without. A server that asks for no proof may say so in other words.
        """
        fid = self.take_fid()
        try:
            reply = await self.make(m.Tauth(fid, uname, aname, n_uname), fid)
        except FileError:
            self.give_fid(fid)
            raise
        file = _FILES[self.version](self, fid, reply.aqid)
        file.mode = m.ORDWR
        return file

    async def attach(
        self, uname: str, aname: str = "", *, n_uname: int = NONUNAME, auth: RemoteFile | None = None
    ) -> RemoteFile:
        """The root of the tree ``aname``, as user ``uname``, or in other dialects than 9P2000 as number ``n_uname``.

        ``auth`` is the conversation with this server, begun by ``auth`` for the same user and tree, in which that was
        proven.
        """
        if auth is not None and auth.connection is not self:
            raise ValueError("a proof given on one connection is worth nothing on another: call its own auth first")
        if auth is not None and auth.fid == m.NOFID:
            raise UnknownFid
        fid, afid = self.take_fid(), m.NOFID if auth is None else auth.fid
        try:
            reply = await self.make(m.Tattach(fid, afid, uname, aname, n_uname), fid)
        except FileError:
            self.give_fid(fid)
            raise
        return _FILES[self.version](self, fid, reply.qid, "/")

    async def ask(self, request: m.Request | lm.LinuxRequest) -> Any:
        """One request and its answer; raises what an Rerror stands for."""
        return await self.client.call(request)

    async def make(self, request: m.Request | lm.LinuxRequest, fid: int) -> Any:
        """The same for a request that makes ``fid``: cancelled, the fid is given up. Refused, it is the caller's."""
        call = self.client.begin(request)
        try:
            return await self.client.wait(call)
        except trio.Cancelled:
            self.discard(fid, reuse=call.reply is not None)
            raise

    def take_fid(self) -> int:
        """A number that no fid has."""
        for _ in range(min(2, len(self._leaving))):
            fid, call = self._leaving.popleft()
            if call.reply is None:
                self._leaving.append((fid, call))
            else:
                self._free.append(fid)
        if self._free:
            return self._free.pop()
        self._next += 1
        return self._next - 1

    def give_fid(self, fid: int) -> None:
        """The number may be used again."""
        self._free.append(fid)

    def discard(self, fid: int, *, reuse: bool = True) -> None:
        """Gives up a fid without waiting. It may have been given up before, if the server says so without harm."""
        try:
            call = self.client.begin(m.Tclunk(fid))
        except (ConnectionLost, NoFreeTag):
            return
        self.client.send_soon()
        if reuse:
            self._leaving.append((fid, call))

    def leave_nowait(self, fid: int) -> bool:
        """The same, unless very many fids are leaving already: then it does nothing and is False."""
        if len(self._leaving) >= MOST_LEAVING and self._leaving[0][1].reply is None:
            return False
        self.discard(fid)
        return True

    async def leave(self, fid: int) -> None:
        """The same, but waits where very many fids are leaving already."""
        while len(self._leaving) >= MOST_LEAVING:
            oldest, call = self._leaving.popleft()
            try:
                await self.client.wait(call)
            except (FileError, ConnectionLost):
                pass
            self._free.append(oldest)
        self.discard(fid)

    async def clunk(self, fid: int) -> None:
        """Gives up a fid and waits for the answer. Cancelled, the fid is given up all the same.

        Raises:
            FileError: something that only now could be told, such as a write that failed. The fid is gone.
        """
        await in_task()
        if trio.current_effective_deadline() == float("-inf"):
            self.discard(fid)
            await trio.lowlevel.checkpoint()
        try:
            await self._end(m.Tclunk(fid), fid)
        except ConnectionLost:
            pass

    async def remove(self, fid: int) -> None:
        """Removes a file; its fid is gone whatever happens."""
        try:
            await self._end(m.Tremove(fid), fid)
        except FileError:
            # There are servers that keep the fid of a file that they cannot remove.
            self.discard(self._free.pop())
            raise

    async def _end(self, request: m.Request, fid: int) -> None:
        call = self.client.begin(request)
        try:
            await self.client.wait(call)
        except FileError:
            self._free.append(fid)
            raise
        except trio.Cancelled:
            if call.reply is None:
                self.discard(fid, reuse=False)
            else:
                self._free.append(fid)
            raise
        self._free.append(fid)


@asynccontextmanager
async def connected(
    stream: trio.abc.Stream, *, msize: int = MSIZE, version: str = m.VERSION, ids: Ids | None = None
) -> AsyncIterator[Connection]:
    """A negotiated connection over ``stream``, which is closed at the end. See ``Connection`` for what it takes.

    Raises:
        NinepError, Unreachable, ConnectionLost: see ``Connection.negotiate``.
    """
    connection = Connection(stream, msize=msize, version=version, ids=ids)
    async with outlived(connection.run):
        await connection.negotiate()
        yield connection
