"""Replaces damaged and missing blocks by those of another archive."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ninep.cli.codes import DAMAGED, DONE
from ninep.net.errors import BadAddress
from venti.blocks.errors import BlockNotFound, DamagedBlock
from venti.cli.checking import check
from venti.cli.connection import archive, archive_at
from venti.cli.folder import folder, opened
from venti.cli.gauge import Gauge
from venti.cli.verifying import fault_object, index_object, look_through, print_index
from venti.protocol.messages import LARGEST_BLOCK
from venti.stores.mirrored import BlockSource, MirroredStore
from venti.upkeep.survey import Fault
from venti.upkeep.verification import Verification
from venti.vac.named import named


async def repair(arguments: argparse.Namespace) -> int:
    """Repairs an archive or a store; returns the exit code."""
    if arguments.score is None:
        if arguments.address is not None:
            raise BadAddress("what is to be repaired? a SCORE in a running archive, or a whole --store without -h")
        path = folder(arguments)
        async with archive_at(arguments.origin, arguments) as mirror:
            return await _repair_store(path, mirror, arguments)
    if arguments.store is not None:
        raise BadAddress("a SCORE is repaired in a running archive: say -h ADDRESS instead of --store")
    score = named(arguments.score)
    async with archive_at(arguments.origin, arguments) as mirror, archive(arguments) as served:
        healing = MirroredStore(served, mirror, missing=True)
        code = await check(healing, score, arguments, lambda: {"repaired": healing.healed})
        await served.sync()
    return code


async def _repair_store(path: Path, mirror: BlockSource, arguments: argparse.Namespace) -> int:
    async with opened(path):
        # Whoever has it is told so now. An index that is lost is made: it knows what damaged headers hide.
        pass
    faults: list[Fault] = []
    with Verification(path) as look, Gauge("looked through", look.total) as gauge:
        await look_through(look, gauge, faults.append)
    left: list[Fault] = []
    async with opened(path) as store:
        healing = MirroredStore(store, mirror, missing=True)
        with Gauge("repaired", things="faults") as gauge:
            for fault in faults:
                if not await _is_repaired(healing, fault):
                    left.append(fault)
                    if not arguments.json:
                        gauge.clear()
                        print(f"not repaired: {fault}", flush=True)
                gauge.add(0)
        await store.sync()
    wrong = bool(look.differing or look.index_damaged)
    if arguments.json:
        found = [fault_object(fault) for fault in left]
        print(json.dumps({"repaired": healing.healed, "damaged": found, "index": index_object(look)}))
    else:
        print(f"{healing.healed} blocks repaired, {len(left)} are left")
        if any(fault.size for fault in left):
            print("nobody knows which blocks those without a score were: repair the archives by their SCORE")
        if wrong:
            print_index(look)
            print("to have the index made anew: venti rebuild-index")
    return DAMAGED if left or wrong else DONE


async def _is_repaired(healing: MirroredStore, fault: Fault) -> bool:
    if fault.score is None or fault.type is None:
        return False
    try:
        await healing.read(fault.score, fault.type, LARGEST_BLOCK)
    except (DamagedBlock, BlockNotFound):
        return False
    return True
