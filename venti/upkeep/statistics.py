"""Counts what a store holds, from the footers of sealed arenas and the headers of the one in use."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from venti.blocks.errors import DamagedStore
from venti.log import arena as arenas
from venti.log.arena import START, arena_name
from venti.log.files import ArenaFolder, numbers


class Statistics(NamedTuple):
    """Counts of a store.

    Attributes:
        arenas: files of clumps; ``sealed`` of them never change again.
        blocks: clumps; a block that was stored again because it was damaged counts twice.
        size: bytes of the blocks themselves.
        stored: bytes that they take, compressed where that pays, without their headers.
        files: bytes of the arenas.
        types: blocks by the number that their type has on the wire.
    """

    arenas: int
    sealed: int
    blocks: int
    size: int
    stored: int
    files: int
    types: dict[int, int]


def count(folder: ArenaFolder) -> Statistics:
    """Counts; reads no block. Raises OSError."""
    sealed = blocks = size = stored = files = 0
    types: Counter[int] = Counter()
    found = numbers(folder)
    for number in found:
        file = folder.open(arena_name(number), writable=False)
        try:
            files += file.size()
            end = arenas.sealed_at(file)
            try:
                directory = None if end is None else arenas.footer(file)["directory"]
            except DamagedStore:
                directory = None
            sealed += end is not None
            if directory is not None:
                for entry in arenas.listed(directory):
                    blocks, size, stored = blocks + 1, size + entry.size, stored + entry.stored
                    types[entry.type] += 1
            else:
                for _, clump in arenas.clumps(file, START, file.size() if end is None else end):
                    blocks, size, stored = blocks + 1, size + clump.size, stored + clump.stored
                    types[clump.type] += 1
        finally:
            file.close()
    return Statistics(len(found), sealed, blocks, size, stored, files, dict(types))
