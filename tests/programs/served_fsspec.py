"""Servers for tests of the file system of fsspec: each a tree in a thread, and its address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import trio

from ninep.client.tree import local_user
from ninep.export.accounts import Accounts
from ninep.export.tree import ExportTree
from ninep.net.listen import listen, where
from ninep.ram.tree import RamTree
from ninep.server.files import FileTree
from ninep.server.serve import serve
from programs.opened_fossil import Opened


@asynccontextmanager
async def served(tree: FileTree, address: str = "tcp!127.0.0.1!0") -> AsyncIterator[str]:
    listeners = await listen(address, service="9fs")
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, tree, listeners)
        yield where(listeners[0])
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def ramfs(_: Path) -> AsyncIterator[str]:
    async with served(RamTree(local_user())) as address:
        yield address


@asynccontextmanager
async def export(path: Path) -> AsyncIterator[str]:
    (path / "exported").mkdir()
    tree = ExportTree(path / "exported", accounts=Accounts(switch=False))
    async with served(tree) as address:
        yield address
    tree.close()


@asynccontextmanager
async def fossil(path: Path) -> AsyncIterator[str]:
    (path / "fossil").mkdir()
    with Opened(path / "fossil", owner=local_user()) as opened:
        async with served(opened.tree) as address:
            yield address


SERVERS: dict[str, Callable[[Path], AbstractAsyncContextManager[str]]] = {
    "ramfs": ramfs,
    "export": export,
    "fossil": fossil,
}
