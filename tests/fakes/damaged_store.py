"""Stores on disk with known blocks, of which some get damaged."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.log.arena import arena_path
from venti.log.clump import HEADER
from venti.log.index import Place
from venti.log.opening import open_disk_store
from venti.stores.memory import MemoryStore

DATA = BlockType.DATA


def blocks(count: int, seed: int = 0) -> list[bytes]:
    """Blocks of random bytes and zeros, up to 3500 bytes."""
    source = random.Random(seed)
    return [source.randbytes(source.randrange(200, 3000)) + bytes(source.randrange(500)) for _ in range(count)]


async def fill(path: Path, written: Iterable[bytes], *, arena_size: int = 20_000) -> list[Place]:
    """Writes the blocks to the store in ``path``; says where they are."""
    async with open_disk_store(path, arena_size=arena_size) as store:
        for block in written:
            await store.write(DATA, block)
        places = [store.locate(Score.of(block), DATA) for block in written]
    return [place for place in places if place is not None]


def harm(path: Path, place: Place, *, header: bool = False) -> None:
    """Damages the stored bytes of a block, or the header before them."""
    file = arena_path(path / "arenas", place.arena)
    mode = file.stat().st_mode
    file.chmod(0o600)
    with file.open("r+b") as opened:
        opened.seek(place.offset + (10 if header else HEADER + 5))
        byte = opened.read(1)[0]
        opened.seek(-1, 1)
        opened.write(bytes((byte ^ 0x55,)))
    file.chmod(mode)


async def memory(written: Iterable[bytes]) -> MemoryStore:
    """A store in memory with the blocks."""
    store = MemoryStore()
    for block in written:
        await store.write(DATA, block)
    return store
