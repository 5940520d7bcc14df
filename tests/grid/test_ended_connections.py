"""A connection that has ended leaves nothing that only the collector could take: servers hardly ever let it look."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, TypeAlias

import pytest
import trio
import trio.testing

from cfs.files.cache import opened
from cfs.server import serve as serve_cache
from contracts.served_file import OWNER
from ninep.client.lasting import lasting
from ninep.client.tree import connect, local_user
from ninep.export.accounts import Accounts
from ninep.export.tree import ExportTree
from ninep.net.dial import dial
from ninep.net.errors import ConnectionLost
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.dialect import NinePDialect
from ninep.ram.tree import RamTree
from ninep.server.files import FileTree
from ninep.server.serve import serve, serve_stream
from ninep.synthetic.tree import SyntheticTree
from ninep.wire.client import Client
from programs.opened_fossil import Opened
from programs.venti_program import serving
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound
from venti.blocks.score import Score
from venti.stores import remote as venti_client
from venti.stores.memory import MemoryStore

WARM, COUNTED = 2, 4
OURS = ("ninep", "venti", "fossil", "cfs", "trio")
Using: TypeAlias = Callable[[str], Awaitable[None]]


@contextmanager
def garbage() -> Iterator[list[Any]]:
    """What becomes garbage in cycles within the block, at its end."""
    found: list[Any] = []
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def of_ours(found: list[Any]) -> Counter[str]:
    """Objects of this program among it, and of the library it runs on, by what they are."""
    names: Counter[str] = Counter()
    for item in found:
        kind = type(item)
        if isinstance(item, (FunctionType, MethodType)):
            module, name = item.__module__ or "", item.__qualname__
        else:
            module, name = kind.__module__, kind.__qualname__
        if module.partition(".")[0] in OURS:
            names[f"{module}.{name}"] += 1
    return names


@asynccontextmanager
async def tree_served(tree: FileTree) -> AsyncIterator[str]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, tree, listeners)
        yield f"tcp!127.0.0.1!{port}"
        nursery.cancel_scope.cancel()


async def leaves(address: str, use: Using) -> Counter[str]:
    """What ``COUNTED`` connections leave, after some that were not counted."""
    for _ in range(WARM):
        await use(address)
    await trio.testing.wait_all_tasks_blocked(0.02)
    with garbage() as found:
        for _ in range(COUNTED):
            await use(address)
            await trio.testing.wait_all_tasks_blocked(0.01)
        await trio.testing.wait_all_tasks_blocked(0.05)
    return of_ours(found)


def using(version: str, user: str = OWNER) -> Using:
    """A conversation with some of everything: files made, written, read, listed, refused and left open."""

    async def use(address: str) -> None:
        async with connect(address, uname=user, version=version) as tree:
            name = "some"
            await tree.write_bytes(name, b"x" * 5000)
            assert await tree.read_bytes(name) == b"x" * 5000
            assert name in [stat.name for stat in await tree.listdir("")]
            assert not await tree.exists("other")
            await tree.stat(name)
            file = await tree.walk(name)
            await file.open(m.OREAD)
            await tree.remove(name)

    return use


DIALECTS = pytest.mark.parametrize("version", [m.VERSION, m.VERSION_UNIX, lm.VERSION])


@DIALECTS
async def test_ramfs(version: str) -> None:
    async with tree_served(RamTree(OWNER)) as address:
        assert not await leaves(address, using(version))


@DIALECTS
async def test_export(version: str, tmp_path: Path) -> None:
    async with tree_served(ExportTree(tmp_path, accounts=Accounts(switch=False))) as address:
        assert not await leaves(address, using(version, local_user()))


@DIALECTS
async def test_fossil(version: str, tmp_path: Path) -> None:
    with Opened(tmp_path, owner=OWNER) as fossil:
        async with tree_served(fossil.tree) as address:
            assert not await leaves(address, using(version))


@DIALECTS
async def test_cfs(version: str, tmp_path: Path) -> None:
    async with tree_served(RamTree(OWNER)) as server:
        with opened(tmp_path, 8 << 20, server) as cache:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listeners[0].socket.getsockname()[1]
            async with trio.open_nursery() as nursery:
                await nursery.start(serve_cache, cache, lambda: dial(server, service="9fs"), listeners)
                assert not await leaves(f"tcp!127.0.0.1!{port}", using(version))
                nursery.cancel_scope.cancel()


async def test_lasting() -> None:
    async def use(address: str) -> None:
        async with lasting(address, uname=OWNER) as tree:
            await tree.write_bytes("some", b"x")
            assert await tree.read_bytes("some") == b"x"

    async with tree_served(RamTree(OWNER)) as address:
        assert not await leaves(address, use)


async def test_clients_that_vanish() -> None:
    async def use(address: str) -> None:
        stream = await dial(address, service="9fs")
        client: Client[Any, Any] = Client(stream, NinePDialect())
        async with trio.open_nursery() as nursery:
            await nursery.start(client.run)
            await client.call(m.Tversion(8192, m.VERSION), tag=m.NOTAG)
            await client.call(m.Tattach(0, m.NOFID, OWNER, ""))
            client.begin(m.Twalk(0, 1, ["nothing"]))
            client.send()
            nursery.cancel_scope.cancel()

    async with tree_served(RamTree(OWNER)) as address:
        assert not await leaves(address, use)


async def test_clients_of_servers_that_vanish() -> None:
    """With a request that waits for its answer, and one after that."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def converse(stream: trio.SocketStream) -> None:
        tree = SyntheticTree()
        vanishing = trio.Event()

        @tree.file("waits")
        async def waits() -> str:
            vanishing.set()
            await trio.sleep_forever()
            raise AssertionError

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_stream, stream, tree)
            await vanishing.wait()
            nursery.cancel_scope.cancel()

    async def use(address: str) -> None:
        async with connect(address) as tree:
            for _ in range(2):
                with pytest.raises(ConnectionLost):
                    await tree.read_bytes("waits")

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, converse, listeners)
        port = listeners[0].socket.getsockname()[1]
        assert not await leaves(f"tcp!127.0.0.1!{port}", use)
        nursery.cancel_scope.cancel()


async def test_cfs_whose_server_vanishes(tmp_path: Path) -> None:
    tree = RamTree(OWNER)
    scope = trio.CancelScope()
    again = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = again[0].socket.getsockname()[1]

    async def converse(stream: trio.SocketStream) -> None:
        nonlocal scope
        with trio.CancelScope() as scope:
            await serve_stream(stream, tree)

    async def use(address: str) -> None:
        async with connect(address, uname=OWNER) as remote:
            await remote.write_bytes("some", b"x" * 5000)
            file = await remote.walk("some")
            await file.open(m.OREAD)
            scope.cancel()
            assert await remote.read_bytes("some") == b"x" * 5000
            assert await file.read(0, 10) == b"x" * 10

    with opened(tmp_path, 8 << 20, "server") as cache:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, converse, again)
            await nursery.start(serve_cache, cache, lambda: dial(f"tcp!127.0.0.1!{port}", service="9fs"), listeners)
            address = f"tcp!127.0.0.1!{listeners[0].socket.getsockname()[1]}"
            assert not await leaves(address, use)
            nursery.cancel_scope.cancel()


async def test_venti() -> None:
    async def use(address: str) -> None:
        async with venti_client.connect(address) as store:
            score = await store.write(BlockType.DATA, b"some")
            assert await store.read(score, BlockType.DATA, 100) == b"some"
            with pytest.raises(BlockNotFound):
                await store.read(Score(bytes(range(20))), BlockType.DATA, 100)

    async with serving(MemoryStore()) as address:
        assert not await leaves(address, use)
