"""cfs: reads through a cold and a warm cache against reads of the same server past it, on links of 0, 5 and 50 ms.

The file server is ramfs, the link a relay (``relay``), everything a process of its own on this machine. At 0 ms there
is no link between, and what any process on the way would cost is measured, too: ``bare relay`` hands on bytes, ``bare
proxy`` messages, see ``hop``. Then the standard library as a whole, see ``library``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager

from bench import library, servers
from bench.measure import Result, Timing, chains, window
from bench.ninep import FILE, ROOT, SCRATCH, Bench, attached
from bench.plan import Step
from ninep.protocol.messages import ORDWR, OREAD, Tclunk, Tcreate, Topen, Tread, Twalk, Twrite
from ninep.protocol.stat import DMDIR

ROUND_TRIPS = (0.0, 0.005, 0.05)
UNIT = 128 * 1024
"""What Linux asks for at once."""
SMALL = 8 * 1024
"""Bytes of a small file."""
PAST = "past"
"""A directory that the cache is told never changes."""


class Site:
    """A file server at the far end of a link, and a cache at this end."""

    def __init__(self, round_trip: float, scale: float) -> None:
        self.round_trip = round_trip
        self._scale = scale
        self._files = max(24, int((400 if round_trip < 0.01 else 60) * scale))
        self._size = max(4 << 20, int((64 << 20) * scale))
        self._source = random.Random(1)
        self._far = self._link = 0
        self._hops: list[tuple[str, int]] = []

    @contextmanager
    def start(self) -> Iterator[int]:
        """The value is the port of the cache."""
        with ExitStack() as stack:
            self._far = stack.enter_context(servers.our_ramfs())
            start = contextmanager(servers.ours)
            if self.round_trip:
                self._link = stack.enter_context(start("bench.relay", "PORT", str(self._far), str(self.round_trip)))
            else:
                self._link = self._far
                self._hops = [
                    (name, stack.enter_context(start("bench.hop", what, "PORT", str(self._far))))
                    for name, what in (("bare relay", "bytes"), ("bare proxy", "messages"))
                ]
            yield stack.enter_context(
                start(
                    *("cfs", "serve", "-a", f"tcp!127.0.0.1!{self._link}", "--listen", "tcp!127.0.0.1!PORT"),
                    *("--cache", "DIR/cache", "--immutable", f":{PAST}"),
                )
            )

    async def work(self, port: int) -> list[Result]:
        """Every kind of reading three times: direct, through the cold cache, through the warm one."""
        async with attached(self._far, "", "ramfs") as far:
            await self._furnish(far)
        results: list[Result] = []
        async with AsyncExitStack() as stack:
            direct = await stack.enter_async_context(attached(self._link, "", "direct"))
            cache = await stack.enter_async_context(attached(port, "", "cfs"))
            hops = [await stack.enter_async_context(attached(hop, "", name)) for name, hop in self._hops]
            for depth in (1, 16):
                for what, name, count in (("big file", f"big-{depth}", self._size), ("small files", f"now-{depth}", 0)):
                    results += await self._compare(direct, hops, cache, what, [name], count, depth)
                results += await self._compare(direct, hops, cache, "unchanging files", [PAST, f"{depth}"], 0, depth)
        return results

    async def read_library(self, port: int) -> list[Result]:
        """The whole tree, the first time and again."""
        return await library.compare(self._far, self._link, port, PAST, self._scale)

    async def _furnish(self, far: Bench) -> None:
        client = far.client
        data = self._source.randbytes(1 << 20)
        await client.call(Twalk(ROOT, FILE, []))
        await client.call(Tcreate(FILE, PAST, DMDIR | 0o755, OREAD))
        await client.call(Tclunk(FILE))
        for depth in (1, 16):
            await far.create(f"big-{depth}")
            for at in range(0, self._size, 1 << 20):
                await client.call(Twrite(FILE, at, data))
            await client.call(Tclunk(FILE))
            for above, name in (([], f"now-{depth}"), ([PAST], f"{depth}")):
                await client.call(Twalk(ROOT, FILE, above))
                await client.call(Tcreate(FILE, name, DMDIR | 0o755, OREAD))
                await client.call(Tclunk(FILE))
                for number in range(self._files):
                    await client.call(Twalk(ROOT, FILE, [*above, name]))
                    await client.call(Tcreate(FILE, f"{number}", 0o644, ORDWR))
                    await client.call(Twrite(FILE, 0, data[number : number + SMALL]))
                    await client.call(Tclunk(FILE))

    async def _compare(
        self, direct: Bench, hops: Sequence[Bench], cache: Bench, what: str, names: list[str], size: int, depth: int
    ) -> list[Result]:
        def rows(timing: Timing, server: str, *states: str) -> list[Result]:
            label = f"{what}, {self.round_trip * 1000:g} ms"
            total = size or self._files * SMALL
            return [timing.result(server, f"{label}, {state}", depth, total) for state in states]

        async def read(bench: Bench) -> Timing:
            return await (self._sequential(bench, names, depth) if size else self._small(bench, names, depth))

        results = rows(await read(direct), "direct", "cold", "warm")
        for hop in hops:
            results += rows(await read(hop), hop.server, "cold")
        results += rows(await read(cache), "cfs", "cold")
        results += rows(await read(cache), "cfs", "warm")
        return results

    async def _sequential(self, bench: Bench, names: Sequence[str], depth: int) -> Timing:
        await bench.client.call(Twalk(ROOT, FILE, names))
        await bench.client.call(Topen(FILE, OREAD))
        timing = await window(bench.client, (Tread(FILE, at, UNIT) for at in range(0, self._size, UNIT)), depth)
        await bench.client.call(Tclunk(FILE))
        return timing

    async def _small(self, bench: Bench, names: Sequence[str], depth: int) -> Timing:
        """Lists the directory, as whoever copies it does, then reads its files; only that is timed."""
        await bench.client.call(Twalk(ROOT, FILE, names))
        await bench.client.call(Topen(FILE, OREAD))
        at = 0
        while data := (await bench.client.call(Tread(FILE, at, UNIT))).data:
            at += len(data)
        await bench.client.call(Tclunk(FILE))
        work = [
            (
                Twalk(ROOT, SCRATCH + number % depth, [*names, f"{number}"]),
                Topen(SCRATCH + number % depth, OREAD),
                Tread(SCRATCH + number % depth, 0, SMALL),
                Tclunk(SCRATCH + number % depth),
            )
            for number in range(self._files // depth * depth)
        ]
        return await chains(bench.client, work, depth)


def plan(scale: float) -> list[Step]:
    """One site for each length of the link, and one more for the library."""
    sites = [Site(round_trip, scale) for round_trip in ROUND_TRIPS]
    last = Site(ROUND_TRIPS[-1], scale)
    return [*(Step("cfs", site.start, site.work) for site in sites), Step("cfs", last.start, last.read_library)]
