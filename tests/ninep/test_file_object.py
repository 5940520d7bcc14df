"""Files with a place in them, in async programs and in scripts, against Python's own files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from contracts.opened_files import OpenedFiles
from ninep.blocking import BlockingTree
from ninep.blocking import connect as connect_blocking
from ninep.client.connection import DIALECTS, connected
from ninep.client.tree import RemoteTree
from ninep.copy.transfer import Progress
from ninep.net.errors import ConnectionLost, Unreachable
from ninep.net.listen import listen, where
from ninep.protocol.errors import FileExists, FileNotFound
from ninep.ram.tree import RamTree
from ninep.server.serve import serve, serve_stream
from programs.in_thread import InThread

OWNER = "glenda"


@asynccontextmanager
async def remote(version: str = DIALECTS[0], msize: int = 8192) -> AsyncIterator[RemoteTree]:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_stream, far, RamTree(OWNER)))
        async with connected(near, msize=msize, version=version) as connection:
            yield RemoteTree(await connection.attach(OWNER))


class TestRemote(OpenedFiles):
    @asynccontextmanager
    async def tree(self, version: str) -> AsyncIterator[RemoteTree]:
        async with remote(version) as tree:
            yield tree


@pytest.mark.parametrize("version", DIALECTS)
async def test_scandir(version: str) -> None:
    async with remote(version) as tree:
        for number in range(300):
            await tree.write_bytes(f"{number}", b"x" * number)
        async with tree.scandir() as entries:
            found = {entry.name: entry.length async for entry in entries}
        assert found == {f"{number}": number for number in range(300)}
        async with tree.scandir() as entries:
            async for _ in entries:
                break
        assert await tree.read_bytes("7") == b"x" * 7


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    listeners = await listen("tcp!127.0.0.1!0", service="9fs")
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, RamTree(OWNER), listeners)
        yield where(listeners[0])
        nursery.cancel_scope.cancel()


@contextmanager
def script() -> Iterator[BlockingTree]:
    server = InThread(served)
    try:
        with connect_blocking(server.thing, uname=OWNER) as tree:
            yield tree
    finally:
        server.close()


def test_a_script(tmp_path: Path) -> None:
    with script() as tree:
        tree.mkdir("dir")
        with tree.open("dir/text", "w") as file:
            file.write("héllo\n" * 50_000)
        with tree.open("dir/text") as file:
            assert list(file) == ["héllo\n"] * 50_000
        with tree.open("dir/bytes", "wb") as file:
            file.write(bytes(range(256)) * 4000)
        with tree.open("dir/bytes", "r+b") as file:
            file.seek(1000)
            file.write(b"changed")
            file.seek(995)
            assert file.read(20)[5:12] == b"changed"
        assert tree.stat("dir/bytes").length == 1_024_000
        assert [entry.name for entry in tree.listdir("dir")] == ["text", "bytes"]
        with tree.scandir("dir") as entries:
            assert next(entries).name == "text"
        told: list[Progress] = []
        tree.get("dir", tmp_path / "copy", told.append)
        assert told[-1].files == 2
        assert (tmp_path / "copy" / "text").read_text(encoding="utf-8") == "héllo\n" * 50_000
        tree.put(tmp_path / "copy", "again")
        tree.rename("again/text", "other")
        assert tree.read_text("again/other")[:5] == "héllo"
        tree.rmtree("again")
        assert not tree.exists("again")
        with pytest.raises(FileNotFound):
            tree.read_bytes("none")
        with pytest.raises(FileExists):
            tree.mkdir("dir")
    with pytest.raises(ConnectionLost):
        tree.read_bytes("dir/text")


def test_nobody_there() -> None:
    with pytest.raises(Unreachable), connect_blocking("tcp!127.0.0.1!1", uname=OWNER):
        pass
