"""9P file servers side by side: our export and ramfs, diod, plan9port's ramfs, aio9p, pyroute2, each in its dialect.

What a server cannot do is left out of its rows. Directories that are served lie where temporary files do: with
``TMPDIR=/dev/shm`` in memory, so that making files measures the servers and not what the disk is in the mood for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench import servers
from bench.load import ROOT, Link, Refused, together
from bench.measure import Result, Timing
from bench.plan import Step
from bench.processor import listener, spent
from ninep.net.identity import user_name
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.attributes import BASIC

FILE, SCRATCH = 1, 1000
RANDOM = "random"
"""The file that random reads and writes go to."""
PATIENCE = 5.0
"""Seconds that a reply may take."""
MSIZES = (8192, 65536, 1 << 20)
"""Bytes of data in a message."""
CLIENTS = 32
ROUNDS = 3
"""How often all is done; the best of them counts, for every server: the machine has other things to do, too."""


class Workloads:
    """What one server is asked to do."""

    def __init__(self, port: int, server: str, version: str, aname: str, process: int | None) -> None:
        """``process`` is that of the server, whose processor time is told then."""
        self._server = server
        self._process = process
        self._link = partial(Link, port, version, aname, patience=PATIENCE)
        self._best: dict[tuple[str, int], Result] = {}

    def _measured(self, workload: str, depth: int, run: Callable[[], Timing], size: int = 0) -> None:
        before = spent(self._process)
        timing = run()
        cpu = spent(self._process) - before
        result = timing.result(self._server, workload, depth, size)
        before_that = self._best.get((workload, depth))
        if before_that is None or result.rate > before_that.rate:
            self._best[workload, depth] = dataclasses.replace(result, cpu=cpu)

    @property
    def results(self) -> list[Result]:
        """The best of each workload."""
        return list(self._best.values())

    def some(self, work: Callable[[Workloads, Link], None], unit: int = 8192) -> None:
        """Does a part of it, each time on a connection of its own; a server that cannot is told of."""
        try:
            for _ in range(ROUNDS):
                with self._link(unit=unit) as link:
                    work(self, link)
        except (Refused, OSError) as error:
            print(f"bench: {self._server} cannot do all: {error}", file=sys.stderr)

    def stats(self, link: Link, count: int, depth: int) -> None:
        """Stats the root."""
        self._measured("stat", depth, lambda: link.window([_stat(link, ROOT)] * count, depth))

    def metadata(self, link: Link, count: int, depth: int) -> None:
        """Creates files, looks them up, removes them."""
        fids = range(SCRATCH, SCRATCH + count)
        names = [f"m-{depth}-{number}" for number in range(count)]
        steps: tuple[tuple[str, Callable[[int, str], list[Any]]], ...] = (
            ("create+clunk", lambda fid, name: [m.Twalk(ROOT, fid, []), _create(link, fid, name), m.Tclunk(fid)]),
            ("walk+stat+clunk", lambda fid, name: [m.Twalk(ROOT, fid, [name]), _stat(link, fid), m.Tclunk(fid)]),
            ("walk+remove", lambda fid, name: [m.Twalk(ROOT, fid, [name]), m.Tremove(fid)]),
        )
        for workload, make in steps:
            work = [make(fid, name) for fid, name in zip(fids, names, strict=True)]
            self._measured(workload, depth, partial(link.chains, work, depth))

    def sequential(self, link: Link, unit: int, size: int, depth: int) -> None:
        """Writes a file from start to end and reads it back, in messages that are full."""
        if link.unit <= unit * 0.99:
            # Some servers count the header of a message, too: that is as good as the same.
            return
        label, unit = f"{unit // 1024} KiB", link.unit
        data = random.Random(2).randbytes(unit)
        count = max(8, size // unit)
        _file(link, f"s-{unit}-{depth}")
        for workload, make in (
            ("sequential write", lambda number: m.Twrite(FILE, number * unit, data)),
            ("sequential read", lambda number: m.Tread(FILE, number * unit, unit)),
        ):
            requests = [make(number) for number in range(count)]
            self._measured(f"{workload} {label}", depth, partial(link.window, requests, depth), count * unit)
        if bytes(link.call(m.Tread(FILE, (count - 1) * unit, unit)).data) != data:
            raise AssertionError(f"{self._server} gave back other bytes than were written")
        link.call(m.Tclunk(FILE))

    def random(self, link: Link, size: int, count: int, depth: int) -> None:
        """Reads and writes 4 KiB at random places of a file that is there."""
        places = random.Random(4)
        data = random.Random(5).randbytes(4096)
        at = [places.randrange(size // 4096) * 4096 for _ in range(count)]
        if not _file(link, RANDOM):
            piece = random.Random(6).randbytes(8192)
            link.window([m.Twrite(FILE, place, piece) for place in range(0, size, 8192)], 8)
        reads = [m.Tread(FILE, place, 4096) for place in at]
        writes = [m.Twrite(FILE, place, data) for place in at]
        self._measured("random read 4 KiB", depth, partial(link.window, reads, depth), count * 4096)
        self._measured("random write 4 KiB", depth, partial(link.window, writes, depth), count * 4096)

    def clients(self, first: Link, count: int) -> None:
        """Many clients at once, each asking for one thing after the other."""
        with contextlib.ExitStack() as stack:
            links = [first, *(stack.enter_context(self._link(unit=8192)) for _ in range(CLIENTS - 1))]
            for link in links:
                link.prepare([_stat(link, ROOT)] for _ in range(count))
            self._measured(f"stat, {CLIENTS} clients", CLIENTS, partial(together, links, 1))


def _create(link: Link, fid: int, name: str) -> Any:
    """Makes a file in the directory of ``fid`` and opens it."""
    return lm.Tlcreate(fid, name, os.O_RDWR, 0o644, os.getgid()) if link.linux else m.Tcreate(fid, name, 0o644, 2)


def _stat(link: Link, fid: int) -> Any:
    """Asks for what is known of a file."""
    return lm.Tgetattr(fid, BASIC) if link.linux else m.Tstat(fid)


def _file(link: Link, name: str) -> bool:
    """A file under ``FILE``, open for both; returns whether it was there."""
    try:
        link.call(m.Twalk(ROOT, FILE, [name]))
    except Refused:
        link.call(m.Twalk(ROOT, FILE, []))
        link.call(_create(link, FILE, name))
        return False
    link.call(lm.Tlopen(FILE, os.O_RDWR) if link.linux else m.Topen(FILE, m.ORDWR))
    return True


async def run(port: int, server: str, version: str, aname: str, scale: float, *, whole: bool = True) -> list[Result]:
    """All workloads on one server; ``whole`` says that what listens is all of it, whose processor time is told."""
    workloads = Workloads(port, server, version, aname, listener(port) if whole else None)
    few, many = max(64, int(4_000 * scale)), max(320, int(20_000 * scale))
    size = max(4 << 20, int((64 << 20) * scale))
    for depth in (1, 16):
        count = few if depth == 1 else many
        workloads.some(partial(Workloads.stats, count=count, depth=depth))
        workloads.some(partial(Workloads.metadata, count=count // 2, depth=depth))
    for unit in MSIZES:
        for depth in (1, 16):
            most = min(size, (few if depth == 1 else many) * unit)
            workloads.some(partial(Workloads.sequential, unit=unit, size=most, depth=depth), unit)
    for depth in (1, 16):
        count = few if depth == 1 else many
        workloads.some(partial(Workloads.random, size=4 << 20, count=count, depth=depth))
    workloads.some(partial(Workloads.clients, count=max(10, int(1000 * scale))))
    return workloads.results


@contextlib.contextmanager
def our_export() -> Iterator[int]:
    """Our export of a scratch directory."""
    users = ("--map-users", f"*={user_name()}")
    yield from servers.ours("ninep", "export", "DIR", "tcp!127.0.0.1!PORT", *users)


@contextlib.contextmanager
def diod() -> Iterator[int]:
    """Diod on a scratch directory that everybody may write to."""
    with tempfile.TemporaryDirectory(prefix="ninegrid-bench-") as scratch, _link(scratch):
        port = servers.free_port()
        words = ["diod", "-f", "-n", "-N", "-S", "-U", user_name(), "-l", f"127.0.0.1:{port}", "-e", str(PLACE)]
        with servers.process(words, port):
            yield port


PLACE = Path(tempfile.gettempdir()) / "ninegrid-bench-diod"
"""A name for diod's directory that clients can attach to."""


@contextlib.contextmanager
def _link(scratch: str) -> Iterator[None]:
    PLACE.unlink(missing_ok=True)
    PLACE.symlink_to(scratch)
    try:
        yield
    finally:
        PLACE.unlink(missing_ok=True)


@contextlib.contextmanager
def c_ramfs() -> Iterator[int]:
    """plan9port's ramfs, behind its 9pserve."""
    port = servers.free_port()
    near, far = socket.socketpair()
    # What it leaves when it crashes, as it may under this load, goes away with the directory.
    with near, far, tempfile.TemporaryDirectory(prefix="ninegrid-bench-") as scratch:
        words = [f"{servers.plan9('ramfs')}", "-i"]
        files = subprocess.Popen(words, stdin=near.fileno(), stdout=near.fileno(), cwd=scratch)
        try:
            words = [f"{servers.plan9('9pserve')}", f"tcp!127.0.0.1!{port}"]
            with servers.process(words, port, stdin=far.fileno(), stdout=far.fileno()):
                yield port
        finally:
            files.kill()
            files.wait()


def python_peer(name: str) -> servers.Server:
    """A server in Python, of a package that is installed."""

    @contextlib.contextmanager
    def start() -> Iterator[int]:
        yield from servers.ours("bench.python_peers", name, "PORT")

    return start


def plan(scale: float) -> list[Step]:
    """Ours first, then whoever is here."""
    steps = []

    def add(
        name: str, server: servers.Server, version: str = m.VERSION, aname: str = "", *, ours: bool = False
    ) -> None:
        whole = name != "C ramfs"
        steps.append(Step(name, server, lambda port: run(port, name, version, aname, scale, whole=whole), ours))

    add("export", our_export, ours=True)
    add("export .L", our_export, lm.VERSION, ours=True)
    add("ramfs", servers.our_ramfs, ours=True)
    if shutil.which("diod"):
        add("diod", diod, lm.VERSION, str(PLACE))
    if servers.plan9("ramfs") and servers.plan9("9pserve"):
        add("C ramfs", c_ramfs)
    for name in ("aio9p", "pyroute2"):
        if find_spec(name):
            add(name, python_peer(name))
    return steps
