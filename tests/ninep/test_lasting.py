"""Connections that break under a tree that lasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from contracts.opened_files import OpenedFiles
from fakes.cut_network import OWNER, Network, network
from ninep.client.lasting import LastingTree, lasting
from ninep.net.errors import ConnectionLost, Unreachable
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.errors import FileExists, FileNotFound, FileRemoved, NotSupported


async def test_open_files_go_on(autojump_clock: trio.testing.MockClock) -> None:
    async with network() as (net, tree):
        await tree.write_bytes("file", b"0123456789" * 5000)
        async with tree.open("file", m.ORDWR) as file:
            assert await file.read(0, 5) == b"01234"
            await net.cut()
            assert await file.read(5, 5) == b"56789"
            await net.cut()
            await file.write(0, b"written")
            await net.cut()
            assert (await file.read_all())[:10] == b"written789"
            assert (await file.stat()).length == 50_000
            await net.cut()
        assert len(net.ways) == 4
        assert await tree.exists("file")
        assert [entry.name for entry in await tree.listdir()] == ["file"]


async def test_reading_goes_on_where_it_was(autojump_clock: trio.testing.MockClock) -> None:
    content = bytes(range(256)) * 1000
    async with network() as (net, tree):
        await tree.write_bytes("file", content)
        async with tree.open("file") as file:
            found = b""
            async for piece in file.reading(100):
                found += piece
                if len(net.ways) < 5:
                    await net.cut()
            assert found == content[100:]
        assert len(net.ways) == 5


async def test_truncation_is_done_once(autojump_clock: trio.testing.MockClock) -> None:
    async with network() as (net, tree):
        await tree.write_bytes("file", b"old content")
        async with tree.open("file", m.OWRITE | m.OTRUNC) as file:
            await file.write(0, b"new")
            await net.cut()
            await file.write(3, b"er")
        assert await tree.read_bytes("file") == b"newer"


async def test_a_server_that_comes_back_late(autojump_clock: trio.testing.MockClock) -> None:
    async with network() as (net, tree), trio.open_nursery() as nursery:
        await tree.write_bytes("file", b"content")
        net.down = True
        await net.cut()

        async def repair() -> None:
            await trio.sleep(40)
            net.down = False

        nursery.start_soon(repair)
        assert await tree.read_bytes("file") == b"content"
        assert trio.current_time() > 40


async def test_a_server_that_does_not_come_back(autojump_clock: trio.testing.MockClock) -> None:
    async with network(patience=10) as (net, tree):
        await tree.write_bytes("file", b"content")
        net.down = True
        await net.cut()
        begun = trio.current_time()
        with pytest.raises(Unreachable, match="did not come back within 10 s"):
            await tree.stat("file")
        assert trio.current_time() - begun <= 10
        net.down = False
        assert await tree.read_bytes("file") == b"content", "the next call tries again"


async def test_another_file_of_that_name_is_not_the_same(autojump_clock: trio.testing.MockClock) -> None:
    async with network() as (net, tree):
        await tree.write_bytes("file", b"one")
        await tree.write_bytes("gone", b"one")
        async with tree.open("file") as file, tree.open("gone") as gone:
            await tree.remove("file")
            await tree.remove("gone")
            await tree.write_bytes("file", b"two")
            assert await file.read(0, 10) == b"one"
            await net.cut()
            with pytest.raises(FileRemoved, match="another file"):
                await file.read(0, 10)
            with pytest.raises(FileNotFound):
                await gone.read(0, 10)


async def test_what_may_have_been_done_is_not_done_again(autojump_clock: trio.testing.MockClock) -> None:
    async with network() as (net, tree), trio.open_nursery() as nursery:
        await tree.mkdir("dir")
        await tree.write_bytes("dir/file", b"")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(net.tree.attach(OWNER, "")), "remove", lambda self: _never(net, nursery))
            with pytest.raises(ConnectionLost):
                await tree.remove("dir/file")
        await tree.remove("dir/file")
        await tree.rename("dir", "other")
        assert await tree.exists("other")


async def _never(net: Network, nursery: trio.Nursery) -> None:
    nursery.start_soon(net.cut)
    await trio.sleep_forever()


async def test_files_that_end_with_their_connection() -> None:
    async with network() as (_, tree):
        await tree.write_bytes("lock", b"", st.DMEXCL | 0o644)
        with pytest.raises(NotSupported):
            async with tree.open("lock"):
                pass
        with pytest.raises(NotSupported):
            async with tree.open("lock", m.ORDWR | m.ORCLOSE):
                pass


async def test_the_start_is_not_repeated() -> None:
    with pytest.raises(Unreachable):
        async with lasting("tcp!127.0.0.1!1", uname=OWNER):
            pass


class TestFilesWithAPlace(OpenedFiles):
    """The connection breaks all the time."""

    @asynccontextmanager
    async def tree(self, version: str) -> AsyncIterator[LastingTree]:
        async with network(version=version) as (self.net, tree):
            yield tree

    async def disturb(self) -> None:
        await self.net.cut()


async def test_what_was_not_answered_is_written_again(autojump_clock: trio.testing.MockClock) -> None:
    """The connections break with up to a whole window under way."""
    content = bytes(range(256)) * 20_000
    async with network() as (net, tree):
        async with await tree.open_file("file", "x") as file:
            for at in range(0, len(content), 100_000):
                await file.write(content[at : at + 100_000])
                if at % 1_000_000 == 0:
                    await net.cut()
        assert await tree.read_bytes("file") == content
        assert len(net.ways) == 7


async def test_an_append_only_file_is_not_written_twice(autojump_clock: trio.testing.MockClock) -> None:
    async with network() as (net, tree):
        root = net.tree.attach(OWNER, "")
        root.create("log", st.DMAPPEND | 0o644, m.OWRITE)
        file = await tree.open_file("log", "a")
        await file.write(b"one")
        await file.flush()
        await file.write(b"two")
        await net.cut()
        with pytest.raises(ConnectionLost):
            await file.flush()
        await file.aclose()
        assert await tree.read_bytes("log") in (b"one", b"onetwo")


async def test_making_what_must_be_new_is_not_repeated(autojump_clock: trio.testing.MockClock) -> None:
    async with network() as (net, tree):
        async with await tree.open_file("file", "x") as file:
            await file.write(b"x")
            await net.cut()
        with pytest.raises(FileExists):
            await tree.open_file("file", "x")
