"""Copies a store to another directory, or sends it to a server."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import trio

from ninep.cli.codes import DAMAGED, DONE
from ninep.net.errors import BadAddress
from venti.cli.connection import archive_at
from venti.cli.gauge import Gauge
from venti.cli.sending import send
from venti.log.claim import claimed
from venti.log.durable import durable_ends
from venti.log.files import OsFolder
from venti.log.place import existing, writable
from venti.upkeep.replica import missing, replicate


async def bring(arguments: argparse.Namespace) -> int:
    """Copies a store, or sends it; returns the exit code."""
    if is_address(arguments.source):
        raise BadAddress(
            f"{arguments.source}: nobody can ask a server which blocks it has: name the directory of a store"
        )
    source = existing(arguments.source)
    if is_address(arguments.destination):
        async with archive_at(arguments.destination, arguments) as store:
            return await send(source, store, arguments.destination, arguments)
    destination = writable(Path(arguments.destination))
    if destination.resolve() == source.resolve():
        raise BadAddress("SRC and DST are one directory")
    with claimed(destination):
        return await _replicate(source, destination, arguments)


def is_address(text: str) -> bool:
    """Whether a word names a server and not a directory."""
    return "!" in text or ":" in text


async def _replicate(source: Path, destination: Path, arguments: argparse.Namespace) -> int:
    here, there = OsFolder(source / "arenas"), OsFolder(destination / "arenas")
    ends = await trio.to_thread.run_sync(durable_ends, source)
    steps = replicate(here, there, ends, check=arguments.all)
    copied: set[int] = set()
    damaged: list[str] = []
    with Gauge("mirrored", missing(there, ends)) as gauge:
        while step := await trio.to_thread.run_sync(next, steps, None):
            if step.damaged:
                damaged.append(step.damaged)
                if not arguments.json:
                    gauge.clear()
                    print(f"damaged: {step.damaged}: see 'verify' and 'repair'", flush=True)
            else:
                copied.add(step.arena)
                gauge.add(step.size)
    if arguments.json:
        print(json.dumps({"arenas": len(copied), "bytes": gauge.bytes, "damaged": damaged}))
    else:
        print(f"{len(copied)} arenas, {gauge.bytes} bytes copied, {len(damaged)} damaged")
    return DAMAGED if damaged else DONE
