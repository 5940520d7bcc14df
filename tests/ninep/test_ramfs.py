"""ramfs passes the contract of served trees, and keeps its own promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from contracts.served_dialects import DialectContract
from contracts.served_file import OWNER, ServedTreeContract
from fakes.ninep_client import connected
from ninep.protocol import messages as m
from ninep.protocol.stat import DMAPPEND, DMDIR, Stat
from ninep.ram.tree import RamTree
from ninep.server.files import FileTree


class TestRamfs(ServedTreeContract):
    @asynccontextmanager
    async def tree(self) -> AsyncIterator[FileTree]:
        yield RamTree(OWNER)


class TestRamfsInEveryDialect(DialectContract):
    @asynccontextmanager
    async def tree(self) -> AsyncIterator[FileTree]:
        yield RamTree(OWNER)


async def test_capacity_is_kept_and_given_back() -> None:
    async with connected(RamTree(OWNER, capacity=1000)) as raw:
        fid = await raw.create("file", data=bytes(900))
        assert await raw.refused(m.Twrite(fid, 900, bytes(101))) == "file system is full"
        assert (await raw.stat("file")).length == 900
        await raw.ask(m.Twrite(fid, 1 << 40, bytes(100)))
        assert await raw.refused(m.Twrite(fid, 1 << 41, b"x")) == "file system is full"
        await raw.ask(m.Twstat(fid, Stat(length=500)))
        await raw.ask(m.Twrite(fid, 500, bytes(500)))
        await raw.ask(m.Tremove(await raw.walk("file")))
        assert await raw.refused(m.Tcreate(await raw.walk(), "", 0o644, m.ORDWR)) == "illegal name"
        other = await raw.create("other")
        assert await raw.refused(m.Twrite(other, 0, b"x")) == "file system is full", "the file is still open"
        await raw.ask(m.Tclunk(fid))
        await raw.ask(m.Twrite(other, 0, bytes(1000)))


async def test_removed_files_cannot_outgrow_the_capacity() -> None:
    async with connected(RamTree(OWNER, capacity=1000)) as raw:
        fids = []
        for n in range(3):
            fids.append(await raw.create(f"{n}", data=bytes(300)))
            await raw.ask(m.Tremove(await raw.walk(f"{n}")))
        assert await raw.refused(m.Twrite(fids[0], 0, bytes(401))) == "file system is full"
        await raw.ask(m.Tremove(await raw.create("fourth", data=bytes(100))))
        for fid in fids:
            await raw.ask(m.Tclunk(fid))
        await raw.made("other", data=bytes(1000))


async def test_lengths_end_where_a_signed_number_does() -> None:
    async with connected(RamTree(OWNER)) as raw:
        fid = await raw.create("file")
        await raw.ask(m.Twrite(fid, (1 << 63) - 2, b"x"))
        assert (await raw.stat("file")).length == (1 << 63) - 1
        assert await raw.refused(m.Twrite(fid, (1 << 63) - 1, b"x")) == "file too big"
        assert await raw.refused(m.Twrite(fid, (1 << 64) - 1, b"x")) == "file too big"
        assert await raw.refused(m.Twstat(fid, Stat(length=1 << 63))) == "file too big"
        assert await raw.read(fid, (1 << 64) - 1) == b""


async def test_append_only_files_cannot_be_cut() -> None:
    async with connected(RamTree(OWNER)) as raw:
        await raw.made("log", perm=DMAPPEND | 0o644, data=b"kept")
        fid = await raw.walk("log")
        assert await raw.refused(m.Twstat(fid, Stat(length=0))) == "wstat prohibited"
        await raw.ask(m.Twstat(fid, Stat(length=0, mode=0o644)))
        assert (await raw.stat("log")).length == 0


@pytest.mark.parametrize("uname", ["tab\there", "x" * 256, "bell\x07"])
async def test_users_have_names(uname: str) -> None:
    async with connected(RamTree(OWNER), attach=False) as raw:
        assert await raw.refused(m.Tattach(0, m.NOFID, uname, "")) == "unknown user"
        await raw.ask(m.Tattach(0, m.NOFID, "", ""))


async def test_times_are_the_clocks() -> None:
    now = [1_000_000_000.5]
    async with connected(RamTree(OWNER, clock=lambda: now[0])) as raw:
        await raw.made("dir", perm=DMDIR | 0o755)
        now[0] += 100
        fid = await raw.create("dir", "file")
        now[0] += 100
        await raw.ask(m.Twrite(fid, 0, b"x"))
        assert (await raw.stat("dir", "file")).mtime == 1_000_000_200
        assert (await raw.stat("dir")).mtime == 1_000_000_100
        assert (await raw.stat()).mtime == 1_000_000_000


async def test_removed_file_lives_for_its_opener() -> None:
    async with connected(RamTree(OWNER)) as raw:
        fid = await raw.create("file", data=b"still here")
        await raw.ask(m.Tremove(await raw.walk("file")))
        assert await raw.read(fid) == b"still here"
        await raw.ask(m.Twrite(fid, 0, b"S"))
        assert await raw.read(fid) == b"Still here"
        await raw.ask(m.Tclunk(fid))
