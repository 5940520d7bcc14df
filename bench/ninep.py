"""9P workloads: creating, sequential and random I/O, stats, on any server that speaks 9P2000.

Requests are sent by the wire client itself, so that the server and not the client library is measured.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from bench import servers
from bench.measure import Result, chains, window
from bench.plan import Step
from ninep.net.identity import user_name
from ninep.protocol.dialect import NinePDialect
from ninep.protocol.messages import (
    NOFID,
    NOTAG,
    ORDWR,
    OWRITE,
    Rread,
    Rversion,
    Tattach,
    Tclunk,
    Tcreate,
    Tread,
    Tremove,
    Tstat,
    Tversion,
    Twalk,
    Twrite,
)
from ninep.wire.client import Client

MSIZE = 1024 * 1024 + 24
ROOT = 0
FILE = 1
SCRATCH = 1000
"""First fid for files that come and go."""


class Bench:
    """One connection with an attached root."""

    def __init__(self, client: Client[Any, Any], msize: int, server: str) -> None:
        self.client = client
        self.unit = msize - 24
        self.server = server

    async def create(self, name: str, fid: int = FILE) -> None:
        """Makes a file and leaves it open under ``fid``."""
        await self.client.call(Twalk(ROOT, fid, []))
        await self.client.call(Tcreate(fid, name, 0o644, ORDWR))

    async def small_files(self, count: int, depth: int) -> Result:
        """Creates files of 1 KiB: walk, create, write, clunk."""
        data = random.Random(1).randbytes(1024)
        work = [
            (
                Twalk(ROOT, SCRATCH + n % depth, []),
                Tcreate(SCRATCH + n % depth, f"small-{depth}-{n}", 0o644, OWRITE),
                Twrite(SCRATCH + n % depth, 0, data),
                Tclunk(SCRATCH + n % depth),
            )
            for n in range(count)
        ]
        return (await chains(self.client, work, depth)).result(self.server, "create 1 KiB file", depth)

    async def lookups(self, count: int, depth: int) -> Result:
        """Walks to an existing file, stats it, clunks."""
        work = [
            (
                Twalk(ROOT, SCRATCH + n % depth, [f"small-{depth}-{n % min(count, 500)}"]),
                Tstat(SCRATCH + n % depth),
                Tclunk(SCRATCH + n % depth),
            )
            for n in range(count)
        ]
        return (await chains(self.client, work, depth)).result(self.server, "walk+stat+clunk", depth)

    async def removes(self, count: int, depth: int) -> Result:
        """Removes the small files: walk, remove."""
        work = [
            (Twalk(ROOT, SCRATCH + n % depth, [f"small-{depth}-{n}"]), Tremove(SCRATCH + n % depth))
            for n in range(count)
        ]
        return (await chains(self.client, work, depth)).result(self.server, "walk+remove", depth)

    async def sequential(self, size: int, unit: int, depth: int) -> Iterator[Result]:
        """Writes a file from start to end and reads it back."""
        unit = min(unit, self.unit)
        data = random.Random(2).randbytes(unit)
        count = size // unit
        label = f"{unit // 1024} KiB"
        await self.create(f"big-{unit}-{depth}")
        written = await window(self.client, (Twrite(FILE, n * unit, data) for n in range(count)), depth)
        read = await window(self.client, (Tread(FILE, n * unit, unit) for n in range(count)), depth)
        check = await self.client.call(Tread(FILE, (count - 1) * unit, unit))
        if not isinstance(check, Rread) or bytes(check.data) != data:
            raise AssertionError(f"{self.server} gave back other bytes than were written")
        await self.client.call(Tclunk(FILE))
        return iter(
            (
                written.result(self.server, f"sequential write {label}", depth, count * unit),
                read.result(self.server, f"sequential read {label}", depth, count * unit),
            )
        )

    async def random_reads(self, size: int, count: int, depth: int) -> Result:
        """Reads 4 KiB from random places of a file."""
        name = f"random-{depth}"
        await self.create(name)
        unit = min(64 * 1024, self.unit)
        data = random.Random(3).randbytes(unit)
        await window(self.client, (Twrite(FILE, at, data) for at in range(0, size, unit)), 8)
        places = random.Random(4)
        reads = (Tread(FILE, places.randrange(size // 4096) * 4096, 4096) for _ in range(count))
        timing = await window(self.client, reads, depth)
        await self.client.call(Tclunk(FILE))
        return timing.result(self.server, "random read 4 KiB", depth, count * 4096)

    async def stats(self, count: int, depth: int) -> Result:
        """Stats one file."""
        await self.create(f"stat-{depth}")
        timing = await window(self.client, (Tstat(FILE) for _ in range(count)), depth)
        await self.client.call(Tclunk(FILE))
        return timing.result(self.server, "stat", depth)


@asynccontextmanager
async def attached(port: int, aname: str, server: str, *, msize: int = MSIZE) -> AsyncIterator[Bench]:
    """A connection to 127.0.0.1 with its root attached and walked into a directory where the user may write."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    dialect = NinePDialect()
    client: Client[Any, Any] = Client(stream, dialect)
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        version = await client.call(Tversion(msize, "9P2000"), tag=NOTAG)
        assert isinstance(version, Rversion)
        dialect.msize = version.msize
        await client.call(Tattach(ROOT, NOFID, user_name(), aname))
        yield Bench(client, version.msize, server)
        nursery.cancel_scope.cancel()


def plan(scale: float) -> list[Step]:
    """Our servers and the original fossil."""
    steps = [
        Step("fossil", servers.our_fossil, lambda port: run(port, "fossil", "main/active", scale)),
        Step("ramfs", servers.our_ramfs, lambda port: run(port, "ramfs", "", scale)),
    ]
    if servers.plan9("fossil/fossil"):
        steps.append(
            Step("C fossil", servers.c_fossil, lambda port: run(port, "C fossil", "main/active", scale), False)
        )
    return steps


async def run(port: int, server: str, aname: str, scale: float) -> list[Result]:
    """All workloads on one server; ``scale`` 1 takes some seconds each."""
    results: list[Result] = []
    few, many = max(64, int(2_000 * scale)), max(640, int(40_000 * scale))
    size = max(4 << 20, int((128 << 20) * scale))
    async with attached(port, aname, server) as bench:
        for depth in (1, 64):
            count = few if depth == 1 else few * 4
            results.append(await bench.small_files(count, depth))
            results.append(await bench.lookups(count, depth))
            results.append(await bench.removes(count, depth))
        results += await bench.sequential(size // 4, 8192, 1)
        results += await bench.sequential(size, 8192, 16)
        if bench.unit > 1 << 16:
            results += await bench.sequential(size * 2, 1 << 20, 8)
        results.append(await bench.random_reads(size // 2, few, 1))
        results.append(await bench.random_reads(size // 2, many // 2, 16))
        results.append(await bench.stats(few * 2, 1))
        results.append(await bench.stats(many, 64))
    return results
