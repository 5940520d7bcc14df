"""Verifies a store arena by arena, and reports when each was verified."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import trio

from ninep.cli.codes import DAMAGED, DONE
from venti.cli.folder import folder
from venti.cli.gauge import Gauge
from venti.cli.verifying import fault_object
from venti.log.arena import arena_path
from venti.log.files import OsFolder, numbers
from venti.upkeep.scrub import Journal, Scrubber, alone
from venti.upkeep.survey import Fault, stored_again


async def scrub(arguments: argparse.Namespace) -> int:
    """Scrubs, or tells when that was done; returns the exit code."""
    path = folder(arguments)
    return _status(path, arguments) if arguments.status else await _scrub(path, arguments)


async def _scrub(path: Path, arguments: argparse.Namespace) -> int:
    arenas = OsFolder(path / "arenas")
    faults: list[Fault] = []
    start = time.time()
    total = sum(arena_path(path / "arenas", number).stat().st_size for number in numbers(arenas))

    async def heal(fault: Fault) -> bool:
        return await trio.to_thread.run_sync(stored_again, arenas, fault)

    def report(fault: Fault) -> None:
        faults.append(fault)
        if not arguments.json:
            gauge.clear()
            print(f"damaged: {fault}", flush=True)

    with alone(path), Gauge("scrubbed", total) as gauge:
        scrubber = Scrubber(path, rate=arguments.rate, heal=heal, report=report, progress=gauge.add)
        looked_at = 0
        while await scrubber.one(start) is not None:
            looked_at += 1
    if arguments.json:
        print(json.dumps({"arenas": looked_at, "bytes": gauge.bytes, "damaged": [fault_object(f) for f in faults]}))
    else:
        print(f"{looked_at} arenas, {gauge.bytes} bytes: {len(faults)} damaged")
    return DAMAGED if faults else DONE


def _status(path: Path, arguments: argparse.Namespace) -> int:
    journal = Journal(path / "scrub")
    rows: list[dict[str, Any]] = [
        {"arena": number, "checked": journal.checked.get(number), "damaged": journal.damaged.get(number, 0)}
        for number in numbers(OsFolder(path / "arenas"))
    ]
    if arguments.json:
        print(json.dumps({"arenas": rows, "current": journal.current, "offset": journal.offset}))
    else:
        for row in rows:
            when = row["checked"]
            told = "never" if when is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
            now = f", now at offset {journal.offset}" if row["arena"] == journal.current else ""
            print(f"arena {row['arena']}: {told}, {row['damaged']} damaged{now}")
    return DAMAGED if any(row["damaged"] for row in rows) else DONE
