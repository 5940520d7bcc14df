"""Verifies a store against its scores and its index, and reports the differences."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import trio

from ninep.cli.codes import DAMAGED, DONE
from venti.cli.folder import folder
from venti.cli.gauge import Gauge
from venti.log.claim import says_its_format
from venti.upkeep.survey import Fault
from venti.upkeep.verification import Verification

STEP = 8 * 1024 * 1024
"""Bytes between two looks at the world."""


async def verify(arguments: argparse.Namespace) -> int:
    """Verifies a store, and reports; returns the exit code."""
    path = folder(arguments)
    known = says_its_format(path)
    faults: list[Fault] = []
    with Verification(path) as look, Gauge("verified", look.total) as gauge:

        def report(fault: Fault) -> None:
            faults.append(fault)
            if not arguments.json:
                gauge.clear()
                print(f"damaged: {fault}", flush=True)

        await look_through(look, gauge, report)
    wrong = bool(look.differing or look.index_damaged)
    if arguments.json:
        found = [fault_object(fault) for fault in faults]
        counts = {"arenas": look.arenas, "blocks": look.clumps, "bytes": look.at, "healed": look.healed}
        print(json.dumps({**counts, "damaged": found, "format": known, "index": index_object(look)}))
    else:
        if not known:
            print(f"damaged: {path / 'format'}: it is written anew when the store is opened to be written")
        text = f"{look.arenas} arenas, {look.clumps} blocks, {look.at} bytes: {len(faults)} damaged"
        print_index(look)
        print(f"{text}, {look.healed} healed" if look.healed else text)
        if faults:
            print("to fetch what is damaged from another archive: venti repair --from ADDRESS")
        if wrong:
            print("to have the index made anew, with no server running: venti rebuild-index")
    return DAMAGED if faults or wrong or not known else DONE


async def look_through(look: Verification, gauge: Gauge, report: Callable[[Fault], None]) -> None:
    """Goes through a store to the end; ``report`` gets each fault as it is found."""
    done = False
    while not done:
        before = look.at, look.clumps
        done = await trio.to_thread.run_sync(look.step, STEP)
        gauge.add(look.at - before[0], look.clumps - before[1])
        while look.faults:
            report(look.faults.pop(0))


def print_index(look: Verification) -> None:
    """What came of comparing the index."""
    for difference in look.differences:
        print(f"index: {difference}")
    if look.differing > len(look.differences):
        print(f"index: and {look.differing - len(look.differences)} more")
    if look.clumps and not look.entries and not look.trouble:
        print(
            "the index was not compared: the server that has the store open has written nothing of it yet: look later"
        )
    elif look.trouble:
        print(f"the index {'is damaged' if look.index_damaged else 'was not compared'}: {look.trouble}")
    else:
        print(f"index: {look.entries} entries: {look.differing} differences")


def index_object(look: Verification) -> dict[str, Any]:
    """The same, for programs."""
    return {
        "entries": look.entries,
        "differing": look.differing,
        "differences": [
            {
                "score": found.score.hex(),
                "type": None if found.type is None else int(found.type),
                "detail": found.detail,
            }
            for found in look.differences
        ],
        "damaged": look.index_damaged,
        "trouble": look.trouble,
    }


def fault_object(fault: Fault) -> dict[str, Any]:
    """A fault, for programs."""
    return {
        "arena": fault.arena,
        "offset": fault.offset,
        "score": None if fault.score is None else str(fault.score),
        "type": None if fault.type is None else int(fault.type),
        "detail": fault.detail,
    }
