"""Reports how many blocks and bytes a store has."""

from __future__ import annotations

import argparse
import json
from collections import Counter

import trio

from ninep.cli.codes import DAMAGED, DONE
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BadBlockType
from venti.cli.folder import folder
from venti.log.files import OsFolder
from venti.upkeep.scrub import Journal
from venti.upkeep.statistics import Statistics, count


async def show(arguments: argparse.Namespace) -> int:
    """Counts, and prints it; returns the exit code."""
    path = folder(arguments)
    found = await trio.to_thread.run_sync(count, OsFolder(path / "arenas"))
    index = sum(file.stat().st_blocks * 512 for file in (path / "index").glob("*"))
    journal = Journal(path / "scrub")
    damaged = sum(journal.damaged.values()) + journal.faults
    oldest = min(journal.checked.values()) if len(journal.checked) == found.arenas else None
    if arguments.json:
        print(
            json.dumps(
                {
                    "arenas": found.arenas,
                    "sealed": found.sealed,
                    "blocks": found.blocks,
                    "bytes": found.size,
                    "stored": found.stored,
                    "files": found.files,
                    "index": index,
                    "types": _kinds(found),
                    "damaged": damaged,
                    "scrubbed": oldest,
                }
            )
        )
        return DAMAGED if damaged else DONE
    print(f"arenas   {found.arenas}, {found.sealed} of them sealed, {found.files} bytes")
    print(f"index    {index} bytes")
    kinds = ", ".join(f"{number} {name}" for name, number in sorted(_kinds(found).items()))
    print(f"blocks   {found.blocks}" + (f", {kinds}" if kinds else ""))
    print(f"bytes    {found.size}, stored in {found.stored}{_saved(found)}")
    if damaged:
        print(f"damaged  {damaged} blocks: see 'verify' and 'repair'")
    return DAMAGED if damaged else DONE


def _kinds(found: Statistics) -> Counter[str]:
    """Blocks by what they are called."""
    groups: Counter[str] = Counter()
    for kind, number in found.types.items():
        groups[_name(kind)] += number
    return groups


def _name(wire: int) -> str:
    try:
        kind = BlockType.from_wire(wire)
    except BadBlockType:
        return f"unknown {wire}"
    return "pointers" if kind.depth else {BlockType.DATA: "data", BlockType.DIR: "directory"}.get(kind, "root")


def _saved(found: Statistics) -> str:
    return f", {100 - 100 * found.stored // found.size} percent saved" if found.size else ""
