"""What the client says to a program that asks for the wrong thing, and that it goes on working afterwards."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Any

import pytest
import trio
import trio.testing

from ninep.client.connection import Connection
from ninep.client.tree import RemoteTree, connect, connected
from ninep.net import identity
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.errors import FileError, IsDirectory, NinepError, NotDirectory
from ninep.protocol.stat import DMDIR, Stat
from ninep.ram.tree import RamTree
from ninep.server.serve import serve_stream
from ninep.synthetic.tree import SyntheticTree

OWNER = "glenda"
DIALECTS = pytest.mark.parametrize("version", [m.VERSION, m.VERSION_UNIX, lm.VERSION])


@asynccontextmanager
async def client(version: str = m.VERSION) -> AsyncIterator[RemoteTree]:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, RamTree(OWNER))
        async with connected(near, version=version) as connection:
            tree = RemoteTree(await connection.attach(OWNER))
            await tree.mkdir("dir")
            await tree.write_bytes("file", b"content")
            yield tree


@DIALECTS
async def test_a_file_is_no_directory(version: str) -> None:
    async with client(version) as tree:
        with pytest.raises(NotDirectory):
            await tree.listdir("file")
        with pytest.raises(NotDirectory):
            async with tree.scandir("file") as entries:
                await anext(entries)
        assert await tree.read_bytes("file") == b"content"


@DIALECTS
async def test_a_directory_has_no_content(version: str) -> None:
    async with client(version) as tree:
        await tree.write_bytes("dir/in", b"")
        for mode in ("r", "r+", "w", "a"):
            with pytest.raises(IsDirectory):
                await tree.open_file("dir", mode)
        with pytest.raises(IsDirectory):
            await tree.read_bytes("dir")
        assert await tree.read_bytes("file") == b"content"


@DIALECTS
async def test_permissions_of_a_directory_need_not_say_that_it_is_one(version: str) -> None:
    async with client(version) as tree:
        await tree.wstat("dir", Stat(mode=0o700))
        assert (await tree.stat("dir")).mode == DMDIR | 0o700
        await tree.wstat("dir", Stat(mode=DMDIR | 0o750))
        assert (await tree.stat("dir")).mode == DMDIR | 0o750


@pytest.mark.parametrize("version", ["9P2000.X", "", "9p2000", "9P2000.l", "9P2000\n"])
async def test_a_dialect_that_there_is_not(version: str) -> None:
    near, _ = trio.testing.memory_stream_pair()
    with pytest.raises(ValueError, match=r"say 9P2000, 9P2000\.u, 9P2000\.L"):
        Connection(near, version=version)
    with pytest.raises(ValueError, match=r"is no dialect"):
        async with connected(near, version=version):
            raise AssertionError


@pytest.mark.parametrize("msize", [0, -1, 100, 1 << 32])
async def test_a_message_size_that_cannot_be(msize: int) -> None:
    near, _ = trio.testing.memory_stream_pair()
    with pytest.raises(ValueError, match="cannot be"):
        Connection(near, msize=msize)


async def test_nobody_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of a fresh container has a number, but neither an account nor variables."""
    for variable in identity.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    with pytest.raises(NinepError, match="as which user to attach"):
        async with connect("tcp!127.0.0.1!1"):
            raise AssertionError


@DIALECTS
@pytest.mark.parametrize("wrong", ["text", 5, None, ["a"], {"a": 1}, object()])
async def test_content_of_a_wrong_type_destroys_nothing(version: str, wrong: Any) -> None:
    async with client(version) as tree:
        with pytest.raises(TypeError):
            await tree.write_bytes("file", wrong)
        with pytest.raises(TypeError):
            await tree.write_bytes("new", wrong)
        assert await tree.read_bytes("file") == b"content"
        assert not await tree.exists("new")
        async with await tree.open_file("file", "r+") as file:
            with pytest.raises(TypeError):
                await file.write(wrong)
        assert await tree.read_bytes("file") == b"content"


WRONG = [None, 5, -1, 1 << 70, "", b"x", [], ["a"], object(), "\0", "a\0b", "x" * 70_000, "\ud800", 1.5, True]
BY_PATH = ["walk", "read_bytes", "mkdir", "listdir", "stat", "readlink", "remove", "exists", "open_file"]


@DIALECTS
async def test_no_argument_whatever_costs_the_connection(version: str) -> None:
    """A string with NUL, say, would make the server hang up."""
    async with client(version) as tree:
        for name in BY_PATH:
            for wrong in WRONG:
                if name == "remove" and wrong == "":
                    continue
                try:
                    found = await getattr(tree, name)(wrong)
                    if name == "walk":
                        await found.clunk()
                except (NinepError, TypeError, ValueError):
                    pass
        for wrong in WRONG:
            for ask in (
                lambda wrong=wrong: tree.write_bytes(wrong, b"x"),
                lambda wrong=wrong: tree.rename("none", wrong),
                lambda wrong=wrong: tree.symlink("dir/link", wrong),
                lambda wrong=wrong: tree.wstat("file", Stat(gid=wrong)),
                lambda wrong=wrong: tree.wstat("file", wrong),
                lambda wrong=wrong: tree.connection.attach(wrong),
            ):
                try:
                    await ask()
                except (NinepError, TypeError, ValueError, AttributeError):
                    pass
        assert tree.connection.lost is None
        assert await tree.read_bytes("file") == b"content"


async def test_a_path_may_be_one_of_pathlib() -> None:
    async with client() as tree:
        assert await tree.read_bytes(PurePosixPath("/file")) == b"content"
        with pytest.raises(TypeError, match="a path is a str"):
            await tree.read_bytes(b"file")  # type: ignore[arg-type]  # that is the mistake


async def test_a_refusal_with_a_strange_text_does_not_cost_the_connection() -> None:
    made = SyntheticTree(OWNER)

    @made.file("strange")
    def strange() -> str:
        raise ValueError("a\0b" + "x" * 100_000 + "\ud800")

    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, made)
        async with connected(near) as connection:
            tree = RemoteTree(await connection.attach(OWNER))
            with pytest.raises(FileError, match="a\ufffdb"):
                await tree.read_bytes("strange")
            assert await tree.exists("strange")
