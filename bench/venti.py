"""venti workloads: new, repeated and read blocks of 8 KiB, on any servers that speak the protocol.

All servers run at the same time and take turns, workload by workload, so that whatever else the machine does hits each
of them. Every workload is done several times with new blocks; the round in the middle counts. Blocks are read at random
from all that were written before, more than the caches of the servers hold.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from bench import servers
from bench.blocks import incompressible, textual
from bench.measure import Result
from bench.pipeline import greet, pipeline
from bench.plan import Step
from bench.processor import listener, spent
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.protocol.messages import Request, Tread, Tsync, Twrite

BLOCK = 8192
ROUNDS = 3
KINDS = {"random": incompressible, "text": textual}


class Case(NamedTuple):
    """What is varied: the data, the requests in flight on each connection, the connections, the blocks at scale 1."""

    kind: str
    depth: int
    connections: int
    blocks: int

    @property
    def label(self) -> str:
        """For the name of a workload."""
        return self.kind if self.connections == 1 else f"{self.kind}, {self.connections} clients"


CASES = (
    Case("random", 64, 1, 12_000),
    Case("text", 64, 1, 12_000),
    Case("random", 1, 1, 2000),
    Case("text", 1, 1, 2000),
    Case("random", 64, 8, 16_000),
    Case("text", 64, 8, 16_000),
)


def plan(scale: float) -> list[Step]:
    """Ours, and beside it the original where there is one."""

    async def work(port: int) -> list[Result]:
        with contextlib.ExitStack() as stack:
            ports = {"venti": port}
            if servers.plan9("venti/venti"):
                ports["C venti"] = stack.enter_context(servers.c_venti())
            return run(ports, scale)

    return [Step("venti", servers.our_venti, work)]


def run(ports: Mapping[str, int], scale: float) -> list[Result]:
    """All workloads on all servers; ``scale`` 1 takes a minute or two."""
    processes = {server: listener(port) for server, port in ports.items()}
    results = []
    stored: dict[str, list[Score]] = {kind: [] for kind in KINDS}
    for number, case in enumerate(CASES):
        rounds: dict[tuple[str, str], list[Result]] = {}
        for turn in range(ROUNDS):
            blocks = _blocks(case, number, turn, scale)
            stored[case.kind] += map(Score.of, blocks)
            wanted = random.Random(turn).sample(stored[case.kind], len(blocks))
            for server, port in ports.items():
                for result in _measured(server, port, processes[server], case, blocks, wanted):
                    rounds.setdefault((result.workload, server), []).append(result)
        results += _middle(rounds)
    for number, case in enumerate(CASES):
        if case.connections == 1 and case.depth > 1:
            results += _middle(_again(ports, processes, case, number, scale))
    return results


def _again(
    ports: Mapping[str, int], processes: Mapping[str, int | None], case: Case, number: int, scale: float
) -> dict[tuple[str, str], list[Result]]:
    """Blocks once more that were written so long ago that no cache of a server has them."""
    rounds: dict[tuple[str, str], list[Result]] = {}
    for turn in range(ROUNDS):
        blocks = _blocks(case, number, turn, scale)
        writes: list[Request] = [Twrite(BlockType.DATA, block) for block in blocks]
        for server, port in ports.items():
            with greet(port) as connection:
                result = _measure(server, processes[server], [connection], f"repeated, old, {case.label}", case, writes)
                rounds.setdefault((result.workload, server), []).append(result)
    return rounds


def _blocks(case: Case, number: int, turn: int, scale: float) -> list[bytes]:
    count = max(case.connections * case.depth * 4, int(case.blocks * scale))
    return KINDS[case.kind](count, BLOCK, number * 100 + turn)


def _middle(rounds: Mapping[tuple[str, str], Sequence[Result]]) -> list[Result]:
    return [sorted(several, key=lambda result: result.rate)[ROUNDS // 2] for several in rounds.values()]


def _measured(
    server: str, port: int, process: int | None, case: Case, blocks: Sequence[bytes], wanted: Sequence[Score]
) -> list[Result]:
    results = []
    writes: list[Request] = [Twrite(BlockType.DATA, block) for block in blocks]
    reads: list[Request] = [Tread(score, BlockType.DATA, BLOCK) for score in wanted]
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(greet(port)) for _ in range(case.connections)]
        for workload, requests in (("new", writes), ("repeated", writes), ("read", reads)):
            if workload == "read":
                pipeline(connections[:1], [Tsync()], 1)
            results.append(_measure(server, process, connections, f"{workload}, {case.label}", case, requests))
        _check(server, connections[0], wanted[0])
    return results


def _measure(
    server: str,
    process: int | None,
    connections: Sequence[socket.socket],
    workload: str,
    case: Case,
    requests: Sequence[Request],
) -> Result:
    before = spent(process)
    timing = pipeline(connections, requests, case.depth)
    cpu = spent(process) - before
    return replace(timing.result(server, workload, case.depth, len(requests) * BLOCK), cpu=cpu)


def _check(server: str, connection: socket.socket, score: Score) -> None:
    """What was measured is worth nothing if the bytes are wrong."""
    replies: list[bytes] = []
    pipeline([connection], [Tread(score, BlockType.DATA, BLOCK)], 1, replies)
    if Score.of(replies[0]) != score:
        raise AssertionError(f"{server} gave back another block")
