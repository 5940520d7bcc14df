"""Calls of the clients are cancelled at each of their checkpoints, and the connection goes on as if nothing was."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

import ninep.client.connection
import venti.stores.remote
from contracts.cancelled_at import at_each_checkpoint
from ninep.client.lasting import LastingTree, lasting_by
from ninep.client.tree import RemoteTree
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.errors import FileError
from ninep.protocol.stat import Stat
from ninep.ram.tree import RamTree
from ninep.server.serve import serve_stream
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.server import serve_stream as serve_blocks
from venti.stores.memory import MemoryStore
from venti.stores.redial import redialled

OWNER = "glenda"
CONTENT = b"content" * 10_000
DATA = BlockType.DATA


@asynccontextmanager
async def client(ram: RamTree, version: str) -> AsyncIterator[RemoteTree]:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, ram)
        async with ninep.client.connection.connected(near, version=version, msize=8216) as connection:
            yield RemoteTree(await connection.attach(OWNER))


async def _written(tree: Any) -> None:
    async with await tree.open_file("written", "w") as file:
        await file.write(CONTENT)
        await file.seek(0)
        await file.write(b"C")


async def _read(tree: Any) -> None:
    async with await tree.open_file("file") as file:
        assert await file.read() == CONTENT


async def _listed(tree: Any) -> None:
    assert any(entry.name == "file" for entry in await tree.listdir())


CALLS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "read": _read,
    "write": _written,
    "list": _listed,
    "stat": lambda tree: tree.stat("file"),
    "write_bytes": lambda tree: tree.write_bytes("written", CONTENT),
    "exists": lambda tree: tree.exists("none"),
}
OF_TREES: dict[str, Callable[[Any], Awaitable[object]]] = {
    "wstat": lambda tree: tree.wstat("file", Stat(mode=0o640)),
    "attach": lambda tree: tree.connection.attach(OWNER),
}


@pytest.mark.parametrize("version", [m.VERSION, m.VERSION_UNIX, lm.VERSION])
@pytest.mark.parametrize("name", [*CALLS, *OF_TREES])
async def test_files(name: str, version: str) -> None:
    async with client(RamTree(OWNER), version) as tree:
        await tree.write_bytes("file", CONTENT)

        async def check(_: bool) -> None:
            assert await tree.read_bytes("file") == CONTENT

        assert await at_each_checkpoint(lambda: (CALLS | OF_TREES)[name](tree), check) > 1
        known = 0
        for fid in range(tree.connection._next + 1):
            try:
                await tree.connection.ask(lm.Tgetattr(fid, 1) if version == lm.VERSION else m.Tstat(fid))
                known += 1
            except FileError:
                pass
        # Attaches that were not cancelled, or too late, have left their roots.
        assert known <= (3 if name == "attach" else 1)


@pytest.mark.parametrize("name", CALLS)
async def test_lasting_files(name: str) -> None:
    ram = RamTree(OWNER)
    async with lasting_by(lambda: client(ram, m.VERSION)) as tree:
        await tree.write_bytes("file", CONTENT)

        async def check(_: bool) -> None:
            assert await tree.read_bytes("file") == CONTENT

        await at_each_checkpoint(lambda: CALLS[name](tree), check)
        assert isinstance(tree, LastingTree)


@asynccontextmanager
async def blocks(store: MemoryStore) -> AsyncIterator[venti.stores.remote.RemoteStore]:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_blocks, far, store)
        async with venti.stores.remote.connected(near) as remote:
            yield remote


@pytest.mark.parametrize("again", [False, True])
async def test_blocks(again: bool) -> None:
    memory = MemoryStore()
    manager: Any = redialled(lambda: blocks(memory)) if again else blocks(memory)
    async with manager as store:
        first = await store.write(DATA, b"first")

        async def check(_: bool) -> None:
            assert await store.read(first, DATA, 100) == b"first"

        async def all_of_it() -> None:
            score = await store.write(DATA, b"second")
            assert score == Score.of(b"second")
            await store.sync()
            assert await store.read(score, DATA, 100) == b"second"

        assert await at_each_checkpoint(all_of_it, check) > 1


async def test_another_loop_is_told_so() -> None:
    """It would wait for ever, or worse."""
    async with client(RamTree(OWNER), m.VERSION) as tree:
        failures: list[BaseException] = []

        def elsewhere() -> None:
            async def ask() -> None:
                with trio.fail_after(20):
                    await tree.stat("")

            try:
                trio.run(ask)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await trio.to_thread.run_sync(thread.join)
        assert "event loop of another thread" in str(failures[0])
