"""``verify``: is every block of a store what was written?"""

from __future__ import annotations

import argparse
import json
from typing import Any

import trio

from ninep.wire.edge import DAMAGED, DONE
from venti.commands.connection import Parsers
from venti.commands.folder import add_folder_command, folder
from venti.commands.gauge import Gauge
from venti.disk.arena import arena_path
from venti.disk.files import OsFolder
from venti.disk.survey import Fault, Survey, numbers, stored_again

STEP = 8 * 1024 * 1024
"""Bytes between two looks at the world."""


async def run(arguments: argparse.Namespace) -> int:
    """Reads every block of a store and checks it against its BLAKE3 and its score.

    The store may be in use by a server meanwhile. Damage that has been healed, by a sound copy later in the store, does
    not count.
    """
    path = folder(arguments)
    arenas = OsFolder(path / "arenas")
    wanted = numbers(arenas)
    total = sum(arena_path(path / "arenas", number).stat().st_size for number in wanted)
    faults: list[Fault] = []
    healed = clumps = 0
    with Gauge("verified", total) as gauge:
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
            clumps += survey.clumps
            for fault in survey.faults:
                if await trio.to_thread.run_sync(stored_again, arenas, fault):
                    healed += 1
                    continue
                faults.append(fault)
                if not arguments.json:
                    gauge.clear()
                    print(f"damaged: {fault}", flush=True)
    if arguments.json:
        found = [fault_object(fault) for fault in faults]
        print(json.dumps({"arenas": len(wanted), "blocks": clumps, "bytes": total, "healed": healed, "damaged": found}))
    else:
        text = f"{len(wanted)} arenas, {clumps} blocks, {total} bytes: {len(faults)} damaged"
        print(f"{text}, {healed} healed" if healed else text)
        if faults:
            print("to fetch what is damaged from another archive: venti repair --from ADDRESS")
    return DAMAGED if faults else DONE


def fault_object(fault: Fault) -> dict[str, Any]:
    """A fault, for programs."""
    return {
        "arena": fault.arena,
        "offset": fault.offset,
        "score": None if fault.score is None else str(fault.score),
        "type": None if fault.type is None else int(fault.type),
        "detail": fault.detail,
    }


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_folder_command(commands, "verify", run, "check every block of a store")
    parser.add_argument("--json", action="store_true", help="print one object at the end")
