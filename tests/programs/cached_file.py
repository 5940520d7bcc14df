"""A file server with one file, the cache before it, and clients of both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import trio

from fakes.ninep_client import Raw, connected
from ninep.protocol import messages as m
from ninep.ram.tree import RamTree
from programs.behind_cache import MIB, Grid, grid

OWNER = "glenda"
DATA = Random(1).randbytes(3 * MIB + 12345)


@asynccontextmanager
async def setting(
    directory: Path, *, data: bytes = DATA, size: int = 64 * MIB, max_msize: int = MIB + 24
) -> AsyncIterator[tuple[Grid, Raw, Raw]]:
    """A file ``f`` with ``data``; a client of the cache, and one of the file server itself."""
    tree = RamTree(OWNER, mode=0o777)
    async with (
        grid(tree, directory, size=size, max_msize=max_msize) as one,
        connected(tree, OWNER, msize=8 * MIB) as direct,
        one.client() as raw,
    ):
        await direct.made("f", data=data[:MIB])
        fid = await direct.open("f", mode=m.OWRITE)
        for at in range(MIB, len(data), MIB):
            await direct.ask(m.Twrite(fid, at, data[at : at + MIB]))
        await direct.ask(m.Tclunk(fid))
        yield one, raw, direct


async def whole(raw: Raw, *names: str, count: int = 65536) -> bytes:
    """The content of a file, read as most programs do."""
    fid = await raw.open(*names)
    data = b""
    while piece := await raw.read(fid, len(data), count):
        data += piece
    await raw.ask(m.Tclunk(fid))
    await trio.testing.wait_all_tasks_blocked()
    return data
