"""Sends the blocks of a store to an archive on the network."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import trio

from ninep.cli.codes import DAMAGED, DONE
from venti.cli.connection import archive, archive_address
from venti.cli.folder import folder
from venti.cli.gauge import Gauge
from venti.cli.verifying import fault_object
from venti.log.durable import at_most
from venti.log.files import OsFolder
from venti.log.log import BEGINNING
from venti.stores.interface import BlockStore
from venti.stores.write_behind import write_behind
from venti.upkeep.outgoing import Outgoing, Places
from venti.upkeep.survey import Fault, stored_again

STEP = 1024 * 1024
"""Bytes that are read at a time."""
SYNC = 256 * 1024 * 1024
"""Bytes after which the place is written down."""


async def export(arguments: argparse.Namespace) -> int:
    """Exports the store that the command line names; returns the exit code."""
    path = folder(arguments)
    name = archive_address(arguments)
    async with archive(arguments) as store:
        return await send(path, store, name, arguments)


async def send(path: Path, store: BlockStore, name: str, arguments: argparse.Namespace) -> int:
    """Sends what the archive at the address ``name`` has not got yet; reports, and returns the exit code."""
    folder = OsFolder(path / "arenas")
    places = Places(path / "exports")
    outgoing = Outgoing(folder, BEGINNING if arguments.all else places.get(name))
    faults: list[Fault] = []
    blocks = size = unsynced = 0
    with Gauge("exported", outgoing.total) as gauge:
        async with write_behind(store) as behind:
            while batch := await trio.to_thread.run_sync(outgoing.next, STEP):
                for type, block in batch.blocks:
                    await behind.write(type, block)
                    size += len(block)
                blocks += len(batch.blocks)
                gauge.add(batch.size, len(batch.blocks))
                for fault in batch.faults:
                    if not await trio.to_thread.run_sync(stored_again, folder, fault):
                        faults.append(fault)
                        if not arguments.json:
                            gauge.clear()
                            print(f"damaged, not exported: {fault}", flush=True)
                unsynced += batch.size
                if unsynced >= SYNC:
                    await behind.sync()
                    places.save(name, at_most(path, batch.position))
                    unsynced = 0
            await behind.sync()
        # What a loss of power may still take away here comes again, perhaps in another place.
        places.save(name, at_most(path, outgoing.position))
    if arguments.json:
        found = [fault_object(fault) for fault in faults]
        print(json.dumps({"blocks": blocks, "bytes": size, "damaged": found}))
    else:
        print(f"{blocks} blocks, {size} bytes exported, {len(faults)} damaged")
    return DAMAGED if faults else DONE
