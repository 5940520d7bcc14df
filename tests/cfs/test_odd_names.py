"""Names that are no text, behind the cache: files like any others to clients that speak dialects of Unix."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from ninep.client.connection import DIALECTS, connected
from ninep.client.tree import RemoteTree
from ninep.copy.get import Get
from ninep.copy.remove import Remove
from ninep.export.accounts import Accounts
from ninep.export.tree import ExportTree
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError
from ninep.protocol.ids import Ids
from ninep.server.serve import serve_stream
from programs.behind_cache import cached

NAMES = [b"latin\xe9", b"new\nline", b"tab\t", b"\xff\xfe", b"plain"]
unix = pytest.mark.parametrize("version", DIALECTS[1:])


def text(name: bytes) -> str:
    return os.fsdecode(name)


@asynccontextmanager
async def client(folder: Path, version: str, frozen: tuple[str, ...] = ()) -> AsyncIterator[RemoteTree]:
    """A client of an exported directory, through a cache."""
    served = folder / "served"
    served.mkdir(exist_ok=True)
    exported = ExportTree(served, accounts=Accounts(switch=False))
    try:
        async with cached(exported, folder / "cache", frozen=frozen) as tree, trio.open_nursery() as nursery:
            near, far = trio.testing.memory_stream_pair()
            nursery.start_soon(serve_stream, far, tree)
            async with connected(near, version=version, ids=Ids()) as connection:
                yield RemoteTree(await connection.attach("glenda"))
            nursery.cancel_scope.cancel()
    finally:
        exported.close()


@unix
@pytest.mark.parametrize("frozen", [(), (":",)])
async def test_they_are_listed_read_and_removed(tmp_path: Path, version: str, frozen: tuple[str, ...]) -> None:
    (tmp_path / "served/d").mkdir(parents=True)
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(tmp_path / "served/d") + b"/" + name)).write_bytes(name * 1000)
    async with client(tmp_path, version, frozen) as remote:
        for _ in range(2):
            assert sorted(entry.name for entry in await remote.listdir("d")) == sorted(map(text, NAMES))
            for name in NAMES:
                assert await remote.read_bytes(f"d/{text(name)}") == name * 1000
                assert (await remote.stat(f"d/{text(name)}")).length == 1000 * len(name)
        await Get(remote).get("d", tmp_path / "copy", recursive=True)
        assert sorted(os.listdir(os.fsencode(tmp_path / "copy"))) == sorted(NAMES)
        if not frozen:
            await Remove(remote).remove("d")
            assert await remote.listdir() == []


async def test_they_are_made_written_and_renamed(tmp_path: Path) -> None:
    async with client(tmp_path, DIALECTS[-1]) as remote:
        for name in map(text, NAMES):
            async with await remote.root.walk([]) as file:
                await file.create(name, 0o640, m.OWRITE)
                await file.write_range(0, b"made")
            await remote.mkdir(f"dir {name}")
            await remote.rename(name, f"dir {name}/{name}")
            assert await remote.read_bytes(f"dir {name}/{name}") == b"made"
            assert (await remote.stat(f"dir {name}/{name}")).mode & 0o777 == 0o640


async def test_in_9p2000_none_is_made_and_all_are_there(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "served") + b"/" + NAMES[0])).write_bytes(b"text")
    async with client(tmp_path, DIALECTS[0]) as remote:
        assert await remote.read_bytes(text(NAMES[0])) == b"text"
        async with await remote.root.walk([]) as file:
            with pytest.raises(FileError, match="illegal name"):
                await file.create(text(NAMES[1]), 0o640, m.OWRITE)
