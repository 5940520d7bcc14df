"""A store of millions of blocks: what its index costs in memory, and how long a look-up takes.

The blocks are a few bytes each, so that ten million of them are written in minutes: the index does not know how large
a block is.
"""

from __future__ import annotations

import random
import socket
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench import servers
from bench.measure import Result
from bench.pipeline import greet, pipeline
from bench.plan import Step
from bench.processor import listener, resident, spent
from venti.blocks.blocktype import BlockType
from venti.blocks.score import SIZE, Score
from venti.protocol.messages import Request, Tread, Tsync, Twrite

COUNT = 10_000_000
"""Blocks at scale 1."""
GROUP = 100_000
LOOKUPS = 200_000
DEPTH = 64
PATIENCE = 120.0
"""Seconds that a server has to come to rest."""
_REST = 0.1
"""Of a processor, less than which is rest."""


def block(number: int) -> bytes:
    """A block like no other."""
    return b"%x" % number


def plan(scale: float, kept: Path | None = None) -> list[Step]:
    """Ours alone: the index of the original has a fixed size.

    ``kept`` is a directory for the store, which is left there; what an earlier run wrote is not written again.
    """

    async def work(port: int) -> list[Result]:
        return run(port, "venti", scale)

    return [Step("venti", servers.our_venti if kept is None else servers.our_kept_venti(kept), work)]


def run(port: int, server: str, scale: float) -> list[Result]:
    """Writes the blocks that are not there, then looks up some that are there and some that are not."""
    count = max(GROUP, int(COUNT * scale))
    process = listener(port)
    results: list[Result] = []
    peak = 0
    with greet(port) as connection:

        def measure(workload: str, requests: Sequence[Request]) -> Result:
            nonlocal peak
            before = spent(process)
            timing = pipeline([connection], requests, DEPTH)
            peak = max(peak, resident(process))
            result = timing.result(server, f"{workload}, {count / 1e6:.2g}M blocks", DEPTH)
            return replace(result, cpu=spent(process) - before, memory=peak)

        def looked_up(workload: str, score_of: Callable[[int], Score]) -> None:
            source = random.Random(1)
            wanted = (score_of(source.randrange(count)) for _ in range(max(GROUP, int(LOOKUPS * min(1.0, scale * 4)))))
            results.append(measure(workload, [Tread(score, BlockType.DATA, 100) for score in wanted]))

        groups = {
            first: measure("", [Twrite(BlockType.DATA, block(number)) for number in range(first, first + GROUP)])
            for first in range(_written(connection, count), count, GROUP)
        }
        tenth = max(GROUP, count // 10)
        for workload, part in (
            ("new, first", range(0, tenth, GROUP)),
            ("new, last", range(count - tenth, count, GROUP)),
        ):
            if groups.keys() >= set(part):
                written = [groups[first] for first in part]
                results.append(_together(written, f"{workload} tenth, {count / 1e6:.2g}M blocks"))
        if groups:
            pipeline([connection], [Tsync()], 1)
        _rested(process)
        looked_up("read", lambda number: Score.of(block(number)))
        looked_up("absent score", lambda number: Score(random.Random(number).randbytes(SIZE)))
    return results


def _written(connection: socket.socket, count: int) -> int:
    """The first group that is not there whole: they were written in their order."""

    def is_there(first: int) -> bool:
        replies: list[bytes] = []
        pipeline([connection], [Tread(Score.of(block(first + GROUP - 1)), BlockType.DATA, 100)], 1, replies)
        return replies == [block(first + GROUP - 1)]

    firsts = range(0, count, GROUP)
    return GROUP * bisect_left(firsts, True, key=lambda first: not is_there(first))


def _rested(process: int | None) -> None:
    """Waits until the server has little to do: after it was started it learns what its index has."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        before = spent(process)
        time.sleep(1)
        if spent(process) - before < _REST:
            return


def _together(results: Sequence[Result], workload: str) -> Result:
    middle = sorted(results, key=lambda result: result.p50)[len(results) // 2]
    return replace(
        results[-1],
        workload=workload,
        count=sum(result.count for result in results),
        seconds=sum(result.seconds for result in results),
        cpu=sum(result.cpu for result in results),
        p50=middle.p50,
        p99=max(result.p99 for result in results),
    )
