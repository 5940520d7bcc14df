"""Arena partitions of the original venti: whole, damaged in every field, and not partitions at all."""

from __future__ import annotations

import gzip
import os
from functools import cache
from pathlib import Path
from struct import pack

import pytest

from fakes import recorded_archives
from venti.blocks.errors import DamagedStore
from venti.blocks.score import Score
from venti.plan9 import layout
from venti.plan9.partition import Block, Damage, Partition

RECORDED = Path(__file__).parent.parent / "recorded/venti/arena"
ARENAS0 = 794624
BLOCK = 8192
BASE = ARENAS0 + BLOCK
SIZE = 1 << 20


@cache
def image(name: str = "arenas") -> bytes:
    with gzip.open(RECORDED / f"{name}.part.gz") as file:
        return file.read()


def read(path: Path) -> tuple[list[Block], list[Damage]]:
    with Partition(str(path)) as partition:
        items = list(partition.blocks())
    return [i for i in items if isinstance(i, Block)], [i for i in items if isinstance(i, Damage)]


def keys(blocks: list[Block]) -> set[tuple[Score, int]]:
    return {(block.score, block.type.wire) for block in blocks}


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "arenas.part"
    path.write_bytes(image())
    return path


@cache
def all_keys() -> frozenset[tuple[Score, int]]:
    path = Path(f"/proc/self/fd/{os.memfd_create('partition')}")
    path.write_bytes(image())
    return frozenset(keys(read(path)[0]))


def change(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_version_5(part: Path) -> None:
    """One arena is sealed, one is in use, one is empty; all of vac's and the protocol's blocks are in them."""
    blocks, damage = read(part)
    assert damage == []
    assert len(blocks) == len(keys(blocks)) == 1477
    assert all(Score.of(block.data) == block.score for block in blocks)
    recorded = {(Score.of(data), kind) for kind, data in recorded_archives.blocks()}
    assert len(recorded - keys(blocks)) < len(recorded)
    assert Score.parse("55bf7505f58f3c1cf46fa51cb9c9285f85e7b5f8") in {block.score for block in blocks}


def test_version_4_with_a_tail_that_lags_behind(tmp_path: Path) -> None:
    path = tmp_path / "old.part"
    path.write_bytes(image("arenas-v4-unindexed"))
    blocks, damage = read(path)
    assert damage == []
    assert len(keys(blocks)) == 932


def test_the_zeros_that_mirrors_leave_behind_the_tail(part: Path) -> None:
    change(part, 2883693, b"\1")
    assert len(read(part)[0]) == 1477
    assert read(part)[1] == []


def test_a_log_that_is_longer_than_its_tail_says(part: Path) -> None:
    """As after a crash; the last write may be half there, which is no damage."""
    tail = bytearray(image()[2891776 - BLOCK : 2891776])
    tail[72:80] = bytes(8)
    tail[92:108] = bytes(16)
    tail[109:135] = bytes(26)
    change(part, 2891776 - BLOCK, bytes(tail))
    assert len(read(part)[0]) == 1477
    base = 1843200 + BLOCK
    last = 399448 - 7 * 25
    change(part, base + last - 100, bytes(60))
    blocks, damage = read(part)
    assert (len(blocks), damage) == (1476, [])


def test_without_header_and_table_the_arenas_are_found(part: Path) -> None:
    change(part, layout.HEADER_AT, bytes(SIZE // 2))
    with Partition(str(part)) as partition:
        assert "3 arenas were found by their heads" in partition.trouble
    assert keys(read(part)[0]) == all_keys()


@pytest.mark.parametrize("offset", [0, 5, 9, 29])
def test_a_compressed_clump_whose_header_is_damaged(part: Path, offset: int) -> None:
    """The directory says what it was."""
    for clump in (39, 95):
        change(part, BASE + clump + offset, bytes((image()[BASE + clump + offset] ^ 255,)))
    blocks, damage = read(part)
    assert keys(blocks) == all_keys()
    assert [found.detail for found in damage] == ["the arena is not what it was when it was sealed"]


def test_a_compressed_clump_that_is_damaged(part: Path) -> None:
    change(part, BASE + 95 + layout.CLUMP_HEADER + 3, b"?")
    blocks, damage = read(part)
    lost = Score.parse("20f87bde04892e9ca0c2d880bbe284978c0d261f")
    assert {score for score, _ in all_keys() - keys(blocks)} == {lost}
    assert (damage[0].arena, damage[0].offset, damage[0].score, damage[0].type) == ("arenas0", 95, lost, 0)
    assert str(damage[0]).startswith(f"block {lost}/0 at arenas0 offset 95: its score is now ")


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Partition(str(tmp_path / "nothing"))


@pytest.mark.parametrize(("block_size", "base"), [(0, 794624), (8191, 794624), (8192, 0), (8192, 270336), (1 << 31, 1)])
def test_headers_that_cannot_be(block_size: int, base: int) -> None:
    with pytest.raises(DamagedStore):
        layout.unpack_partition(pack(">IIII", 0xA9E4A5E7, 3, block_size, base))


@pytest.mark.parametrize("size", [0, 3 * 8192 - 1, 1 << 62, (1 << 64) - 1])
def test_heads_that_cannot_be(size: int) -> None:
    with pytest.raises(DamagedStore):
        layout.unpack_head(pack(">II64sIQI", 0xD15C4EAD, 5, b"x", 8192, size, 1))


@pytest.mark.parametrize("line", [b"3\n", b"x\n", b"1\na\t1\t2\n", b"1\nname\t794624\t9" + b"9" * 30 + b"\n", b"-1\n"])
def test_tables_that_cannot_be(line: bytes) -> None:
    with pytest.raises(DamagedStore):
        layout.unpack_table(line)
