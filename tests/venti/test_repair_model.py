"""Any damage to a store, and a mirror that has some of the blocks: what can be had comes back, what cannot is told."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as some

from fakes.damaged_store import DATA, blocks, fill, harm, memory
from programs.venti_program import serving, venti
from venti.blocks.errors import BlockNotFound, DamagedBlock
from venti.blocks.score import Score
from venti.log.opening import open_disk_store

WRITTEN = blocks(25)
NUMBERS = some.integers(0, len(WRITTEN) - 1)


async def readable(path: Path) -> set[int]:
    """The blocks that the store gives back; whatever it gives must be what was written."""
    found = set()
    async with open_disk_store(path) as store:
        for number, block in enumerate(WRITTEN):
            try:
                assert await store.read(Score.of(block), DATA, 8192) == block
                found.add(number)
            except (DamagedBlock, BlockNotFound):
                pass
    return found


async def one_life(path: Path, damage: dict[int, bool], known: set[int], arena_size: int) -> None:
    places = await fill(path, WRITTEN, arena_size=arena_size)
    for number, header in damage.items():
        harm(path, places[number], header=header)
    everything = set(range(len(WRITTEN)))
    assert await venti("verify", "--store", path) == (4 if damage else 0)
    async with serving(await memory(WRITTEN[number] for number in sorted(known))) as address:
        code = await venti("repair", "--from", address, "--store", path)
    lost = {number for number in damage if number not in known}
    assert code == (4 if lost else 0)
    assert await readable(path) == everything - lost
    assert await venti("verify", "--store", path) == (4 if lost else 0)
    shutil.rmtree(path / "index")
    assert await readable(path) == everything - lost
    assert await venti("rebuild-index", "--store", path) == 0
    assert await readable(path) == everything - lost
    async with open_disk_store(path) as store:
        for block in WRITTEN:
            await store.write(DATA, block)
    assert await readable(path) >= everything - lost


@pytest.mark.expects_errors
@settings(max_examples=8)
@given(some.dictionaries(NUMBERS, some.booleans(), max_size=5), some.sets(NUMBERS), some.sampled_from([9_000, 1 << 30]))
def test_repair(damage: dict[int, bool], known: set[int], arena_size: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        trio.run(one_life, Path(name), damage, known, arena_size)
