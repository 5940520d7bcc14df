"""venti workloads: new, repeated and read blocks of 8 KiB, on any server that speaks the protocol."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from bench import servers
from bench.blocks import incompressible, textual
from bench.measure import Result, window
from bench.plan import Step
from ninep.wire import Client
from venti.blocktype import BlockType
from venti.dialect import VentiDialect
from venti.handshake import exchange_versions
from venti.messages import Rread, Thello, Tread, Tsync, Twrite
from venti.score import Score

BLOCK = 8192


@asynccontextmanager
async def greeted(port: int) -> AsyncIterator[Client[Any, Any]]:
    """A connection to 127.0.0.1 past its hello."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    version, buffer = await exchange_versions(stream)
    client: Client[Any, Any] = Client(stream, VentiDialect(version), buffer)
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        await client.call(Thello(version, "bench", 0, b"", b""), tag=0)
        yield client
        nursery.cancel_scope.cancel()


def plan(scale: float) -> list[Step]:
    """Ours and the original."""
    steps = [Step("venti", servers.our_venti, lambda port: run(port, "venti", scale))]
    if servers.plan9("venti/venti"):
        steps.append(Step("C venti", servers.c_venti, lambda port: run(port, "C venti", scale), False))
    return steps


async def run(port: int, server: str, scale: float) -> list[Result]:
    """All workloads on one server; ``scale`` 1 writes 256 MiB."""
    results: list[Result] = []
    kinds = {"random": incompressible, "text": textual}
    async with greeted(port) as client:
        for seed, (kind, make) in enumerate(kinds.items()):
            for depth in (1, 64):
                count = max(200, int((3_000 if depth == 1 else 16_000) * scale))
                blocks = make(count, BLOCK, seed * 2 + (depth == 1))
                scores = [Score.of(block) for block in blocks]

                new = await window(client, [Twrite(BlockType.DATA, block) for block in blocks], depth)
                results.append(new.result(server, f"new blocks, {kind}", depth, count * BLOCK))

                again = await window(client, [Twrite(BlockType.DATA, block) for block in blocks], depth)
                results.append(again.result(server, f"repeated blocks, {kind}", depth, count * BLOCK))

                await client.call(Tsync())
                order = random.Random(5).sample(scores, count)
                read = await window(client, [Tread(score, BlockType.DATA, BLOCK) for score in order], depth)
                results.append(read.result(server, f"read blocks, {kind}", depth, count * BLOCK))

                reply = await client.call(Tread(order[0], BlockType.DATA, BLOCK))
                if not isinstance(reply, Rread) or Score.of(reply.data) != order[0]:
                    raise AssertionError(f"{server} gave back another block")
    return results
