"""A connection to a 9P server, and the tree behind it with paths. Source: intro(5), 9pclient(3).

::

    async with connect("tcp!fs!9fs") as tree:
        text = await tree.read_bytes("lib/profile")
"""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from ninep import messages as m
from ninep.dialect import MSIZE, NinePDialect
from ninep.errors import FileExists, FileNotFound, NinepError
from ninep.remote import RemoteFile
from ninep.stat import DMDIR, Stat
from ninep.wire.client import Client
from ninep.wire.dial import dial
from ninep.wire.dialect import Buffer
from ninep.wire.errors import ConnectionLost, Malformed
from ninep.wire.networks import Networks


class Connection:
    """A negotiated connection. ``connected`` makes one.

    Attributes:
        client: the calls themselves, for those who want to send messages of their own.
        msize: the agreed message size in bytes.
        iounit: bytes of data in one message.
    """

    def __init__(self, client: Client[Any, Any], msize: int) -> None:
        self.client = client
        self.msize = msize
        self.iounit = msize - m.IOHDRSZ
        self._fids: list[int] = []
        self._next = 0

    def take_fid(self) -> int:
        """A number that no fid has."""
        if self._fids:
            return self._fids.pop()
        self._next += 1
        return self._next - 1

    def give_fid(self, fid: int) -> None:
        """The number may be used again."""
        self._fids.append(fid)

    async def ask(self, request: m.Request) -> Any:
        """One request; raises what an Rerror stands for."""
        return await self.client.call(request)

    async def clunk(self, fid: int, request: m.Request | None = None) -> None:
        """Gives up a fid with Tclunk or Tremove; sent even when the caller is cancelled."""
        try:
            call = self.client.begin(request or m.Tclunk(fid))
        except ConnectionLost:
            return
        try:
            await self.client.wait(call)
        except ConnectionLost:
            if request is not None:
                raise
        finally:
            if call.reply is not None:
                self.give_fid(fid)

    async def attach(self, uname: str, aname: str = "") -> RemoteFile:
        """The root of the tree ``aname``, as user ``uname``."""
        fid = self.take_fid()
        try:
            reply = await self.ask(m.Tattach(fid, m.NOFID, uname, aname))
        except NinepError:
            self.give_fid(fid)
            raise
        return RemoteFile(self, fid, reply.qid)


@asynccontextmanager
async def connected(stream: trio.abc.Stream, *, msize: int = MSIZE) -> AsyncIterator[Connection]:
    """Agrees on version and message size over ``stream``, which is closed at the end.

    Raises:
        NinepError: the server does not speak 9P2000.
        ConnectionLost: it hung up.
    """
    dialect = NinePDialect()
    client: Client[Any, Any] = Client(stream, dialect)
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        try:
            reply = await client.call(m.Tversion(msize, m.VERSION), tag=m.NOTAG)
            if reply.version != m.VERSION:
                raise NinepError(f"the server does not speak {m.VERSION} but answers {reply.version!r}")
            if not 256 <= reply.msize <= msize:
                raise Malformed(f"the server wants messages of {reply.msize} bytes where {msize} were offered")
            dialect.msize = reply.msize
            yield Connection(client, reply.msize)
        except Exception as error:
            # Out of the nursery's reach, so that it comes to the caller as it is and not in a group.
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


class RemoteTree:
    """A tree on a server, by paths. ``root`` is its root, ``connection`` what it is reached by.

    Paths are relative to the root, with or without ``/`` before; ``.`` and empty elements mean nothing.
    """

    def __init__(self, root: RemoteFile) -> None:
        self.root = root
        self.connection = root.connection

    async def walk(self, path: str) -> RemoteFile:
        """The file at ``path``, not open. The caller clunks it."""
        return await self.root.walk(split(path))

    @asynccontextmanager
    async def open(self, path: str, mode: int = m.OREAD) -> AsyncIterator[RemoteFile]:
        """The file at ``path``, open until the context ends."""
        async with await self.walk(path) as file:
            await file.open(mode)
            yield file

    @asynccontextmanager
    async def create(self, path: str, perm: int = 0o666, mode: int = m.OWRITE) -> AsyncIterator[RemoteFile]:
        """Makes a file, or truncates an old one, as in Plan 9. It is open until the context ends."""
        *folder, name = split(path)
        async with await self.root.walk(folder) as file:
            try:
                await file.create(name, perm, mode)
            except FileExists:
                async with await file.walk([name]) as old:
                    await old.open(mode | m.OTRUNC)
                    yield old
                return
            yield file

    async def read_bytes(self, path: str) -> bytes:
        """The content of a file."""
        async with self.open(path) as file:
            return await file.read_all()

    async def write_bytes(self, path: str, data: Buffer, perm: int = 0o666) -> None:
        """Makes ``data`` the content of a file, which is created if need be."""
        async with self.create(path, perm) as file:
            await file.write_range(0, data)

    async def mkdir(self, path: str, perm: int = 0o777) -> None:
        """Makes a directory. Raises ``FileExists``."""
        *folder, name = split(path)
        async with await self.root.walk(folder) as file:
            await file.create(name, DMDIR | perm, m.OREAD)

    async def listdir(self, path: str = "") -> list[Stat]:
        """The entries of a directory, in the server's order."""
        async with self.open(path) as file:
            return await file.list()

    async def stat(self, path: str) -> Stat:
        """The entry of a file."""
        async with await self.walk(path) as file:
            return await file.stat()

    async def wstat(self, path: str, changes: Stat) -> None:
        """Changes fields of a file's entry."""
        async with await self.walk(path) as file:
            await file.wstat(changes)

    async def remove(self, path: str) -> None:
        """Removes a file or an empty directory."""
        await (await self.walk(path)).remove()

    async def exists(self, path: str) -> bool:
        """Whether there is a file at ``path``."""
        try:
            async with await self.walk(path):
                return True
        except FileNotFound:
            return False


def split(path: str) -> Sequence[str]:
    """The elements of a path."""
    return [name for name in path.split("/") if name not in ("", ".")]


@asynccontextmanager
async def connect(
    address: str,
    *,
    uname: str | None = None,
    aname: str = "",
    msize: int = MSIZE,
    networks: Networks | None = None,
) -> AsyncIterator[RemoteTree]:
    """Dials a server and attaches to the tree ``aname`` as ``uname``, by default whoever runs this program.

    Raises:
        Unreachable, BadAddress: there is nobody at ``address``.
        FileError: the server does not let us attach.
        NinepError: it does not speak our 9P.
    """
    stream = await dial(address, service="9fs", networks=networks)
    async with connected(stream, msize=msize) as connection:
        yield RemoteTree(await connection.attach(uname if uname is not None else getpass.getuser(), aname))
