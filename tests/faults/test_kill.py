"""SIGKILL in the middle of the work, ten times in a row: what was answered is there afterwards, and is right."""

from __future__ import annotations

import contextlib
import getpass
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from ninep.client.tree import connect as attach
from ninep.net.errors import ConnectionLost
from ninep.protocol.errors import FileNotFound
from ninep.protocol.stat import Stat
from programs.processes import Program, free_port
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.stores.remote import connect

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

ROUNDS = 10
AT_ONCE = 64


async def until_killed(server: Program, work: Callable[[int], Awaitable[None]], seconds: float) -> None:
    """Runs 64 workers until the server is killed under them."""

    async def worker(number: int) -> None:
        with contextlib.suppress(ConnectionLost):
            while True:
                await work(number)

    async with trio.open_nursery() as nursery:
        for number in range(AT_ONCE):
            nursery.start_soon(worker, number)
        await trio.sleep(seconds)
        server.kill()


def test_venti(tmp_path: Path) -> None:
    port = free_port()
    address = f"tcp!127.0.0.1!{port}"
    source = random.Random(1)
    acknowledged: dict[Score, bytes] = {}

    def start() -> Program:
        return Program(port, "venti", "serve", address, "--store", str(tmp_path / "store"), log=tmp_path / "log")

    async def check(sample: int) -> None:
        async with connect(address) as store:
            for score in source.sample(sorted(acknowledged), min(sample, len(acknowledged))):
                assert await store.read(score, BlockType.DATA, 8192) == acknowledged[score]

    async def hurt(server: Program) -> None:
        async with connect(address) as store:

            async def write(_: int) -> None:
                data = source.randbytes(source.randrange(1, 4000)) + bytes(source.randrange(1000))
                acknowledged[await store.write(BlockType.DATA, data)] = data

            await until_killed(server, write, source.uniform(0.05, 0.6))

    for _ in range(ROUNDS):
        server = start()
        try:
            trio.run(check, 2000)
            before = len(acknowledged)
            trio.run(hurt, server)
            assert len(acknowledged) > before + 50
        finally:
            server.kill()
    server = start()
    try:
        trio.run(check, len(acknowledged))
    finally:
        server.stop()


def test_fossil(tmp_path: Path) -> None:
    """Files are made, written, renamed and removed; each answer is noted, and the rest is one of two states."""
    port = free_port()
    address = f"tcp!127.0.0.1!{port}"
    source = random.Random(2)
    state: dict[str, bytes | None] = {}
    pending: dict[str, bytes | None] = {}

    def start() -> Program:
        words = ("fossil", "serve", "--data", str(tmp_path / "data"), "--listen", address)
        return Program(port, *words, log=tmp_path / "log")

    async def check() -> None:
        async with attach(address, uname=getpass.getuser()) as tree:
            for name, data in state.items():
                try:
                    found: bytes | None = await tree.read_bytes(name)
                except FileNotFound:
                    found = None
                if name in pending:
                    # Unanswered when the server died: any part of it may have happened, in order.
                    whole = pending[name]
                    assert found in (data, whole) or (
                        whole is not None and found is not None and whole.startswith(found)
                    )
                    state[name] = found
                else:
                    assert found == data, name
            pending.clear()
            listed = {entry.name for entry in await tree.listdir()} - {"adm"}
            assert listed == {name for name, data in state.items() if data is not None}

    async def hurt(server: Program) -> None:
        async with attach(address, uname=getpass.getuser()) as tree:

            async def change(number: int) -> None:
                name = f"{number}-{source.randrange(20)}"
                data = state.get(name)
                if data is not None and source.random() < 0.3:
                    pending[name] = None
                    await tree.remove(name)
                    state[name] = None
                elif data is not None and source.random() < 0.3:
                    more = source.randbytes(source.randrange(1, 3000))
                    pending[name] = data + more
                    async with tree.open(name, 1) as file:
                        await file.write_range(len(data), more)
                        state[name] = data + more
                elif data is not None and source.random() < 0.3:
                    cut = source.randrange(len(data) + 1)
                    pending[name] = data[:cut]
                    await tree.wstat(name, Stat(length=cut))
                    state[name] = data[:cut]
                elif data is None:
                    content = source.randbytes(source.randrange(1, 20_000))
                    state.setdefault(name, None)
                    pending[name] = content
                    await tree.write_bytes(name, content)
                    state[name] = content
                pending.pop(name, None)

            await until_killed(server, change, source.uniform(0.1, 0.8))

    for _ in range(ROUNDS):
        server = start()
        try:
            trio.run(check)
            trio.run(hurt, server)
        finally:
            server.kill()
    server = start()
    try:
        trio.run(check)
        assert sum(data is not None for data in state.values()) > 100
    finally:
        server.stop()
