"""fossil workloads: what people do with a file server, alone and eight at a time, on ours and on the original.

The servers run at the same time and take turns in short rounds, so that whatever else the machine does, and wherever
its kernel puts client and servers, hits each of them. Medians of the rounds count. Where one request follows the other,
the same is done by a client that sleeps until the reply comes and by one that stays awake. Sequential I/O is measured
with the message size of the original (8216 bytes) and with the largest that a server grants; the original grants no
more, so its figures stand for both.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

from bench import servers
from bench.load import ROOT, Link, Refused, together
from bench.measure import Result, Timing, middle
from bench.plan import Step
from bench.processor import listener, spent
from ninep.protocol.messages import ORDWR, OREAD, OWRITE, Tclunk, Tcreate, Topen, Tread, Tremove, Tstat, Twalk, Twrite
from ninep.protocol.stat import DMDIR

ROUNDS = 9
"""An odd number, so that one is in the middle."""
FEW_ROUNDS = 3
CLIENTS = 8
SMALL, LARGE = 8192, 1024 * 1024
"""Bytes of data in a message: the most that the original grants, and the most that ours does."""
PATIENCE = 10.0
"""Seconds that a reply may take: the original now and then stops answering for good."""
FILE = 1
DIRECTORY = 2
AWAKE = ", awake"
"""Behind the name of what a client does that stays awake."""
SCRATCH = 1000
"""First fid for files that come and go."""
FULL = 100_000
"""Entries of the large directory at scale 1."""


def plan(scale: float) -> list[Step]:
    """Ours, and beside it the original where there is one."""

    async def work(port: int) -> list[Result]:
        peers = {"C fossil": servers.c_fossil} if servers.plan9("fossil/fossil") else {}
        return measure(port, peers, scale)

    return [Step("fossil", servers.our_fossil, work)]


def measure(port: int, peers: Mapping[str, servers.Server], scale: float) -> list[Result]:
    """All workloads on all servers; ``scale`` 1 takes some minutes.

    A peer is started anew for each, and when it stops answering: what it has lost is the round.
    """
    found: dict[tuple[str, int, str], list[Result]] = {}
    for number, (workload, rounds) in enumerate(_workloads(scale)):
        with contextlib.ExitStack() as stack:
            meters = {"fossil": Meter("fossil", port)}
            meters |= {name: Meter(name, stack.enter_context(server())) for name, server in peers.items()}
            for turn in range(rounds):
                # Nobody is always the first.
                for name in list(meters)[:: -1 if turn % 2 else 1]:
                    try:
                        for result in workload(meters[name], f"{number}-{turn}"):
                            found.setdefault((result.workload, result.depth, result.server), []).append(result)
                    except Refused as error:
                        print(f"bench: {name} cannot do all: {error}", file=sys.stderr)
                        if name in peers:
                            meters[name] = Meter(name, stack.enter_context(peers[name]()))
    return [middle(results) for results in found.values()]


Workload = Callable[["Meter", str], Iterator[Result]]
"""Does it on one server; the text is for names that were not there before."""


def _workloads(scale: float) -> Iterator[tuple[Workload, int]]:
    few, many = max(64, int(2_000 * scale)), max(640, int(40_000 * scale))
    size = max(4 << 20, int((64 << 20) * scale))
    for depth, count, awake in ((1, few, False), (1, few, True), (64, few * 4, False)):
        yield partial(_small_files, count=count, depth=depth, awake=awake), ROUNDS
    for unit, label in ((LARGE, "largest msize"), (SMALL, "msize 8216")):
        yield partial(_sequential, size=size, unit=unit, label=label), ROUNDS
    for depth, count, awake in ((1, few, False), (1, few, True), (16, many // 2, False)):
        yield partial(_random, size=size, count=count, depth=depth, awake=awake), ROUNDS
    for depth, count, awake in ((1, few * 2, False), (1, few * 2, True), (64, many, False)):
        yield partial(_stats, count=count, depth=depth, awake=awake), ROUNDS
    yield partial(_together, count=few), ROUNDS
    yield partial(_large_directory, count=max(2_000, int(FULL * scale))), FEW_ROUNDS


class Meter:
    """Connections to one server, and what work on them takes."""

    def __init__(self, server: str, port: int) -> None:
        self.server = server
        self._port = port
        self._process = listener(port)

    def link(self, unit: int = LARGE, *, awake: bool = False) -> Link:
        """A connection whose root is attached; leave it as a context."""
        return Link(self._port, "9P2000", "main/active", unit, PATIENCE, awake=awake)

    def timed(self, workload: str, depth: int, run: Callable[[], Timing], size: int = 0) -> Result:
        """Does it. The processor time is much the same whatever else the machine does."""
        before = spent(self._process)
        timing = run()
        return replace(timing.result(self.server, workload, depth, size), cpu=spent(self._process) - before)

    def chains(self, workload: str, depth: int, link: Link, work: Iterable[Sequence[Any]]) -> Result:
        """Sequences of requests, ``depth`` of them at any time."""
        link.prepare(work)
        return self.timed(workload, depth, partial(together, [link], depth))

    def window(self, workload: str, depth: int, link: Link, requests: Iterable[Any], size: int = 0) -> Result:
        """Requests, ``depth`` of them in flight; a depth of 0 is one that follows the message size."""
        in_flight = depth or max(4, min(32, (256 * 1024) // link.unit))
        link.prepare([request] for request in requests)
        return self.timed(workload, depth, partial(together, [link], in_flight), size)


def _create(link: Link, name: str, fid: int = FILE) -> None:
    link.call(Twalk(ROOT, fid, []))
    link.call(Tcreate(fid, name, 0o644, ORDWR))


def _enter(link: Link, name: str) -> None:
    """Makes a directory, which ``DIRECTORY`` then is."""
    link.call(Twalk(ROOT, DIRECTORY, []))
    link.call(Tcreate(DIRECTORY, name, DMDIR | 0o755, OREAD))
    link.call(Tclunk(DIRECTORY))
    link.call(Twalk(ROOT, DIRECTORY, [name]))


def _makes(names: Sequence[str], folder: int = ROOT) -> list[Sequence[Any]]:
    data = random.Random(1).randbytes(1024)
    return [
        (Twalk(folder, fid, []), Tcreate(fid, name, 0o644, OWRITE), Twrite(fid, 0, data), Tclunk(fid))
        for fid, name in enumerate(names, SCRATCH)
    ]


def _small_files(meter: Meter, name: str, count: int, depth: int, awake: bool) -> Iterator[Result]:
    """Makes files of 1 KiB, looks them up, and removes them."""
    names = [f"small-{name}-{n}" for n in range(count)]
    how = AWAKE if awake else ""
    with meter.link(awake=awake) as link:
        yield meter.chains(f"create 1 KiB file{how}", depth, link, _makes(names))
        looks = [(Twalk(ROOT, fid, [each]), Tstat(fid), Tclunk(fid)) for fid, each in enumerate(names, SCRATCH)]
        yield meter.chains(f"walk+stat+clunk{how}", depth, link, looks)
        removes = [(Twalk(ROOT, fid, [each]), Tremove(fid)) for fid, each in enumerate(names, SCRATCH)]
        yield meter.chains(f"walk+remove{how}", depth, link, removes)


def _sequential(meter: Meter, name: str, size: int, unit: int, label: str) -> Iterator[Result]:
    """Writes a file from start to end and reads it back, about 256 KiB in flight."""
    with meter.link(unit) as link:
        unit = link.unit
        data = random.Random(7).randbytes(unit)
        count = max(32, size // unit)
        _create(link, f"sequential-{name}")
        writes = (Twrite(FILE, n * unit, data) for n in range(count))
        yield meter.window(f"sequential write, {label}", 0, link, writes, count * unit)
        reads = (Tread(FILE, n * unit, unit) for n in range(count))
        yield meter.window(f"sequential read, {label}", 0, link, reads, count * unit)
        if bytes(link.call(Tread(FILE, (count - 1) * unit, unit)).data) != data:
            raise AssertionError(f"{meter.server} gave back other bytes than were written")
        link.call(Tremove(FILE))


def _random(meter: Meter, name: str, size: int, count: int, depth: int, awake: bool) -> Iterator[Result]:
    """Reads 4 KiB from random places of a file."""
    with meter.link(awake=awake) as link:
        unit = min(64 * 1024, link.unit)
        data = random.Random(3).randbytes(unit)
        _create(link, f"random-{name}")
        link.window((Twrite(FILE, at, data) for at in range(0, size, unit)), 8)
        places = random.Random(4)
        reads = (Tread(FILE, places.randrange(size // 4096) * 4096, 4096) for _ in range(count))
        yield meter.window(f"random read 4 KiB{AWAKE if awake else ''}", depth, link, reads, count * 4096)
        link.call(Tremove(FILE))


def _stats(meter: Meter, name: str, count: int, depth: int, awake: bool) -> Iterator[Result]:
    with meter.link(awake=awake) as link:
        _create(link, f"stat-{name}")
        yield meter.window(f"stat{AWAKE if awake else ''}", depth, link, (Tstat(FILE) for _ in range(count)))


def _together(meter: Meter, name: str, count: int) -> Iterator[Result]:
    """Eight clients at once, each in a directory of its own: files of 1 KiB made, then read from start to end."""
    names = [f"{n}" for n in range(count)]
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(meter.link()) for _ in range(CLIENTS)]
        for number, link in enumerate(links):
            _enter(link, f"client-{name}-{number}")
            link.prepare(_makes(names, DIRECTORY))
        yield meter.timed("eight clients: create 1 KiB", CLIENTS, partial(together, links, CLIENTS))
        for link in links:
            link.prepare(
                (Twalk(DIRECTORY, fid, [each]), Topen(fid, OREAD), Tread(fid, 0, 1024), Tclunk(fid))
                for fid, each in enumerate(names, SCRATCH)
            )
        yield meter.timed("eight clients: read a file", CLIENTS, partial(together, links, CLIENTS))


def _large_directory(meter: Meter, name: str, count: int) -> Iterator[Result]:
    """One directory with many entries: filled, listed, looked up at random."""
    label, depth = f"{count // 1000},000 entries", 64
    names = [f"entry-{n:06}" for n in range(count)]
    with meter.link() as link:
        _enter(link, f"large-{name}")
        makes = [
            (Twalk(DIRECTORY, fid, []), Tcreate(fid, each, 0o644, OREAD), Tclunk(fid))
            for fid, each in enumerate(names, SCRATCH)
        ]
        yield meter.chains(f"{label}: create", depth, link, makes)
        for _ in range(FEW_ROUNDS):
            yield _listed(meter, link, f"{label}: list", count)
        wanted = random.Random(9).choices(names, k=5000)
        looks = [(Twalk(DIRECTORY, fid, [each]), Tclunk(fid)) for fid, each in enumerate(wanted, SCRATCH)]
        yield meter.chains(f"{label}: walk+clunk", depth, link, looks)


def _listed(meter: Meter, link: Link, label: str, count: int) -> Result:
    link.call(Twalk(DIRECTORY, FILE, []))
    link.call(Topen(FILE, OREAD))
    start, offset = perf_counter(), 0
    while data := link.call(Tread(FILE, offset, link.unit)).data:
        offset += len(data)
    seconds = perf_counter() - start
    link.call(Tclunk(FILE))
    return Result(meter.server, label, 1, count, seconds, offset, seconds, seconds)
