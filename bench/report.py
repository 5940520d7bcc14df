"""Printing results: one row a workload, ratios against the peers, losing rows too."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Collection, Sequence

from bench.measure import Result


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}


def as_json(results: Sequence[Result]) -> str:
    """All figures for programs."""
    rows = [dataclasses.asdict(result) | {"rate": result.rate} for result in results]
    return json.dumps({"machine": machine(), "results": rows}, indent=1)


def as_table(results: Sequence[Result], ours: Collection[str]) -> str:
    """All figures for people; where a peer did the same work, a row says how many times faster ours is.

    In parentheses stand the least and the largest ratio of two rounds that followed each other.
    """
    lines = [
        f"Python {platform.python_version()}, {os.cpu_count()} cores; in microseconds: latencies, and what an "
        "operation costs the processor of the server",
        f"{'workload':<30}{'depth':>6} {'server':<14}{'ops/s':>10}{'MB/s':>8}{'p50':>12}{'p99':>12}{'cpu':>7}  ratio",
    ]
    groups: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        groups.setdefault((result.workload, result.depth), []).append(result)
    for (workload, depth), group in groups.items():
        peers = [r for r in group if r.server not in ours]
        for result in group:
            ratios = "  ".join(_ratio(result, peer) for peer in peers) if result.server in ours else ""
            volume = f"{result.size / result.seconds / 1e6:.0f}" if result.size else ""
            stored = f"  {result.stored / 1e6:.1f} MB on disk" if result.stored else ""
            cpu = f"{result.cpu / result.count * 1e6:,.0f}" if result.cpu else ""
            memory = f"  {result.memory / 2**20:,.0f} MiB resident" if result.memory else ""
            lines.append(
                f"{workload:<30}{depth:>6} {result.server:<14}{result.rate:>10,.0f}{volume:>8}"
                f"{result.p50 * 1e6:>12,.0f}{result.p99 * 1e6:>12,.0f}{cpu:>7}  {ratios}{stored}{memory}".rstrip()
            )
    return "\n".join(lines)


def _ratio(result: Result, peer: Result) -> str:
    """How many times faster, and between what the rounds were."""
    text = f"{_speed(result) / _speed(peer):.2f}x {peer.server}"
    if not result.rates or len(result.rates) != len(peer.rates):
        return text
    scale = _speed(result) / result.rate / (_speed(peer) / peer.rate)
    ratios = [mine / other * scale for mine, other in zip(result.rates, peer.rates, strict=True)]
    return f"{text} ({min(ratios):.2f} to {max(ratios):.2f})"


def _speed(result: Result) -> float:
    """What servers are compared by: bytes a second where bytes are the point, for their requests may differ in size."""
    return result.size / result.seconds if result.size else result.rate
