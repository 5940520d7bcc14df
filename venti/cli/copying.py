"""Copies a tree from one archive to another, and reports what was written."""

from __future__ import annotations

import argparse
import json
import sys

from ninep.cli.codes import DAMAGED, DONE
from venti.blocks.blocktype import BlockType
from venti.cli.connection import archive_at
from venti.cli.gauge import Gauge
from venti.trees.copy import Copier
from venti.vac.named import named


async def copy(arguments: argparse.Namespace) -> int:
    """Copies a tree, and reports; returns the exit code."""
    score = named(arguments.score)
    async with (
        archive_at(arguments.source, arguments) as source,
        archive_at(arguments.destination, arguments) as destination,
    ):
        with Gauge("copied") as gauge:
            copier = Copier(source, destination, fast=arguments.fast, ignore=arguments.ignore, progress=gauge.add)
            await copier.run(score, BlockType(arguments.type))
    for error in copier.failures:
        print(f"venti: {error}", file=sys.stderr)
    counts = {"written": copier.written, "skipped": copier.skipped, "bytes": copier.size}
    if arguments.json:
        print(json.dumps({**counts, "failures": [str(error) for error in copier.failures]}))
    else:
        print(f"{copier.written} blocks, {copier.size} bytes written, {copier.skipped} trees were there")
    return DAMAGED if copier.failures else DONE
