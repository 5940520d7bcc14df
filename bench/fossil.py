"""fossil workloads: what people do with a file server, alone and eight at a time, on ours and on the original.

Both servers run at the same time and take turns, workload by workload, so that whatever else the machine does hits each
of them. Every workload is done several times; the round in the middle counts. Sequential I/O is measured with the
message size of the original (8216 bytes) and with the largest that a server grants; the original grants no more, so its
figures stand for both.
"""

from __future__ import annotations

import contextlib
import getpass
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

from bench import servers
from bench.measure import Result
from bench.plan import Step
from bench.processor import listener, spent
from bench.raw import Chains, Raw, Window, run
from ninep.messages import (
    ORDWR,
    OREAD,
    OWRITE,
    Tclunk,
    Tcreate,
    Topen,
    Tread,
    Tremove,
    Tstat,
    Twalk,
    Twrite,
)
from ninep.stat import DMDIR

ROUNDS = 3
CLIENTS = 8
SMALL_MSIZE = 8192 + 24
"""The most that the original grants."""
LARGE_MSIZE = 1024 * 1024 + 24
HEADER = 24
ROOT = 0
FILE = 1
DIRECTORY = 2
SCRATCH = 1000
"""First fid for files that come and go."""
FULL = 100_000
"""Entries of the large directory at scale 1."""


def plan(scale: float) -> list[Step]:
    """Ours, and beside it the original where there is one."""

    async def work(port: int) -> list[Result]:
        with contextlib.ExitStack() as stack:
            ports = {"fossil": port}
            if servers.plan9("fossil/fossil"):
                ports["C fossil"] = stack.enter_context(servers.c_fossil())
            return measure(ports, scale)

    return [Step("fossil", servers.our_fossil, work)]


def measure(ports: Mapping[str, int], scale: float) -> list[Result]:
    """All workloads on all servers; ``scale`` 1 takes some minutes."""
    results: list[Result] = []
    for number, (workload, rounds) in enumerate(_workloads(scale)):
        found: dict[tuple[str, str, int], list[Result]] = {}
        for turn in range(rounds):
            for server, port in ports.items():
                for result in workload(Meter(server, port), f"{number}-{turn}"):
                    found.setdefault((result.workload, server, result.depth), []).append(result)
        results += [sorted(several, key=lambda result: result.rate)[len(several) // 2] for several in found.values()]
    return results


Workload = Callable[["Meter", str], Iterator[Result]]
"""Does it on one server; the text is for names that were not there before."""


def _workloads(scale: float) -> Iterator[tuple[Workload, int]]:
    few, many = max(64, int(2_000 * scale)), max(640, int(40_000 * scale))
    size = max(4 << 20, int((64 << 20) * scale))
    for depth, count in ((1, few), (64, few * 4)):
        yield partial(_small_files, count=count, depth=depth), ROUNDS
    for msize, label in ((LARGE_MSIZE, "largest msize"), (SMALL_MSIZE, "msize 8216")):
        yield partial(_sequential, size=size, msize=msize, label=label), ROUNDS
    for depth, count in ((1, few), (16, many // 2)):
        yield partial(_random, size=size, count=count, depth=depth), ROUNDS
    for depth, count in ((1, few * 2), (64, many)):
        yield partial(_stats, count=count, depth=depth), ROUNDS
    yield partial(_together, count=few), ROUNDS
    yield partial(_large_directory, count=max(2_000, int(FULL * scale))), 1


class Meter:
    """Connections to one server, and what work on them takes."""

    def __init__(self, server: str, port: int) -> None:
        self.server = server
        self._port = port
        self._process = listener(port)

    @contextlib.contextmanager
    def connection(self, msize: int = LARGE_MSIZE) -> Iterator[Raw]:
        """One that is attached; at the end it is closed."""
        with closing(Raw(self._port, getpass.getuser(), "main/active", msize)) as raw:
            yield raw

    def timed(self, workload: str, depth: int, *work: Window | Chains, size: int = 0) -> Result:
        """Does it. The processor time is much the same whatever else the machine does."""
        before = spent(self._process)
        timing = run(*work)
        return replace(timing.result(self.server, workload, depth, size), cpu=spent(self._process) - before)


def _create(raw: Raw, name: str, fid: int = FILE) -> None:
    raw.call(Twalk(ROOT, fid, []))
    raw.call(Tcreate(fid, name, 0o644, ORDWR))


def _enter(raw: Raw, name: str) -> None:
    """Makes a directory, which ``DIRECTORY`` then is."""
    raw.call(Twalk(ROOT, DIRECTORY, []))
    raw.call(Tcreate(DIRECTORY, name, DMDIR | 0o755, OREAD))
    raw.call(Tclunk(DIRECTORY))
    raw.call(Twalk(ROOT, DIRECTORY, [name]))


def _makes(names: Sequence[str], depth: int, folder: int = ROOT) -> list[Sequence[Any]]:
    data = random.Random(1).randbytes(1024)
    fids = [SCRATCH + n % depth for n in range(len(names))]
    return [
        (Twalk(folder, fid, []), Tcreate(fid, name, 0o644, OWRITE), Twrite(fid, 0, data), Tclunk(fid))
        for fid, name in zip(fids, names, strict=True)
    ]


def _small_files(meter: Meter, name: str, count: int, depth: int) -> Iterator[Result]:
    """Makes files of 1 KiB, looks them up, and removes them."""
    names = [f"small-{name}-{n}" for n in range(count)]
    fids = [SCRATCH + n % depth for n in range(count)]
    with meter.connection() as raw:
        yield meter.timed("create 1 KiB file", depth, Chains(raw, _makes(names, depth), depth))
        looks = [(Twalk(ROOT, fid, [names[n % 500]]), Tstat(fid), Tclunk(fid)) for n, fid in enumerate(fids)]
        yield meter.timed("walk+stat+clunk", depth, Chains(raw, looks, depth))
        removes = [(Twalk(ROOT, fid, [names[n]]), Tremove(fid)) for n, fid in enumerate(fids)]
        yield meter.timed("walk+remove", depth, Chains(raw, removes, depth))


def _sequential(meter: Meter, name: str, size: int, msize: int, label: str) -> Iterator[Result]:
    """Writes a file from start to end and reads it back, about 256 KiB in flight."""
    with meter.connection(msize) as raw:
        unit = raw.msize - HEADER
        # The number of requests in flight follows the message size and is no part of the workload's name.
        depth = max(4, min(32, (256 * 1024) // unit))
        data = random.Random(7).randbytes(unit)
        count = max(depth, size // unit)
        _create(raw, f"sequential-{name}")
        writes = Window(raw, (Twrite(FILE, n * unit, data) for n in range(count)), depth)
        yield meter.timed(f"sequential write, {label}", 0, writes, size=count * unit)
        reads = Window(raw, (Tread(FILE, n * unit, unit) for n in range(count)), depth)
        yield meter.timed(f"sequential read, {label}", 0, reads, size=count * unit)
        if bytes(raw.call(Tread(FILE, (count - 1) * unit, unit)).data) != data:
            raise AssertionError(f"{meter.server} gave back other bytes than were written")
        raw.call(Tremove(FILE))


def _random(meter: Meter, name: str, size: int, count: int, depth: int) -> Iterator[Result]:
    """Reads 4 KiB from random places of a file."""
    with meter.connection() as raw:
        unit = min(64 * 1024, raw.msize - HEADER)
        data = random.Random(3).randbytes(unit)
        _create(raw, f"random-{name}")
        run(Window(raw, (Twrite(FILE, at, data) for at in range(0, size, unit)), 8))
        places = random.Random(4)
        reads = (Tread(FILE, places.randrange(size // 4096) * 4096, 4096) for _ in range(count))
        yield meter.timed("random read 4 KiB", depth, Window(raw, reads, depth), size=count * 4096)
        raw.call(Tremove(FILE))


def _stats(meter: Meter, name: str, count: int, depth: int) -> Iterator[Result]:
    with meter.connection() as raw:
        _create(raw, f"stat-{name}")
        yield meter.timed("stat", depth, Window(raw, (Tstat(FILE) for _ in range(count)), depth))


def _together(meter: Meter, name: str, count: int) -> Iterator[Result]:
    """Eight clients at once, each in a directory of its own: files of 1 KiB made, then read from start to end."""
    names = [f"{n}" for n in range(count)]
    fids = [SCRATCH + n % 8 for n in range(count)]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(meter.connection()) for _ in range(CLIENTS)]
        for number, raw in enumerate(clients):
            _enter(raw, f"client-{name}-{number}")
        makes = [Chains(raw, _makes(names, 8, DIRECTORY), 8) for raw in clients]
        yield meter.timed("eight clients: create 1 KiB", 8, *makes)
        work = [
            (Twalk(DIRECTORY, fid, [f"{n}"]), Topen(fid, OREAD), Tread(fid, 0, 1024), Tclunk(fid))
            for n, fid in enumerate(fids)
        ]
        yield meter.timed("eight clients: read a file", 8, *(Chains(raw, work, 8) for raw in clients))


def _large_directory(meter: Meter, name: str, count: int) -> Iterator[Result]:
    """One directory with many entries: filled, listed, looked up at random."""
    label, depth = f"{count // 1000},000 entries", 64
    fids = [SCRATCH + n % depth for n in range(count)]
    with meter.connection() as raw:
        _enter(raw, f"large-{name}")
        work: list[Sequence[Any]] = [
            (Twalk(DIRECTORY, fid, []), Tcreate(fid, f"entry-{n:06}", 0o644, OREAD), Tclunk(fid))
            for n, fid in enumerate(fids)
        ]
        yield meter.timed(f"{label}: create", depth, Chains(raw, work, depth))
        yield _listed(meter, raw, f"{label}: list", count)
        source = random.Random(9)
        work = [(Twalk(DIRECTORY, fid, [f"entry-{source.randrange(count):06}"]), Tclunk(fid)) for fid in fids[:5000]]
        yield meter.timed(f"{label}: walk+clunk", depth, Chains(raw, work, depth))


def _listed(meter: Meter, raw: Raw, label: str, count: int) -> Result:
    raw.call(Twalk(DIRECTORY, FILE, []))
    raw.call(Topen(FILE, OREAD))
    start, offset = perf_counter(), 0
    while data := raw.call(Tread(FILE, offset, raw.msize - HEADER)).data:
        offset += len(data)
    seconds = perf_counter() - start
    raw.call(Tclunk(FILE))
    return Result(meter.server, label, 1, count, seconds, offset, seconds, seconds)
