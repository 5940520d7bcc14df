"""``mirror``: brings a second copy of a store up to date, in a directory or on a server."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import trio

from ninep.cli.codes import DAMAGED, DONE
from ninep.cli.networks import add_network_flags
from ninep.net.errors import BadAddress
from venti.commands.connection import Parsers, archive_at
from venti.commands.export import send
from venti.commands.folder import existing, writable
from venti.commands.gauge import Gauge
from venti.log.claim import claimed
from venti.log.durable import durable_ends
from venti.log.files import OsFolder
from venti.upkeep.replica import missing, replicate


async def run(arguments: argparse.Namespace) -> int:
    """Brings a second store up to date with the store in the directory SRC, which a server may have open meanwhile.

    DST is a directory, which becomes the same store byte for byte, and which no server may have open meanwhile; or the
    address of a running venti, to which the blocks are sent. Either goes on where it stopped.
    """
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


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = commands.add_parser("mirror", help="bring a second store up to date", description=run.__doc__)
    parser.add_argument("--all", action="store_true", help="look again at what was copied before")
    parser.add_argument("--json", action="store_true", help="print an object at the end")
    parser.add_argument("source", metavar="SRC", help="directory of a store")
    parser.add_argument("destination", metavar="DST", help="a directory, or an address such as tcp!backup!venti")
    add_network_flags(parser)
    parser.set_defaults(run=run)
