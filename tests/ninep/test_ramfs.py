"""ramfs passes the contract of served trees, and keeps its own promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contracts.ninep_client import connected
from contracts.served_file import OWNER, ServedTreeContract
from ninep import messages as m
from ninep.files import FileTree
from ninep.ramfs import RamTree
from ninep.stat import Stat


class TestRamfs(ServedTreeContract):
    @asynccontextmanager
    async def tree(self) -> AsyncIterator[FileTree]:
        yield RamTree(OWNER)


async def test_capacity_is_kept_and_given_back() -> None:
    async with connected(RamTree(OWNER, capacity=1000)) as raw:
        fid = await raw.create("file", data=bytes(900))
        assert await raw.refused(m.Twrite(fid, 900, bytes(101))) == "file system is full"
        assert await raw.refused(m.Twrite(fid, 1 << 40, b"x")) == "file system is full"
        assert await raw.refused(m.Twstat(fid, Stat(length=1001))) == "file system is full"
        await raw.ask(m.Tremove(await raw.walk("file")))
        await raw.made("other", data=bytes(1000))


async def test_removed_file_lives_for_its_opener() -> None:
    async with connected(RamTree(OWNER)) as raw:
        fid = await raw.create("file", data=b"still here")
        await raw.ask(m.Tremove(await raw.walk("file")))
        assert await raw.read(fid) == b"still here"
        await raw.ask(m.Twrite(fid, 0, b"S"))
        assert await raw.read(fid) == b"Still here"
        await raw.ask(m.Tclunk(fid))
