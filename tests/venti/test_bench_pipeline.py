"""The client that the benchmarks use: it counts every answer, in whatever pieces they come, and notices wrong ones."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from bench.pipeline import greet, pipeline
from bench.processor import listener, resident, spent
from programs.in_thread import InThread
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.protocol.messages import Tread, Tsync, Twrite
from venti.server import serve
from venti.stores.memory import MemoryStore

DATA = BlockType.DATA


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: serve(MemoryStore(), listeners, task_status=task_status))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("connections", "depth"), [(1, 1), (1, 64), (3, 64), (8, 7)])
def test_every_request_is_answered(connections: int, depth: int) -> None:
    running = InThread(server)
    sockets = [greet(running.thing) for _ in range(connections)]
    try:
        blocks = [random.Random(n).randbytes(random.Random(n).randrange(1, 20_000)) for n in range(400)]
        written = pipeline(sockets, [Twrite(DATA, block) for block in blocks], depth)
        assert len(written.latencies) == 400
        assert all(0 < latency < written.seconds + 1 for latency in written.latencies)
        replies: list[bytes] = []
        reads = [Tread(Score.of(block), DATA, 20_000) for block in blocks]
        pipeline(sockets, reads, depth, replies)
        assert sorted(replies) == sorted(blocks)
        assert len(pipeline(sockets, reads, depth).latencies) == 400
        assert len(pipeline(sockets[:1], [Tsync()], 1).latencies) == 1
        missing = [Tread(Score.of(b"%d" % n), DATA, 100) for n in range(100)]
        assert len(pipeline(sockets, missing, depth).latencies) == 100
        with pytest.raises(AssertionError, match="lump too large"):
            pipeline(sockets, [Twrite(DATA, bytes(60_000))], depth)
    finally:
        for connection in sockets:
            connection.close()
        running.close()


def test_what_a_process_costs() -> None:
    running = InThread(server)
    try:
        process = listener(running.thing)
        assert process is not None
        assert spent(process) > 0
        assert resident(process) > 1 << 20
    finally:
        running.close()
    assert spent(None) == 0
    assert resident(None) == 0


def test_processes_that_a_server_starts_count_as_the_server() -> None:
    before = resident(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        deadline = time.monotonic() + 30
        while not resident(child.pid) > 1 << 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert resident(os.getpid()) >= before + (1 << 20)
        child.communicate(b"\n")
