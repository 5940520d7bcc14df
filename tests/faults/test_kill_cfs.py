"""SIGKILL for the cache in the middle of the work, ten times in a row: a client never gets a wrong byte afterwards."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
import trio

from ninep.client.tree import connect
from ninep.net.errors import WireError
from ninep.protocol.errors import NinepError
from programs.processes import Program, free_port

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

ROUNDS = 10
FILES = 40
READERS = 8
BOUND = "4M"
"""Less than there is to read, so that extents come and go all the time."""


def test_cfs(tmp_path: Path) -> None:
    far, near = free_port(), free_port()
    server_address, cache_address = f"tcp!127.0.0.1!{far}", f"tcp!127.0.0.1!{near}"
    source = random.Random(3)
    contents: dict[str, bytes] = {}

    def start() -> Program:
        words = ("cfs", "serve", "-a", server_address, "--listen", cache_address, "--size", BOUND)
        return Program(near, *words, "--cache", f"{tmp_path}/cache", "--immutable", ":past", log=tmp_path / "log")

    async def make() -> None:
        async with connect(server_address) as tree:
            await tree.mkdir("past")
            for number in range(FILES):
                for name in (f"{number}", f"past/{number}"):
                    contents[name] = source.randbytes(source.randrange(1, 300_000))
                    await tree.write_bytes(name, contents[name])

    async def change() -> None:
        """Behind the cache's back, while it is dead."""
        async with connect(server_address) as tree:
            for number in source.sample(range(FILES), 10):
                contents[f"{number}"] = source.randbytes(len(contents[f"{number}"]))
                await tree.write_bytes(f"{number}", contents[f"{number}"])

    async def check(count: int) -> None:
        async with connect(cache_address) as tree:
            for name in source.sample(sorted(contents), count):
                assert await tree.read_bytes(name) == contents[name], name

    async def hurt(cache: Program) -> None:
        async def read() -> None:
            with contextlib.suppress(NinepError, WireError):
                while True:
                    await check(5)

        async with trio.open_nursery() as nursery:
            for _ in range(READERS):
                nursery.start_soon(read)
            await trio.sleep(source.uniform(0.1, 0.6))
            cache.kill()

    server = Program(far, "ninep", "ramfs", server_address, log=tmp_path / "server.log")
    try:
        trio.run(make)
        for _ in range(ROUNDS):
            cache = start()
            try:
                trio.run(check, 10)
                trio.run(hurt, cache)
            finally:
                cache.kill()
            trio.run(change)
        cache = start()
        try:
            trio.run(check, len(contents))
        finally:
            cache.stop()
        assert "Traceback" not in (tmp_path / "log").read_text()
        assert sum(path.stat().st_blocks * 512 for path in (tmp_path / "cache").iterdir()) <= 4 << 20
    finally:
        server.kill()
