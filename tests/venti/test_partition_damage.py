"""Damage to every part of an arena partition of the original venti: what it costs, and that it is told."""

from __future__ import annotations

import os
import random
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fakes import small_partition
from fakes.small_partition import BLOCK, BLOCKS, SIZE, START
from venti.blocks.errors import DamagedStore
from venti.blocks.score import Score
from venti.plan9 import layout
from venti.plan9.partition import Block, Damage, Partition

BASE = START + BLOCK
TAIL = START + SIZE - BLOCK
PLACES = [sum(layout.CLUMP_HEADER + len(data) for _, data in BLOCKS[:n]) for n in range(len(BLOCKS) + 1)]
"""Where the clumps begin, from ``BASE`` on."""
ALL = frozenset((Score.of(data), type) for type, data in BLOCKS)
UNSEALED = "the arena is not what it was when it was sealed"


@cache
def image(version: int) -> bytes:
    return small_partition.partition(version=version)


@pytest.fixture(params=[4, 5])
def part(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "arenas.part"
    path.write_bytes(image(request.param))
    return path


def read(path: Path) -> tuple[set[tuple[Score, int]], list[Damage]]:
    with Partition(str(path)) as partition:
        items = list(partition.blocks())
    blocks = [item for item in items if isinstance(item, Block)]
    assert all(Score.of(block.data) == block.score for block in blocks)
    return {(block.score, block.type.wire) for block in blocks}, [i for i in items if isinstance(i, Damage)]


def change(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_no_damage(part: Path) -> None:
    assert read(part) == (ALL, [])


@pytest.mark.parametrize(
    ("at", "data"),
    [
        (layout.HEADER_AT, b"????"),
        (layout.HEADER_AT + 4, b"????"),
        (layout.HEADER_AT + 8, b"????"),
        (layout.HEADER_AT + 12, b"\0\0\0\0"),
        (layout.HEADER_AT + layout.HEADER_SIZE, b"what?"),
        (START, b"????"),
        (START + 4, b"????"),
        (START + 72, b"\0\0\0\0"),
        (START + 72, b"\0\0\x40\0"),
        (START + 76, b"????????"),
        (START + 84, b"????"),
        (TAIL, b"????"),
        (TAIL + 4, b"????"),
        (TAIL + 72, b"????"),
        (TAIL + 76, b"????"),
        (TAIL + 88, b"????"),
        (TAIL + 92, b"????"),
        (TAIL + 96, b"????"),
    ],
)
def test_damage_in_the_frame_costs_no_block(part: Path, at: int, data: bytes) -> None:
    change(part, at, data)
    assert read(part)[0] == ALL


@pytest.mark.parametrize("offset", [n for n in range(layout.CLUMP_HEADER) if n != 4])
def test_damage_in_a_clump_header_is_made_good_from_the_directory(part: Path, offset: int) -> None:
    for clump in (1, 2, 20):
        at = BASE + PLACES[clump] + offset
        change(part, at, bytes((part.read_bytes()[at] ^ 255,)))
    found, damage = read(part)
    assert found == ALL
    assert [fault.detail for fault in damage] == [UNSEALED]


def test_a_damaged_type_is_told_by_no_score(part: Path) -> None:
    """Header and directory name different types, and the block is sound: it is kept under both."""
    change(part, BASE + PLACES[2] + 4, b"\2")
    found, _ = read(part)
    assert found == ALL | {(Score.of(BLOCKS[2][1]), 2)}


@pytest.mark.parametrize("number", [0, 2, len(BLOCKS) - 1])
def test_damage_in_a_block_costs_that_block(part: Path, number: int) -> None:
    type, data = BLOCKS[number]
    change(part, BASE + PLACES[number] + layout.CLUMP_HEADER + len(data) - 1, b"?")
    found, damage = read(part)
    assert found == ALL - {(Score.of(data), type)}
    assert (damage[0].offset, damage[0].score) == (PLACES[number], Score.of(data))


def test_damage_in_header_and_block(part: Path) -> None:
    change(part, BASE + PLACES[2], b"?" * (PLACES[3] - PLACES[2]))
    found, damage = read(part)
    assert ALL - found == {(Score.of(BLOCKS[2][1]), 13)}
    assert damage[0].detail == "its header is damaged"


def test_damage_in_the_directory_costs_nothing(part: Path) -> None:
    change(part, TAIL - 2 * BLOCK, random.Random(1).randbytes(2 * BLOCK))
    found, damage = read(part)
    assert found == ALL
    assert [fault.detail for fault in damage] == [UNSEALED]


@pytest.mark.parametrize("number", [0, 2, 19, 20, len(BLOCKS) - 1])
def test_damage_in_directory_and_header(part: Path, number: int) -> None:
    """The next clump is found by its magic and its score."""
    change(part, TAIL - 2 * BLOCK, bytes(2 * BLOCK))
    change(part, BASE + PLACES[number], b"????")
    found, damage = read(part)
    assert ALL - found == {(Score.of(BLOCKS[number][1]), BLOCKS[number][0])}
    size = PLACES[number + 1] - PLACES[number]
    assert (damage[0].offset, damage[0].score) == (PLACES[number], None)
    assert damage[0].detail.startswith(f"{size} bytes of clumps cannot be made out")


def test_a_clump_that_a_tool_marked_as_lost(part: Path) -> None:
    change(part, BASE + PLACES[2] + 4, b"\xff")
    change(part, TAIL - BLOCK + 2 * 25, b"\xff")
    found, damage = read(part)
    assert len(found) == len(ALL) - 1
    assert damage[0].detail == "it is marked corrupt"
    assert damage[0].type is None


@pytest.mark.parametrize("size", [0, 100, layout.HEADER_AT, layout.HEADER_AT + 100])
def test_cut_before_the_table(part: Path, size: int) -> None:
    os.truncate(part, size)
    with pytest.raises(DamagedStore, match="no arena is found"):
        Partition(str(part))


@pytest.mark.parametrize("size", [START, START + 10, BASE, BASE + 70, BASE + 1000, TAIL - BLOCK, TAIL, TAIL + 10])
def test_cut_later(part: Path, size: int) -> None:
    os.truncate(part, size)
    found, damage = read(part)
    assert found <= ALL
    assert damage


WHERE = (
    some.integers(layout.HEADER_AT, layout.HEADER_AT + 64)
    | some.integers(layout.HEADER_AT + layout.HEADER_SIZE, layout.HEADER_AT + layout.HEADER_SIZE + 64)
    | some.integers(START, START + 128)
    | some.integers(BASE, BASE + PLACES[-1])
    | some.integers(TAIL - 2 * BLOCK, TAIL + BLOCK)
)


@settings(max_examples=300)
@given(
    some.sampled_from([4, 5]),
    some.lists(some.tuples(WHERE, some.binary(min_size=1, max_size=50)), min_size=1, max_size=4),
)
def test_whatever_is_damaged_nothing_is_invented_and_nothing_lost_in_silence(
    version: int, patches: list[tuple[int, bytes]]
) -> None:
    descriptor = os.memfd_create("partition")
    try:
        os.pwrite(descriptor, image(version)[layout.HEADER_AT :], layout.HEADER_AT)
        for at, data in patches:
            os.pwrite(descriptor, data, at)
        try:
            partition = Partition(f"/proc/self/fd/{descriptor}")
        except DamagedStore:
            return
        with partition:
            items = list(partition.blocks())
        found = {(item.score, item.type.wire) for item in items if isinstance(item, Block)}
        assert {score for score, _ in found} <= {score for score, _ in ALL}
        assert found >= ALL or len(items) > len(found) or partition.trouble
    finally:
        os.close(descriptor)
