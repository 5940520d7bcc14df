"""fossil workloads: what people do with a file server, alone and eight at a time, on ours and on the original.

Sequential I/O is measured with the message size of the original (8216 bytes) and with the largest that a server
grants; the original grants no more, so its figures stand for both.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from time import perf_counter

import trio

from bench import servers
from bench.measure import Result, Timing, chains, window
from bench.ninep import FILE, MSIZE, ROOT, SCRATCH, Bench, attached
from bench.plan import Step
from bench.processor import listener, spent
from ninep.messages import OREAD, OWRITE, Rread, Tclunk, Tcreate, Topen, Tread, Twalk, Twrite
from ninep.stat import DMDIR

CLIENTS = 8
SMALL_MSIZE = 8192 + 24
"""The most that the original grants."""
DIRECTORY = SCRATCH - 1
"""The fid of a directory under work."""


def plan(scale: float) -> list[Step]:
    """Ours and the original."""
    steps = [Step("fossil", servers.our_fossil, lambda port: run(port, "fossil", "main/active", scale))]
    if servers.plan9("fossil/fossil"):
        steps.append(
            Step("C fossil", servers.c_fossil, lambda port: run(port, "C fossil", "main/active", scale), False)
        )
    return steps


async def run(port: int, server: str, aname: str, scale: float) -> list[Result]:
    """All workloads on one server; ``scale`` 1 takes some seconds each."""
    results: list[Result] = []
    process = listener(port)
    few, many = max(64, int(2_000 * scale)), max(640, int(40_000 * scale))
    size = max(4 << 20, int((256 << 20) * scale))
    async with attached(port, aname, server) as bench:
        for depth in (1, 64):
            count = few if depth == 1 else few * 4
            results.append(await _costed(process, bench.small_files(count, depth)))
            results.append(await _costed(process, bench.lookups(count, depth)))
            results.append(await _costed(process, bench.removes(count, depth)))
        results += await _sequential(bench, process, size // 4, "largest msize")
        results.append(await bench.random_reads(size // 4, few, 1))
        results.append(await bench.random_reads(size // 4, many // 2, 16))
        results.append(await _costed(process, bench.stats(few * 2, 1)))
        results.append(await _costed(process, bench.stats(many, 64)))
    async with attached(port, aname, server, msize=SMALL_MSIZE) as bench:
        results += await _sequential(bench, process, size // 4, "msize 8216")
    results += await _together(port, server, aname, few)
    async with attached(port, aname, server) as bench:
        results += await _large_directory(bench, max(2_000, int(100_000 * scale)))
    return results


async def _costed(process: int | None, work: Awaitable[Result]) -> Result:
    """With the processor time that the server spent: that is much the same whatever else the machine does."""
    before = spent(process)
    result = await work
    return replace(result, cpu=spent(process) - before)


async def _sequential(bench: Bench, process: int | None, size: int, label: str) -> list[Result]:
    """Writes a file from start to end and reads it back, about 256 KiB in flight."""
    unit = bench.unit
    depth = max(4, min(32, (256 * 1024) // unit))
    data = random.Random(7).randbytes(unit)
    count = max(depth, size // unit)
    await bench.create(f"sequential-{label}")
    start = spent(process)
    written = await window(bench.client, (Twrite(FILE, n * unit, data) for n in range(count)), depth)
    middle = spent(process)
    read = await window(bench.client, (Tread(FILE, n * unit, unit) for n in range(count)), depth)
    end = spent(process)
    check = await bench.client.call(Tread(FILE, (count - 1) * unit, unit))
    if not isinstance(check, Rread) or bytes(check.data) != data:
        raise AssertionError(f"{bench.server} gave back other bytes than were written")
    await bench.client.call(Tclunk(FILE))
    # The number of requests in flight follows the message size and is no part of the workload's name.
    return [
        replace(written.result(bench.server, f"sequential write, {label}", 0, count * unit), cpu=middle - start),
        replace(read.result(bench.server, f"sequential read, {label}", 0, count * unit), cpu=end - middle),
    ]


async def _together(port: int, server: str, aname: str, count: int) -> list[Result]:
    """Eight clients at once, each in a directory of its own: files of 1 KiB made, then read from start to end."""
    made: list[Timing] = []
    read: list[Timing] = []
    data = random.Random(8).randbytes(1024)

    async def one(number: int, task_status: trio.TaskStatus[trio.Event]) -> None:
        async with attached(port, aname, server) as bench:
            client, name = bench.client, f"client-{number}"
            await client.call(Twalk(ROOT, DIRECTORY, []))
            await client.call(Tcreate(DIRECTORY, name, DMDIR | 0o755, OREAD))
            await client.call(Tclunk(DIRECTORY))
            await client.call(Twalk(ROOT, DIRECTORY, [name]))
            ready = trio.Event()
            task_status.started(ready)
            await ready.wait()
            fids = [SCRATCH + n % 8 for n in range(count)]
            makes = [
                (
                    Twalk(DIRECTORY, fid, []),
                    Tcreate(fid, f"{n}", 0o644, OWRITE),
                    Twrite(fid, 0, data),
                    Tclunk(fid),
                )
                for n, fid in enumerate(fids)
            ]
            made.append(await chains(client, makes, 8))
            reads = [
                (Twalk(DIRECTORY, fid, [f"{n}"]), Topen(fid, OREAD), Tread(fid, 0, 1024), Tclunk(fid))
                for n, fid in enumerate(fids)
            ]
            read.append(await chains(client, reads, 8))

    async with trio.open_nursery() as nursery:
        starts = [await nursery.start(one, number) for number in range(CLIENTS)]
        for start in starts:
            start.set()
    return [
        _summed(made).result(server, "eight clients: create 1 KiB", 8),
        _summed(read).result(server, "eight clients: read a file", 8),
    ]


def _summed(parts: Sequence[Timing]) -> Timing:
    """The work of clients that began together, as one."""
    return Timing(max(part.seconds for part in parts), [each for part in parts for each in part.latencies])


async def _large_directory(bench: Bench, count: int) -> list[Result]:
    """One directory with many entries: filled, listed, looked up at random."""
    client, depth = bench.client, 64
    await client.call(Twalk(ROOT, DIRECTORY, []))
    await client.call(Tcreate(DIRECTORY, "large", DMDIR | 0o755, OREAD))
    await client.call(Tclunk(DIRECTORY))
    await client.call(Twalk(ROOT, DIRECTORY, ["large"]))
    fids = [SCRATCH + n % depth for n in range(count)]
    makes = [
        (Twalk(DIRECTORY, fid, []), Tcreate(fid, f"entry-{n:06}", 0o644, OREAD), Tclunk(fid))
        for n, fid in enumerate(fids)
    ]
    filled = await chains(client, makes, depth)
    await client.call(Twalk(DIRECTORY, FILE, []))
    await client.call(Topen(FILE, OREAD))
    start, offset = perf_counter(), 0
    while True:
        reply = await client.call(Tread(FILE, offset, min(bench.unit, MSIZE)))
        if not len(reply.data):
            break
        offset += len(reply.data)
    listed = perf_counter() - start
    await client.call(Tclunk(FILE))
    source = random.Random(9)
    looks = [(Twalk(DIRECTORY, fid, [f"entry-{source.randrange(count):06}"]), Tclunk(fid)) for fid in fids[:5000]]
    looked = await chains(client, looks, depth)
    await client.call(Tclunk(DIRECTORY))
    label = f"{count // 1000},000 entries"
    return [
        filled.result(bench.server, f"{label}: create", depth),
        Result(bench.server, f"{label}: list", 1, count, listed, offset, listed, listed),
        looked.result(bench.server, f"{label}: walk+clunk", depth),
    ]
