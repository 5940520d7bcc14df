"""Clients and servers that other people wrote in Python, each in an event loop of its own in a thread, against ours."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from pyroute2 import Plan9ClientSocket, Plan9ServerSocket
from pyroute2.plan9 import msg_tclunk, msg_topen, msg_tstat

from ninep.client.tree import connect
from ninep.protocol.errors import FileError
from ninep.ram.tree import RamTree
from ninep.server.serve import serve
from programs.processes import free_port

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")

PATIENCE = 60

quiet = logging.getLogger("peers")
quiet.setLevel(logging.CRITICAL)
quiet.propagate = False


@pytest.fixture(scope="module")
def aio9p() -> SimpleNamespace:
    """The parts of aio9p. It silences every logger there is when it is imported, so that is taken back."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        from aio9p.dialect.client.Py9P2000 import Py9P2000Client
        from aio9p.example.simple import Simple9P2000
        from aio9p.protocol import Py9PServer
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
    return SimpleNamespace(Client=Py9P2000Client, Simple=Simple9P2000, Server=Py9PServer)


@contextlib.asynccontextmanager
async def our_server() -> AsyncIterator[int]:
    """A ramfs with two files, on the port that this yields; whoever comes owns it."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, RamTree(getpass.getuser()), listeners)
        async with connect(f"tcp!127.0.0.1!{port}") as tree:
            await tree.mkdir("lib")
            await tree.write_bytes("lib/fog", b"on little cat feet")
            await tree.write_bytes("big", bytes(range(256)) * 400)
        yield port
        nursery.cancel_scope.cancel()


async def elsewhere(work: Callable[[], Awaitable[Any]]) -> Any:
    """Runs an asyncio function in a thread."""
    with trio.fail_after(PATIENCE):
        return await trio.to_thread.run_sync(asyncio.run, asyncio.wait_for(work(), PATIENCE))


@contextlib.asynccontextmanager
async def their_server(start: Callable[[int], Awaitable[Callable[[], Awaitable[None]]]]) -> AsyncIterator[int]:
    """Somebody's asyncio server in a thread; ``start`` gets a port and returns what ends the server."""
    port = free_port()
    started, done = trio.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()
    ending: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def work() -> None:
        end = asyncio.Event()
        ending.append((asyncio.get_running_loop(), end))
        close = await start(port)
        token.run_sync_soon(started.set)
        await end.wait()
        await close()

    async def thread() -> None:
        await trio.to_thread.run_sync(asyncio.run, asyncio.wait_for(work(), PATIENCE))
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread)
        with trio.fail_after(PATIENCE):
            await started.wait()
            try:
                yield port
            finally:
                loop, end = ending[0]
                loop.call_soon_threadsafe(end.set)
            await done.wait()


async def test_client_of_pyroute2() -> None:
    async def work(port: int) -> None:
        client = Plan9ClientSocket(address=("127.0.0.1", port))
        await client.start_session()

        async def opened(path: str, mode: int) -> int:
            fid = await client.fid(path)
            message = msg_topen()
            message["fid"], message["mode"] = fid, mode
            await client.request(message)
            return int(fid)

        fog = await opened("lib/fog", 2)
        assert bytes((await client.read(fog))["data"]) == b"on little cat feet"
        assert (await client.write(fog, b"ON"))["count"] == 2
        assert bytes((await client.read(fog, offset=1, count=8))["data"]) == b"N little"
        message = msg_tstat()
        message["fid"] = fog
        status = (await client.request(message))["stat"]
        assert (status["name"], status["length"]) == ("fog", 18)
        big = await opened("big", 0)
        assert bytes((await client.read(big, offset=300, count=4000))["data"]) == (bytes(range(256)) * 400)[300:4300]
        message = msg_tclunk()
        message["fid"] = big
        await client.request(message)
        client.close()

    async with our_server() as port:
        await elsewhere(lambda: work(port))
        async with connect(f"tcp!127.0.0.1!{port}") as tree:
            assert await tree.read_bytes("lib/fog") == b"ON little cat feet"


async def test_server_of_pyroute2() -> None:
    async def start(port: int) -> Callable[[], Awaitable[None]]:
        server = Plan9ServerSocket(address=("127.0.0.1", port))
        server.filesystem.create("fog", data="on little cat feet")
        sums = server.filesystem.create("sum")
        sums.register_function(lambda a, b: a + b)
        task = await server.async_run()

        async def close() -> None:
            task.cancel()

        return close

    async with their_server(start) as port, connect(f"tcp!127.0.0.1!{port}") as tree:
        assert {entry.name for entry in await tree.listdir()} == {"fog", "sum"}
        assert (await tree.stat("fog")).length == 18
        async with tree.open("fog", 2) as file:
            assert bytes(await file.read(3, 6)) == b"little"
            assert await file.write(0, b"ON") == 2
            assert bytes(await file.read(0, 100)) == b"ON little cat feet"
        async with tree.open("sum", 2) as file:
            await file.write(0, b'{"a": 17, "b": 25}')
            assert bytes(await file.read(0, 100)) == b"42"
        with pytest.raises(FileError, match="file not found"):
            await tree.stat("nothing")


async def test_client_of_aio9p(aio9p: SimpleNamespace) -> None:
    async def work(port: int) -> None:
        remote = {"host": "127.0.0.1", "port": port}
        async with aio9p.Client(logger=quiet, remote=remote) as client:
            # What works of it: its open and create send messages of other types, and it loses replies without a body.
            assert await client.version(8192, b"9P2000") == (8192, b"9P2000")
            root, fid = (number.to_bytes(4, "little") for number in (0, 1))
            assert (await client.attach(root, b"\xff" * 4, getpass.getuser().encode(), b""))[0] == 0x80
            qids = await client.walk(root, fid, (b"lib", b"fog"))
            assert [qid[0] for qid in qids] == [0x80, 0]
            status = await client.stat(fid)
            assert (status.p9name, status.p9length, status.p9qid) == (b"fog", 18, qids[1])

    async with our_server() as port:
        await elsewhere(lambda: work(port))


async def test_server_of_aio9p(aio9p: SimpleNamespace) -> None:
    async def start(port: int) -> Callable[[], Awaitable[None]]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: aio9p.Server(aio9p.Simple(65535, logger=quiet), logger=quiet), "127.0.0.1", port
        )

        async def close() -> None:
            server.close()
            await server.wait_closed()

        return close

    async with their_server(start) as port, connect(f"tcp!127.0.0.1!{port}") as tree:
        assert await tree.listdir() == []
        async with tree.create("poem", 0o644, 2) as file:
            assert await file.write(0, b"the fog comes") == 13
            assert bytes(await file.read(4, 3)) == b"fog"
        assert [entry.name for entry in await tree.listdir()] == ["poem"]
        assert await tree.read_bytes("poem") == b"the fog comes"
