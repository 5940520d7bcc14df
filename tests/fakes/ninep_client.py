"""A client of raw messages, for tests that look at every one of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import trio
import trio.testing

from ninep.protocol import messages as m
from ninep.protocol.dialect import NinePDialect
from ninep.protocol.stat import Stat, unpack_directory
from ninep.server.files import FileTree
from ninep.server.serve import DEFAULT_LIMITS, serve_stream
from ninep.wire.client import Client
from ninep.wire.limits import Limits


class Raw:
    """A connection. Fid 0 is the attached root; ``fid()`` gives fresh numbers."""

    def __init__(self, client: Client[Any, Any]) -> None:
        self.client = client
        self._fids = 0

    def fid(self) -> int:
        self._fids += 1
        return self._fids

    async def ask(self, request: m.Request, *, tag: int | None = None) -> Any:
        """The reply; an Rerror is raised as its FileError."""
        return await self.client.call(request, tag=tag)

    async def refused(self, request: m.Request) -> str:
        """The error string of a request that must fail."""
        try:
            reply = await self.client.call(request)
        except Exception as error:
            return str(error)
        raise AssertionError(f"{request} was answered with {reply}")

    async def walk(self, *names: str, start: int = 0) -> int:
        """A new fid for a path, unopened."""
        fid = self.fid()
        reply = await self.ask(m.Twalk(start, fid, list(names)))
        assert len(reply.wqids) == len(names), (names, reply)
        return fid

    async def open(self, *names: str, mode: int = m.OREAD) -> int:
        fid = await self.walk(*names)
        await self.ask(m.Topen(fid, mode))
        return fid

    async def create(self, *names: str, perm: int = 0o644, mode: int = m.ORDWR, data: bytes = b"") -> int:
        """A new file, open, with some content."""
        fid = await self.walk(*names[:-1])
        await self.ask(m.Tcreate(fid, names[-1], perm, mode))
        if data:
            assert (await self.ask(m.Twrite(fid, 0, data))).count == len(data)
        return fid

    async def made(self, *names: str, perm: int = 0o644, data: bytes = b"") -> None:
        """The same, and closed."""
        mode = m.OREAD if perm & 0x80000000 else m.OWRITE
        await self.ask(m.Tclunk(await self.create(*names, perm=perm, mode=mode, data=data)))

    async def read(self, fid: int, offset: int = 0, count: int = 8192) -> bytes:
        return bytes((await self.ask(m.Tread(fid, offset, count))).data)

    async def content(self, *names: str) -> bytes:
        """All bytes of a file."""
        fid = await self.open(*names)
        whole = b""
        while piece := await self.read(fid, len(whole)):
            whole += piece
        await self.ask(m.Tclunk(fid))
        return whole

    async def list(self, *names: str, count: int = 8192) -> list[Stat]:
        fid = await self.open(*names)
        entries: list[Stat] = []
        offset = 0
        while data := await self.read(fid, offset, count):
            offset += len(data)
            entries += unpack_directory(data)
        await self.ask(m.Tclunk(fid))
        return entries

    async def stat(self, *names: str) -> Stat:
        fid = await self.walk(*names)
        stat = (await self.ask(m.Tstat(fid))).stat
        await self.ask(m.Tclunk(fid))
        assert isinstance(stat, Stat)
        return stat


@contextlib.asynccontextmanager
async def talking(stream: trio.abc.Stream, *, msize: int = 65536, version: str = m.VERSION) -> AsyncIterator[Raw]:
    """A client on a stream, past its version."""
    dialect = NinePDialect()
    client: Client[Any, Any] = Client(stream, dialect)
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        reply = await client.call(m.Tversion(msize, version), tag=m.NOTAG)
        assert reply.version == version
        dialect.agree(version, reply.msize)
        yield Raw(client)
        nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def connected(
    tree: FileTree,
    uname: str = "glenda",
    *,
    aname: str = "",
    msize: int = 65536,
    version: str = m.VERSION,
    attach: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> AsyncIterator[Raw]:
    """A client of ``tree`` on an in-memory stream, attached as fid 0. Ends when the server has seen it go."""
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_stream, far, tree, limits=limits))
        async with talking(near, msize=msize, version=version) as raw:
            if attach:
                await raw.ask(m.Tattach(0, m.NOFID, uname, aname))
            yield raw
