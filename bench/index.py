"""A store of millions of blocks: what its index costs in memory, and how long a look-up takes.

The blocks are a few bytes each, so that ten million of them are written in minutes: the index does not know how large
a block is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from bench import servers
from bench.measure import Result
from bench.pipeline import greet, pipeline
from bench.plan import Step
from bench.processor import listener, resident, spent
from venti.blocktype import BlockType
from venti.messages import Request, Tread, Tsync, Twrite
from venti.score import SIZE, Score

COUNT = 10_000_000
"""Blocks at scale 1."""
GROUP = 100_000
LOOKUPS = 200_000
DEPTH = 64


def block(number: int) -> bytes:
    """A block like no other."""
    return b"%x" % number


def plan(scale: float) -> list[Step]:
    """Ours alone: the index of the original has a fixed size."""

    async def work(port: int) -> list[Result]:
        return run(port, "venti", scale)

    return [Step("venti", servers.our_venti, work)]


def run(port: int, server: str, scale: float) -> list[Result]:
    """Writes blocks, then looks up some that are there and some that are not."""
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

        groups = [
            measure("", [Twrite(BlockType.DATA, block(number)) for number in range(first, first + GROUP)])
            for first in range(0, count, GROUP)
        ]
        for workload, part in (
            ("new, first", groups[: max(1, len(groups) // 10)]),
            ("new, last", groups[-len(groups) // 10 :]),
        ):
            results.append(_together(part, f"{workload} tenth, {count / 1e6:.2g}M blocks"))
        pipeline([connection], [Tsync()], 1)
        looked_up("read", lambda number: Score.of(block(number)))
        looked_up("absent score", lambda number: Score(random.Random(number).randbytes(SIZE)))
    return results


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
