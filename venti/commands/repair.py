"""``repair``: what is damaged or missing comes from another archive."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import trio

from ninep.wire.edge import DAMAGED, DONE
from ninep.wire.errors import BadAddress
from venti.commands.check import add_check_flags, check
from venti.commands.connection import Parsers, add_command, archive, archive_at
from venti.commands.folder import add_store_flag, folder, opened
from venti.commands.gauge import Gauge
from venti.commands.score import named
from venti.commands.verify import STEP, fault_object
from venti.disk import DiskStore
from venti.disk.files import OsFolder
from venti.disk.survey import Fault, Survey
from venti.errors import BlockNotFound, DamagedBlock
from venti.messages import LARGEST_BLOCK
from venti.mirrored import MirroredStore


async def run(arguments: argparse.Namespace) -> int:
    """Fetches blocks that are damaged or missing from another archive, and stores them anew.

    With a SCORE, those of one archive, in a running server. Without, the damaged ones of a whole store, which no server
    may have open. What cannot be had is named.
    """
    if arguments.score is None:
        if arguments.address is not None:
            raise BadAddress("what is to be repaired? a SCORE in a running archive, or a whole --store without -h")
        path = folder(arguments)
        async with archive_at(arguments.origin, arguments) as mirror, opened(path) as store:
            return await _repair_store(store, MirroredStore(store, mirror, missing=True), path, arguments)
    if arguments.store is not None:
        raise BadAddress("a SCORE is repaired in a running archive: say -h ADDRESS instead of --store")
    score = named(arguments.score)
    async with archive_at(arguments.origin, arguments) as mirror, archive(arguments) as served:
        healing = MirroredStore(served, mirror, missing=True)
        code = await check(healing, score, arguments, lambda: {"repaired": healing.healed})
        await served.sync()
    return code


async def _repair_store(store: DiskStore, healing: MirroredStore, path: Path, arguments: argparse.Namespace) -> int:
    arenas = OsFolder(path / "arenas")
    left: list[Fault] = []
    wanted = store.log.numbers
    with Gauge("repaired", sum(store.log.end(number) for number in wanted)) as gauge:
        for number in wanted:
            survey = Survey(arenas, number)
            try:
                done = False
                while not done:
                    before = survey.at, survey.clumps
                    done = await trio.to_thread.run_sync(survey.step, STEP)
                    gauge.add(survey.at - before[0], survey.clumps - before[1])
            finally:
                survey.close()
            for fault in survey.faults:
                if not await _is_repaired(healing, fault):
                    left.append(fault)
                    if not arguments.json:
                        gauge.clear()
                        print(f"not repaired: {fault}", flush=True)
        await store.sync()
    if arguments.json:
        print(json.dumps({"repaired": healing.healed, "damaged": [fault_object(fault) for fault in left]}))
    else:
        print(f"{healing.healed} blocks repaired, {len(left)} are left")
        if any(fault.score is None for fault in left):
            print("nobody knows which blocks those without a score were: repair the archives by their SCORE")
    return DAMAGED if left else DONE


async def _is_repaired(healing: MirroredStore, fault: Fault) -> bool:
    if fault.score is None or fault.type is None:
        return False
    try:
        await healing.read(fault.score, fault.type, LARGEST_BLOCK)
    except (DamagedBlock, BlockNotFound):
        return False
    return True


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "repair", run, "fetch what is damaged or missing from another archive")
    add_store_flag(parser, "the store to repair, if no SCORE is given; default: venti in your data directory")
    parser.add_argument(
        "--from", dest="origin", required=True, metavar="ADDRESS", help="the archive that has the blocks"
    )
    add_check_flags(parser, nargs="?")
