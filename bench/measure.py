"""Timing many requests on one connection: throughput and the latency of each."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeVar

from ninep.wire.client import Call, Client

Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Result:
    """One workload on one server.

    Attributes:
        server: who was measured.
        workload: what was done.
        depth: requests in flight.
        count: operations done.
        seconds: wall time for all of them.
        size: bytes of payload moved, 0 where that is not the point.
        p50: median latency of an operation, seconds.
        p99: 99th percentile, seconds.
        stored: bytes that it took on the server's disk, 0 where that is not the point.
        cpu: processor time that the server spent, seconds; 0 where it was not measured.
        memory: most bytes that the server had resident; 0 where it was not measured.
        rates: operations a second of each round, in their order, where there were several.
    """

    server: str
    workload: str
    depth: int
    count: int
    seconds: float
    size: int
    p50: float
    p99: float
    stored: int = 0
    cpu: float = 0.0
    memory: int = 0
    rates: tuple[float, ...] = ()

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.count / self.seconds


def middle(rounds: Sequence[Result]) -> Result:
    """What several rounds of one workload come to: medians, but of processor time the mean, which has few digits."""
    ordered = sorted(rounds, key=lambda result: result.rate)
    return replace(
        ordered[len(ordered) // 2],
        p50=statistics.median(result.p50 for result in rounds),
        p99=statistics.median(result.p99 for result in rounds),
        cpu=statistics.mean(result.cpu for result in rounds),
        rates=tuple(result.rate for result in rounds),
    )


@dataclass(slots=True)
class Timing:
    """What a run yields: the wall time and each operation's latency, in seconds."""

    seconds: float
    latencies: list[float]

    def result(self, server: str, workload: str, depth: int, size: int = 0) -> Result:
        """The figures of this run under a name."""
        cuts = statistics.quantiles(self.latencies, n=100) if len(self.latencies) > 1 else self.latencies * 99
        return Result(server, workload, depth, len(self.latencies), self.seconds, size, cuts[49], cuts[98])


async def window(client: Client[Q, R], requests: Iterable[Q], depth: int) -> Timing:
    """Sends independent requests, ``depth`` of them in flight at any time.

    A latency runs from handing the request over to taking its reply.
    """
    latencies: list[float] = []
    pending = deque[tuple[float, Call[R]]]()
    start = perf_counter()

    async def oldest() -> None:
        began, call = pending.popleft()
        await client.wait(call)
        latencies.append(perf_counter() - began)

    for request in requests:
        if len(pending) >= depth:
            await oldest()
        pending.append((perf_counter(), client.begin(request)))
    while pending:
        await oldest()
    return Timing(perf_counter() - start, latencies)


async def chains(client: Client[Q, R], work: Sequence[Sequence[Q]], depth: int) -> Timing:
    """Runs sequences of dependent requests, ``depth`` sequences side by side, step by step.

    A latency is that of a whole sequence.
    """
    latencies: list[float] = []
    start = perf_counter()
    for first in range(0, len(work), depth):
        group = work[first : first + depth]
        began = perf_counter()
        for step in zip(*group, strict=True):
            calls = [client.begin(request) for request in step]
            for call in calls:
                await client.wait(call)
        latencies += [perf_counter() - began] * len(group)
    return Timing(perf_counter() - start, latencies)
