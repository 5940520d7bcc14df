"""Servers of archives as they begin, are asked too much of, and end."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from ninep.net.errors import ConnectionLost
from ninep.wire.limits import Limits
from programs.processes import Program, environment, free_port, running
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import ReadOnlyStore, StoreFull
from venti.blocks.score import Score
from venti.server import LAST_WORDS, serve, serve_stream
from venti.stores.memory import MemoryStore
from venti.stores.remote import connect, connected

DATA = BlockType.DATA


class Slow:
    """A store whose writes take time."""

    def __init__(self, seconds: float) -> None:
        inner = MemoryStore()
        self.read, self.sync, self.aclose = inner.read, inner.sync, inner.aclose
        self.inner = inner
        self.seconds = seconds
        self.begun = trio.Semaphore(0)

    async def write(self, type: BlockType, data: bytes) -> Score:
        self.begun.release()
        await trio.sleep(self.seconds)
        return await self.inner.write(type, data)


async def listening() -> tuple[list[trio.SocketListener], int]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    return listeners, listeners[0].socket.getsockname()[1]


async def test_a_server_that_ends_answers_what_it_has() -> None:
    listeners, port = await listening()
    store = Slow(0.3)
    scores: list[Score] = []
    with trio.fail_after(30):
        async with connected_to(store, listeners, port) as (client, server):

            async def write(number: int) -> None:
                scores.append(await client.write(DATA, b"%d" % number))

            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(write, number)
                for _ in range(50):
                    await store.begun.acquire()
                server.cancel()
            assert len(scores) == 50
            with pytest.raises(ConnectionLost):
                await client.write(DATA, b"too late")


async def test_a_server_that_ends_does_not_wait_for_ever() -> None:
    listeners, port = await listening()
    store = Slow(1000)
    failed = []
    with trio.fail_after(LAST_WORDS + 30):
        async with connected_to(store, listeners, port) as (client, server):

            async def write() -> None:
                try:
                    await client.write(DATA, b"x")
                except ConnectionLost as error:
                    failed.append(error)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await store.begun.acquire()
                server.cancel()
    assert failed


class Full(MemoryStore):
    """A store that finds out only when blocks go to the disk that it is full."""

    full = False

    def flush_nowait(self) -> None:
        if self.full:
            raise StoreFull


async def test_a_flush_that_fails_is_no_trouble_of_who_reads() -> None:
    store = Full()
    near, far = trio.testing.memory_stream_pair()
    block = b"sent together with blocks that are not stored"
    score = await store.write(DATA, block)
    store.full = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, store)
        async with connected(near) as client:
            read = client.begin_read(score, DATA, 100)
            write = client.begin_write(DATA, b"new", Score.of(b"new"))
            again = client.begin_read(score, DATA, 100)
            assert await read.wait() == block
            with pytest.raises(StoreFull):
                await write.wait()
            assert await again.wait() == block
        nursery.cancel_scope.cancel()


class connected_to:
    """A server and a client of it; the scope ends the server."""

    def __init__(self, store: Slow, listeners: list[trio.SocketListener], port: int) -> None:
        self.store, self.listeners, self.port = store, listeners, port

    async def __aenter__(self) -> tuple[object, trio.CancelScope]:
        self.nursery_manager = trio.open_nursery()
        nursery = await self.nursery_manager.__aenter__()
        self.scope = trio.CancelScope()

        async def server(task_status: trio.TaskStatus[None]) -> None:
            with self.scope:
                await serve(self.store, self.listeners, task_status=task_status)

        await nursery.start(server)
        self.client_manager = connected(await trio.open_tcp_stream("127.0.0.1", self.port))
        return await self.client_manager.__aenter__(), self.scope

    async def __aexit__(self, *error: object) -> None:
        await self.client_manager.__aexit__(*error)
        self.scope.cancel()
        await self.nursery_manager.__aexit__(None, None, None)


async def test_no_more_clients_than_agreed() -> None:
    listeners, port = await listening()
    async with trio.open_nursery() as nursery:

        async def server(task_status: trio.TaskStatus[None]) -> None:
            await serve(MemoryStore(), listeners, connections=2, task_status=task_status)

        await nursery.start(server)
        address = f"tcp!127.0.0.1!{port}"
        async with connect(address) as first, connect(address) as second:
            with pytest.raises(ConnectionLost):
                async with connect(address):
                    pass
            assert await first.write(DATA, b"x") == await second.write(DATA, b"x")
        nursery.cancel_scope.cancel()


async def test_who_says_no_hello_in_time_is_hung_up_on() -> None:
    listeners, port = await listening()
    async with trio.open_nursery() as nursery:

        async def server(task_status: trio.TaskStatus[None]) -> None:
            await serve(MemoryStore(), listeners, limits=Limits(handshake=0.2), task_status=task_status)

        await nursery.start(server)
        for said in (b"", b"venti-04", b"venti-04-x\n", b"venti-04-x\n\0\0\0\x14\x04"):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(said)
                with trio.fail_after(30):
                    while await stream.receive_some():
                        pass
        nursery.cancel_scope.cancel()


# Real processes


@pytest.mark.process
def test_from_beginning_to_end(tmp_path: Path) -> None:
    """A second server is told whose the store is; SIGTERM and SIGINT are clean ends; then others may have it."""
    store = tmp_path / "store"
    for ending in (signal.SIGTERM, signal.SIGINT):
        port = free_port()
        server = Program(port, "venti", "serve", f"tcp!127.0.0.1!{port}", "--store", str(store), log=tmp_path / "log")
        with running():
            try:
                second = subprocess.run(
                    [sys.executable, "-m", "venti", "serve", f"tcp!127.0.0.1!{free_port()}", "--store", str(store)],
                    capture_output=True,
                    env=environment(),
                    timeout=60,
                    text=True,
                    check=False,
                )
                assert second.returncode == 1
                assert (
                    second.stderr
                    == f"venti: {store} is in use by process {server.process.pid}: stop it, or choose another --store\n"
                )

                async def write(address: str = f"tcp!127.0.0.1!{port}") -> None:
                    async with connect(address) as client:
                        await client.write(DATA, b"kept")

                trio.run(write)
                server.process.send_signal(ending)
                assert server.process.wait(60) == 0
            finally:
                server.kill()
    port = free_port()
    words = ("venti", "serve", f"tcp!127.0.0.1!{port}", "--store", str(store), "--read-only")
    with running(Program(port, *words, log=tmp_path / "log")):

        async def look() -> None:
            async with connect(f"tcp!127.0.0.1!{port}") as client:
                assert await client.read(Score.of(b"kept"), DATA, 10) == b"kept"
                with pytest.raises(ReadOnlyStore):
                    await client.write(DATA, b"more")
                await client.sync()

        trio.run(look)


@pytest.mark.process
def test_a_full_disk(tmp_path: Path) -> None:
    """Here a limit of the size of files: it is an error in words, and what was stored is served."""
    port = free_port()

    def limited(*arguments: str) -> Program:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
        try:
            return Program(port, *arguments, log=tmp_path / "log")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    async def work() -> None:
        async with connect(f"tcp!127.0.0.1!{port}") as client:
            kept = []

            async def fill() -> None:
                for number in range(100):
                    data = random.Random(number).randbytes(50_000)
                    kept.append((await client.write(DATA, data), data))

            with pytest.raises(StoreFull, match="no space left in arenas"):
                await fill()
            assert len(kept) > 15
            for score, data in kept:
                assert await client.read(score, DATA, 50_000) == data
                assert await client.write(DATA, data) == score
            await client.sync()

    with running(limited("venti", "serve", f"tcp!127.0.0.1!{port}", "--store", str(tmp_path / "store"))):
        trio.run(work)
    assert "the store is read-only until there is room" in (tmp_path / "log").read_text()


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = subprocess.run(
        [sys.executable, "-m", "venti", "serve", f"tcp!127.0.0.1!{free_port()}", "--store", str(tmp_path / "store")],
        capture_output=True,
        env=environment(),
        timeout=60,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "store") in done.stderr
