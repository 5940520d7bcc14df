"""Archives of the original programs: their blocks in a store, and what is known to be in them."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

from venti.blocks.blocktype import BlockType
from venti.stores.memory import MemoryStore

RECORDED = Path(__file__).parents[1] / "recorded/venti/vac"


def blocks() -> list[tuple[int, bytes]]:
    """Wire type and bytes of every block."""
    with gzip.open(RECORDED / "blocks.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["type"], base64.b64decode(row["data"])) for row in rows]


def archives() -> list[dict[str, Any]]:
    """What the archives hold: name, vac, root, files."""
    with gzip.open(RECORDED / "vacs.json.gz", "rt") as file:
        found: list[dict[str, Any]] = json.load(file)
    return found


def store() -> MemoryStore:
    """A store with all the blocks."""
    made = MemoryStore()
    for kind, data in blocks():
        made.write_nowait(BlockType.from_wire(kind), data)
    return made
