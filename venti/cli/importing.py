"""Stores the blocks of the original venti's arena partitions, and reports damage."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import AsyncExitStack
from typing import Any

from ninep.cli.codes import DAMAGED, DONE
from venti.blocks.errors import DamagedStore
from venti.cli.folder import destination
from venti.cli.gauge import Gauge
from venti.plan9.partition import Damage, Partition
from venti.plan9.readers import batches
from venti.stores.write_behind import WriteBehind, write_behind

SMALL = 64 * 1024 * 1024
"""Bytes of a partition that is not worth a second process."""


async def take(arguments: argparse.Namespace) -> int:
    """Imports each file, and reports; returns the exit code."""
    damaged = False
    async with AsyncExitStack() as stack:
        behind: WriteBehind | None = None
        if not arguments.check:
            store = await stack.enter_async_context(destination(arguments))
            behind = await stack.enter_async_context(write_behind(store))
        for name in arguments.files:
            damaged |= await _import(name, behind, arguments)
    return DAMAGED if damaged else DONE


async def _import(name: str, behind: WriteBehind | None, arguments: argparse.Namespace) -> bool:
    damage: list[Damage] = []
    try:
        partition = Partition(name)
    except DamagedStore as error:
        print(f"venti: {error}", file=sys.stderr)
        return True
    with partition, Gauge(name, partition.used()) as gauge:
        blocks = size = 0
        if partition.trouble:
            print(f"venti: {name}: {partition.trouble}", file=sys.stderr)
        async with batches(partition, _processes(partition, arguments.jobs)) as found:
            async for batch in found:
                for item in batch:
                    if isinstance(item, Damage):
                        damage.append(item)
                        gauge.clear()
                        print(f"venti: {name}: damaged: {item}", file=sys.stderr)
                        continue
                    blocks += 1
                    size += len(item.data)
                    if behind is not None:
                        await behind.write(item.type, item.data)
                    gauge.add(item.stored)
        if behind is not None:
            await behind.sync()
    _report(name, blocks, size, damage, partition.trouble, arguments)
    return bool(damage) or bool(partition.trouble)


def _processes(partition: Partition, wanted: int | None) -> int:
    if wanted is not None:
        return max(1, wanted)
    return 1 if partition.size < SMALL else len(os.sched_getaffinity(0))


def _report(
    name: str, blocks: int, size: int, damage: list[Damage], trouble: str, arguments: argparse.Namespace
) -> None:
    if arguments.json:
        found: list[dict[str, Any]] = [
            {
                "arena": item.arena,
                "offset": item.offset,
                "score": None if item.score is None else str(item.score),
                "type": None if item.type is None else int(item.type),
                "detail": item.detail,
            }
            for item in damage
        ]
        if trouble:
            found.insert(0, {"arena": None, "offset": None, "score": None, "type": None, "detail": trouble})
        print(json.dumps({"file": name, "blocks": blocks, "bytes": size, "damaged": found}))
    else:
        what = "sound" if arguments.check else "stored"
        print(f"{name}: {blocks} blocks, {size} bytes {what}, {len(damage)} damaged")
