"""9P file servers side by side: our export and ramfs, diod, plan9port's ramfs, aio9p, pyroute2, each in its dialect.

What a server cannot do is left out of its rows. Requests are sent by the wire client itself.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import trio

from bench import servers
from bench.measure import Result, Timing, chains, window
from bench.plan import Step
from ninep import messages as m
from ninep import messages_linux as lm
from ninep.attributes import BASIC
from ninep.dialect import NinePDialect
from ninep.errors import FileError
from ninep.wire import Client
from ninep.wire.errors import WireError

ROOT, FILE, SCRATCH = 0, 1, 1000
RANDOM = "random"
"""The file that random reads and writes go to."""
PATIENCE = 20.0
"""Seconds that one workload may take."""
MSIZES = (8192, 65536, 1 << 20)
"""Bytes of data in a message."""


class Talk:
    """One connection with an attached root, in one dialect."""

    def __init__(self, client: Client[Any, Any], server: str, *, linux: bool, unit: int) -> None:
        self.client = client
        self.server = server
        self.linux = linux
        self.unit = unit

    def create(self, fid: int, name: str) -> Any:
        """Makes a file in the directory of ``fid`` and opens it."""
        return lm.Tlcreate(fid, name, os.O_RDWR, 0o644, os.getgid()) if self.linux else m.Tcreate(fid, name, 0o644, 2)

    def stat(self, fid: int) -> Any:
        """Asks for what is known of a file."""
        return lm.Tgetattr(fid, BASIC) if self.linux else m.Tstat(fid)

    async def file(self, name: str, fid: int = FILE, *, have: bool = False) -> None:
        """A file under ``fid``, open for both; ``have`` says that it is there."""
        await self.client.call(m.Twalk(ROOT, fid, [name] if have else []))
        opening: Any = self.create(fid, name)
        if have:
            opening = lm.Tlopen(fid, os.O_RDWR) if self.linux else m.Topen(fid, m.ORDWR)
        await self.client.call(opening)

    async def metadata(self, count: int, depth: int) -> list[Result]:
        """Creates files, looks them up, removes them."""
        fids = [SCRATCH + number % depth for number in range(count)]
        names = [f"m-{self.unit}-{depth}-{number}" for number in range(count)]
        found = []
        for workload, steps in (
            ("create+clunk", lambda fid, name: (m.Twalk(ROOT, fid, []), self.create(fid, name), m.Tclunk(fid))),
            ("walk+stat+clunk", lambda fid, name: (m.Twalk(ROOT, fid, [name]), self.stat(fid), m.Tclunk(fid))),
            ("walk+remove", lambda fid, name: (m.Twalk(ROOT, fid, [name]), m.Tremove(fid))),
        ):
            work = [steps(fid, name) for fid, name in zip(fids, names, strict=True)]
            found.append((await chains(self.client, work, depth)).result(self.server, workload, depth))
        return found

    async def stats(self, count: int, depth: int) -> Result:
        """Stats the root."""
        return (await window(self.client, (self.stat(ROOT) for _ in range(count)), depth)).result(
            self.server, "stat", depth
        )

    async def sequential(self, size: int, depth: int, name: str, label: str) -> list[Result]:
        """Writes a file from start to end and reads it back, in messages that are full."""
        data = random.Random(2).randbytes(self.unit)
        count = max(8, size // self.unit)
        await self.file(name)
        written = await window(self.client, (m.Twrite(FILE, n * self.unit, data) for n in range(count)), depth)
        read = await window(self.client, (m.Tread(FILE, n * self.unit, self.unit) for n in range(count)), depth)
        check = await self.client.call(m.Tread(FILE, (count - 1) * self.unit, self.unit))
        if bytes(check.data) != data:
            raise AssertionError(f"{self.server} gave back other bytes than were written")
        await self.client.call(m.Tclunk(FILE))
        moved = count * self.unit
        return [
            written.result(self.server, f"sequential write {label}", depth, moved),
            read.result(self.server, f"sequential read {label}", depth, moved),
        ]

    async def random(self, size: int, count: int, depth: int, name: str) -> list[Result]:
        """Reads and writes 4 KiB at random places of a file that is there."""
        places = random.Random(4)
        data = random.Random(5).randbytes(4096)
        at = [places.randrange(size // 4096) * 4096 for _ in range(count)]
        try:
            await self.file(name, have=True)
        except FileError:
            await self.file(name)
            piece = random.Random(6).randbytes(8192)
            await window(self.client, (m.Twrite(FILE, at, piece) for at in range(0, size, 8192)), 8)
        read = await window(self.client, (m.Tread(FILE, place, 4096) for place in at), depth)
        written = await window(self.client, (m.Twrite(FILE, place, data) for place in at), depth)
        await self.client.call(m.Tclunk(FILE))
        return [
            read.result(self.server, "random read 4 KiB", depth, count * 4096),
            written.result(self.server, "random write 4 KiB", depth, count * 4096),
        ]


@asynccontextmanager
async def talking(port: int, server: str, version: str, aname: str, unit: int) -> AsyncIterator[Talk]:
    """A connection to 127.0.0.1 whose messages hold ``unit`` bytes of data, or what the server allows."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    dialect = NinePDialect()
    client: Client[Any, Any] = Client(stream, dialect)
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        agreed = await client.call(m.Tversion(unit + m.IOHDRSZ, version), tag=m.NOTAG)
        if agreed.version.partition(".")[0] != "9P2000":
            raise AssertionError(f"{server} does not speak {version}")
        dialect.agree(agreed.version if agreed.version in (version, "9P2000") else "9P2000", agreed.msize)
        await client.call(m.Tattach(ROOT, m.NOFID, getpass.getuser(), aname, os.getuid()))
        yield Talk(client, server, linux=dialect.version == lm.VERSION, unit=min(unit, agreed.msize - m.IOHDRSZ))
        nursery.cancel_scope.cancel()


async def run(port: int, server: str, version: str, aname: str, scale: float) -> list[Result]:
    """All workloads on one server."""
    results: list[Result] = []
    few, many = max(64, int(2_000 * scale)), max(320, int(20_000 * scale))
    size = max(4 << 20, int((64 << 20) * scale))

    async def some(work: Callable[[Talk], Awaitable[list[Result] | Result]], unit: int = 8192) -> None:
        try:
            with trio.fail_after(PATIENCE):
                async with talking(port, server, version, aname, unit) as talk:
                    found = await work(talk)
        except* (FileError, WireError, trio.TooSlowError) as errors:
            print(f"bench: {server} cannot do all: {errors.exceptions[0]!r}", file=sys.stderr)
        else:
            results.extend([found] if isinstance(found, Result) else found)

    for depth in (1, 16):
        count = few if depth == 1 else many
        await some(partial(Talk.stats, count=count, depth=depth))
        await some(partial(Talk.metadata, count=count // 2, depth=depth))
    for unit in MSIZES:
        for depth in (1, 16):
            most = min(size, few * unit)
            name = f"s-{unit}-{depth}"
            work = partial(_sequential, size=most, depth=depth, name=name, unit=unit)
            await some(work, unit)
    for depth in (1, 16):
        count = few if depth == 1 else many
        await some(partial(Talk.random, size=4 << 20, count=count, depth=depth, name=RANDOM))
    results += await clients(port, server, version, aname, max(10, int(500 * scale)))
    return results


async def _sequential(talk: Talk, size: int, depth: int, name: str, unit: int) -> list[Result]:
    # Some servers count the header of a message, too: that is as good as the same.
    return await talk.sequential(size, depth, name, f"{unit // 1024} KiB") if talk.unit > unit * 0.99 else []


async def clients(port: int, server: str, version: str, aname: str, count: int, number: int = 32) -> list[Result]:
    """Many clients at once, each asking for one thing after the other."""
    latencies: list[float] = []
    begun = trio.current_time()

    async def one() -> None:
        async with talking(port, server, version, aname, 8192) as talk:
            latencies.extend((await window(talk.client, (talk.stat(ROOT) for _ in range(count)), 1)).latencies)

    try:
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                for _ in range(number):
                    nursery.start_soon(one)
    except* (FileError, WireError, trio.TooSlowError) as errors:
        print(f"bench: {server} cannot do all: {errors.exceptions[0]!r}", file=sys.stderr)
        latencies.clear()
    if not latencies:
        return []
    return [Timing(trio.current_time() - begun, latencies).result(server, f"stat, {number} clients", number)]


@contextlib.contextmanager
def our_export() -> Iterator[int]:
    """Our export of a scratch directory."""
    users = ("--map-users", f"*={getpass.getuser()}")
    yield from servers.ours("ninep", "export", "DIR", "tcp!127.0.0.1!PORT", *users)


@contextlib.contextmanager
def diod() -> Iterator[int]:
    """Diod on a scratch directory that everybody may write to."""
    with tempfile.TemporaryDirectory(prefix="ninegrid-bench-") as scratch, _link(scratch):
        port = servers.free_port()
        words = ["diod", "-f", "-n", "-N", "-S", "-U", getpass.getuser(), "-l", f"127.0.0.1:{port}", "-e", str(PLACE)]
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
    with near, far:
        files = subprocess.Popen([f"{servers.plan9('ramfs')}", "-i"], stdin=near.fileno(), stdout=near.fileno())
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
        steps.append(Step(name, server, lambda port: run(port, name, version, aname, scale), ours))

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
