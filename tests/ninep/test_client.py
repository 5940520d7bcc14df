"""The client against our own server: paths, windows, and everything that goes as it should."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from ninep.client.remote_io import WINDOW
from ninep.client.tree import RemoteTree, connect, connected, split
from ninep.net.errors import Unreachable
from ninep.net.listen import listen, where
from ninep.protocol import messages as m
from ninep.protocol.errors import (
    FileError,
    FileExists,
    FileNotFound,
    IsDirectory,
    NameTooLong,
    NotDirectory,
    PermissionDenied,
    UnknownFid,
)
from ninep.protocol.stat import DMDIR, Stat
from ninep.ram.tree import RamTree
from ninep.server.files import FileTree
from ninep.server.serve import serve, serve_stream

OWNER = "glenda"


@asynccontextmanager
async def client(tree: FileTree | None = None, *, msize: int = 8216, uname: str = OWNER) -> AsyncIterator[RemoteTree]:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, tree or RamTree(OWNER))
        async with connected(near, msize=msize) as connection:
            yield RemoteTree(await connection.attach(uname))


async def fids_in_use(tree: RemoteTree) -> int:
    """How many fids the server still knows, of those that this connection ever used."""
    await tree.stat("")
    known = 0
    for fid in range(tree.connection._next + 1):
        try:
            await tree.connection.ask(m.Tstat(fid))
            known += 1
        except UnknownFid:
            pass
    return known


async def test_paths() -> None:
    async with client() as tree:
        await tree.mkdir("a")
        await tree.mkdir("/a/b/")
        await tree.write_bytes("a/b/c", b"content")
        assert await tree.read_bytes("./a//b/c") == b"content"
        await tree.write_bytes("a/b/c", b"new")
        assert await tree.read_bytes("a/b/c") == b"new"
        assert (await tree.stat("a/b/c")).length == 3
        assert (await tree.stat("/")).name == "/"
        assert [entry.name for entry in await tree.listdir("a")] == ["b"]
        await tree.rename("a/b/c", "d")
        assert await tree.exists("a/b/d")
        assert not await tree.exists("a/b/c")
        await tree.wstat("a/b/d", Stat(mode=0o600))
        assert (await tree.stat("a/b/d")).mode == 0o600
        await tree.remove("a/b/d")
        await tree.remove("a/b")
        assert await tree.listdir("a") == []
        assert await fids_in_use(tree) == 1


async def test_refusals_leave_no_fids() -> None:
    async with client() as tree:
        await tree.write_bytes("file", b"")
        await tree.mkdir("dir")
        with pytest.raises(FileNotFound):
            await tree.read_bytes("nothing")
        with pytest.raises(FileNotFound):
            await tree.read_bytes("dir/nothing/more")
        with pytest.raises(NotDirectory):
            await tree.read_bytes("file/more")
        with pytest.raises(FileExists):
            await tree.mkdir("dir")
        with pytest.raises(FileExists):
            await tree.mkdir("/")
        with pytest.raises(IsDirectory):
            await tree.write_bytes("dir", b"")
        with pytest.raises(FileError, match="cannot remove root"):
            await tree.remove("")
        await tree.write_bytes("dir/in", b"")
        with pytest.raises(FileError, match="not empty"):
            await tree.remove("dir")
        with pytest.raises(NameTooLong):
            await tree.walk("x" * 70000)
        with pytest.raises(NameTooLong):
            await tree.write_bytes("x" * 70000, b"")
        assert await fids_in_use(tree) == 1


async def test_a_walk_tells_the_servers_own_reason() -> None:
    """A short walk says only how far it came."""
    ram = RamTree(OWNER)
    async with client(ram) as tree:
        await tree.mkdir("open")
        await tree.mkdir("open/closed", 0o700)
        await tree.mkdir("open/closed/in")
    async with client(ram, uname="somebody") as tree:
        with pytest.raises(PermissionDenied):
            await tree.walk("open/closed/in")
        with pytest.raises(PermissionDenied):
            await tree.write_bytes("open/new", b"")


async def test_a_file_in_a_directory_that_may_not_be_written_can_be() -> None:
    ram = RamTree(OWNER)
    async with client(ram) as tree:
        await tree.write_bytes("log", b"old")
        await tree.wstat("log", Stat(mode=0o666))
    async with client(ram, uname="somebody") as tree:
        await tree.write_bytes("log", b"new")
        assert await tree.read_bytes("log") == b"new"


async def test_walks_of_more_names_than_a_message_holds() -> None:
    async with client(msize=512) as tree:
        names = [f"{n}-" + "x" * 50 for n in range(40)]
        for depth in range(1, len(names) + 1):
            await tree.mkdir("/".join(names[:depth]))
        await tree.write_bytes("/".join([*names, "leaf"]), b"deep")
        assert await tree.read_bytes("/".join([*names, "leaf"])) == b"deep"
        qids, file = await tree.root.walk_far([*names[:20], "nothing", *names[20:]])
        assert (len(qids), file) == (20, None)
        with pytest.raises(FileNotFound):
            await tree.walk("/".join([*names, "nothing"]))
        async with await tree.walk("/".join([*names, *[".."] * 40])) as file:
            assert file.qid.path == tree.root.qid.path
        assert await fids_in_use(tree) == 1


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 100_000, 3 * WINDOW + 5])
async def test_whole_files(size: int) -> None:
    data = random.Random(size).randbytes(size)
    async with client() as tree:
        await tree.write_bytes("file", data)
        assert await tree.read_bytes("file") == data
        async with tree.open("file") as file:
            for length in (0, 1, size - 1, size, size + 1, 2 * size):
                assert await file.read_all(length=max(length, 0)) == data


async def test_ranges() -> None:
    data = random.Random(1).randbytes(100_000)
    async with client() as tree, tree.create("file", mode=m.ORDWR) as file:
        await file.write_range(0, data[:70_000])
        await file.write_range(70_000, bytearray(data[70_000:]))
        for offset, count in ((0, 0), (0, 1), (5, 8192), (1, 70_000), (99_999, 10), (100_000, 5), (0, 1 << 62)):
            assert await file.read_range(offset, count) == data[offset : offset + count]
        assert bytes(await file.read(10, 1 << 30)) == data[10 : 10 + file.iounit]
        await file.write_range(3, memoryview(b"abcdef").cast("B")[::2].tobytes())
        assert await file.read_range(0, 8) == data[:3] + b"ace" + data[6:8]
        assert await file.safe()


async def test_leaving_a_read_early_disturbs_nothing() -> None:
    data = random.Random(1).randbytes(1_000_000)
    async with client() as tree:
        await tree.write_bytes("file", data)
        async with tree.open("file") as file:
            async for piece in file.reading(length=len(data)):
                assert piece == data[: len(piece)]
                break
            assert await file.read_range(500_000, 10) == data[500_000:500_010]
        assert await fids_in_use(tree) == 1


async def test_directories_of_many_entries() -> None:
    async with client(msize=512) as tree:
        names = {f"file-{n}" for n in range(300)}
        for name in names:
            await tree.write_bytes(name, b"")
        assert {entry.name for entry in await tree.listdir()} == names


async def test_error_in_the_body_is_not_hidden_by_the_end_of_the_file() -> None:
    async with client() as tree:

        async def spoilt(failure: Exception | None) -> None:
            async with tree.create("file") as file:
                await tree.connection.ask(m.Tclunk(file.fid))
                if failure:
                    raise failure

        with pytest.raises(ZeroDivisionError):
            await spoilt(ZeroDivisionError())
        with pytest.raises(UnknownFid):
            await spoilt(None)


async def test_a_file_ends_once() -> None:
    """The number may be another file's by the time of the second clunk."""
    async with client() as tree:
        await tree.write_bytes("a", b"")
        async with await tree.walk("a") as file:
            await file.remove()
            other = await tree.walk("")
            await file.clunk()
            await file.leave()
        assert (await other.stat()).mode & DMDIR
        with pytest.raises(UnknownFid):
            await file.stat()


async def test_many_tasks_share_a_connection() -> None:
    async with client() as tree:

        async def life(n: int) -> None:
            for turn in range(5):
                data = f"{n}-{turn}".encode() * 3000
                await tree.write_bytes(f"file-{n}", data)
                assert await tree.read_bytes(f"file-{n}") == data

        async with trio.open_nursery() as nursery:
            for n in range(30):
                nursery.start_soon(life, n)
        assert len(await tree.listdir()) == 30
        assert await fids_in_use(tree) == 1


async def test_cancelling_anywhere_leaves_no_fids() -> None:
    """The same work is cancelled at each of its steps."""
    async with client() as tree:
        await tree.mkdir("dir")
        await tree.write_bytes("dir/file", bytes(50_000))

        async def work() -> None:
            await tree.write_bytes("dir/other", bytes(20_000))
            await tree.read_bytes("dir/file")
            await tree.listdir("dir")
            await tree.remove("dir/other")

        steps = 0
        finished = False
        while not finished:
            with trio.CancelScope() as scope:
                left = steps

                async def stepped() -> None:
                    nonlocal left
                    while True:
                        await trio.lowlevel.checkpoint()
                        left -= 1
                        if left <= 0:
                            scope.cancel()

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(stepped)
                    await work()
                    finished = True
                    nursery.cancel_scope.cancel()
            steps += 1
            assert steps < 2000
        assert steps > 20
        assert await fids_in_use(tree) == 1
        assert tree.connection.client.in_flight == 0


async def test_over_a_real_socket() -> None:
    listeners = await listen("tcp!127.0.0.1!0", service="9fs")
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, RamTree(OWNER), listeners)
        data = random.Random(9).randbytes(5_000_000)
        async with connect(where(listeners[0]), uname=OWNER) as tree:
            assert tree.connection.msize == 1024 * 1024 + 24
            await tree.write_bytes("file", data)
            assert await tree.read_bytes("file") == data
        with pytest.raises(PermissionDenied):
            async with connect(where(listeners[0]), uname="other") as tree:
                await tree.write_bytes("file2", b"")
        nursery.cancel_scope.cancel()
    with pytest.raises(Unreachable):
        async with connect(where_nobody_is(), uname=OWNER):
            pass


def where_nobody_is() -> str:
    return "unix!/nonexistent/socket"


@pytest.mark.parametrize(
    ("path", "names"),
    [("", []), ("/", []), ("a/b", ["a", "b"]), ("/a//./b/", ["a", "b"]), ("a/../b", ["a", "..", "b"])],
)
def test_split(path: str, names: list[str]) -> None:
    assert split(path) == names
