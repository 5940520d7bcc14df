"""How the costs of fossil grow with the size of its tree: one server, whose tree grows tenfold from row to row.

Measured at each size: making a file, a snapshot, looking up a file that is not in memory, an archive after one file
changed, and the memory of the server.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from bench import servers
from bench.measure import Result, Timing, chains
from bench.ninep import ROOT, SCRATCH, Bench, attached
from bench.plan import Step
from bench.processor import listener, resident
from fossil.console.console import Line, open_console
from ninep.protocol.messages import OREAD, OWRITE, Tclunk, Tcreate, Topen, Twalk, Twrite
from ninep.protocol.stat import DMDIR

LARGEST = 1_000_000
"""Files at scale 1."""
SMALLEST = 1_000
ARCHIVED = 100_000
"""Files up to which archives are made: the first one of each size writes all that is new."""
FOLDER = 1_000
"""Files of one directory."""
DEPTH = 64
DIRECTORY = SCRATCH - 1


def plan(scale: float) -> list[Step]:
    """Ours alone: the original's partition would have to be made for the largest tree."""
    folder = tempfile.TemporaryDirectory(prefix="ninegrid-bench-")

    @contextmanager
    def server() -> Iterator[int]:
        with folder:
            yield from servers.ours(
                "fossil", "serve", "--data", f"{folder.name}/data", "--listen", "tcp!127.0.0.1!PORT"
            )

    async def work(port: int) -> list[Result]:
        return await run(port, Path(folder.name, "data"), int(LARGEST * scale))

    return [Step("fossil", server, work)]


async def run(port: int, folder: Path, largest: int) -> list[Result]:
    """Grows the tree from a thousand files, or from one directory, to ``largest``."""
    results: list[Result] = []
    process = listener(port)
    made = 0
    size = min(SMALLEST, largest)
    async with open_console(folder / "console") as console:
        while size <= max(largest, FOLDER):
            async with attached(port, "main/active", "fossil") as bench:
                timing = Timing(0.0, [])
                while made < size:
                    part = await _fill(bench, made // FOLDER)
                    timing.seconds += part.seconds
                    timing.latencies += part.latencies
                    made += FOLDER
                label = f"{made:,} files"
                found = [timing.result("fossil", f"{label}: create", DEPTH)]
                found.append(await _snapshots(bench, console, label))
                found.append(await _lookups(bench, made, label))
                if made <= ARCHIVED:
                    await console.ask("snap -a")
                    await console.ask("last -w")
                    found.append(await _archive(bench, console, label))
            results += [replace(result, memory=resident(process)) for result in found]
            size *= 10
    return results


async def _fill(bench: Bench, number: int) -> Timing:
    """A directory full of files of 100 bytes."""
    client = bench.client
    await client.call(Twalk(ROOT, DIRECTORY, []))
    await client.call(Tcreate(DIRECTORY, f"{number}", DMDIR | 0o755, OREAD))
    await client.call(Tclunk(DIRECTORY))
    await client.call(Twalk(ROOT, DIRECTORY, [f"{number}"]))
    work = [
        (
            Twalk(DIRECTORY, SCRATCH + n % DEPTH, []),
            Tcreate(SCRATCH + n % DEPTH, f"{n}", 0o644, OWRITE),
            Twrite(SCRATCH + n % DEPTH, 0, b"%9d" % (number * FOLDER + n) * 11),
            Tclunk(SCRATCH + n % DEPTH),
        )
        for n in range(FOLDER)
    ]
    timing = await chains(client, work[: FOLDER // DEPTH * DEPTH], DEPTH)
    rest = await chains(client, work[FOLDER // DEPTH * DEPTH :], DEPTH)
    await client.call(Tclunk(DIRECTORY))
    return Timing(timing.seconds + rest.seconds, timing.latencies + rest.latencies)


async def _change(bench: Bench, number: int) -> None:
    client = bench.client
    await client.call(Twalk(ROOT, SCRATCH, [f"{number // FOLDER}", f"{number % FOLDER}"]))
    await client.call(Topen(SCRATCH, OWRITE))
    await client.call(Twrite(SCRATCH, 0, b"changed"))
    await client.call(Tclunk(SCRATCH))


async def _snapshots(bench: Bench, console: Line, label: str) -> Result:
    """Each after a change, as the console answers."""
    latencies = []
    for number in range(20):
        await _change(bench, number)
        began = perf_counter()
        await console.ask("snap")
        latencies.append(perf_counter() - began)
    return Timing(sum(latencies), latencies).result("fossil", f"{label}: snapshot", 1)


async def _lookups(bench: Bench, made: int, label: str) -> Result:
    source = random.Random(1)
    places = [source.randrange(made) for _ in range(2_000)]
    work = [(Twalk(ROOT, SCRATCH, [f"{place // FOLDER}", f"{place % FOLDER}"]), Tclunk(SCRATCH)) for place in places]
    return (await chains(bench.client, work, 1)).result("fossil", f"{label}: walk+clunk", 1)


async def _archive(bench: Bench, console: Line, label: str) -> Result:
    latencies = []
    for number in range(3):
        await _change(bench, number)
        began = perf_counter()
        await console.ask("snap -a")
        await console.ask("last -w")
        latencies.append(perf_counter() - began)
    return Timing(sum(latencies), latencies).result("fossil", f"{label}: archive a change", 1)
