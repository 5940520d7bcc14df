"""Entries, roots, block sizes and truncation against what the original library packs and unpacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venti.blocks.blocksize import from_big, to_big
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BadBlockType, DamagedArchive
from venti.blocks.score import Score
from venti.trees.entry import ACTIVE, LOCAL, MAX_SIZE, NO_ARCHIVE, SIZE, Entry
from venti.trees.root import Root
from venti.trees.truncate import extend, truncate

ROWS = [
    json.loads(line) for line in (Path(__file__).parents[1] / "recorded/venti/pack/pack.jsonl").read_text().splitlines()
]


def rows(operation: str) -> list[Any]:
    found = [row for row in ROWS if row["op"] == operation]
    assert found, f"no recorded {operation}"
    return [pytest.param(row, id=f"{operation}-{number}") for number, row in enumerate(found)]


def check_unpacked(row: dict[str, Any], packed: bytes) -> None:
    if "unpack_error" in row:
        with pytest.raises(DamagedArchive, match="bad block size"):
            Entry.unpack(packed)
        return
    entry = Entry.unpack(packed)
    want = row["unpacked"]
    assert entry == Entry(
        BlockType(want["type"]),
        want["size"],
        Score(packed[20:]),
        want["psize"],
        want["dsize"],
        want["flags"],
        want["gen"],
    )


@pytest.mark.parametrize("row", rows("entry-pack"))
def test_entry_packs_as_the_original(row: dict[str, Any]) -> None:
    packed = bytes.fromhex(row["packed"])
    entry = Entry(
        BlockType(row["type"]),
        row["size"],
        Score.parse(row["score"]),
        row["psize"],
        row["dsize"],
        row["flags"],
        row["gen"],
    )
    assert entry.pack() == packed
    check_unpacked(row, packed)


@pytest.mark.parametrize("row", rows("entry-unpack"))
def test_entry_unpacks_as_the_original(row: dict[str, Any]) -> None:
    check_unpacked(row, bytes.fromhex(row["packed"]))


@pytest.mark.parametrize("row", rows("root-pack"))
def test_root_packs_as_the_original(row: dict[str, Any]) -> None:
    root = Root(row["name"], row["type"], Score.parse(row["score"]), row["blocksize"], Score.parse(row["prev"]))
    packed = bytes.fromhex(row["packed"])
    try:
        ours = root.pack()
    except ValueError:
        # The original cuts a long name silently.
        assert max(len(root.name), len(root.kind)) > 127
    else:
        assert ours == packed
    check_root(row, packed)


@pytest.mark.parametrize("row", rows("root-unpack"))
def test_root_unpacks_as_the_original(row: dict[str, Any]) -> None:
    check_root(row, bytes.fromhex(row["packed"]))


def check_root(row: dict[str, Any], packed: bytes) -> None:
    if "unpack_error" in row:
        with pytest.raises(DamagedArchive):
            Root.unpack(packed)
        return
    want = row["unpacked"]
    root = Root.unpack(packed)
    assert root.blocksize == want["blocksize"]
    assert (root.name, root.kind) == (want.get("name", root.name), want.get("type", root.kind))
    assert (root.score, root.prev) == (packed[258:278], packed[280:])


@pytest.mark.parametrize("row", rows("zerotruncate"))
def test_truncates_and_extends_as_the_original(row: dict[str, Any]) -> None:
    data = bytes.fromhex(row["in"])
    kind = BlockType(row["type"])
    short = bytes(truncate(kind, data))
    assert short == data[: row["length"]]
    assert bytes(truncate(kind, memoryview(data))) == short
    if row["extended"] is not None:
        assert extend(kind, short, len(data)).hex() == row["extended"]


@pytest.mark.parametrize("row", rows("tobig"))
def test_big_sizes(row: dict[str, Any]) -> None:
    if row["big"] < 0:
        with pytest.raises(ValueError, match="power of two"):
            to_big(row["n"])
    else:
        assert to_big(row["n"]) == row["big"]
        assert from_big(row["big"]) == row["n"]


@pytest.mark.parametrize("row", rows("disktype"))
def test_wire_numbers_of_types(row: dict[str, Any]) -> None:
    try:
        kind = BlockType(row["type"])
    except ValueError:
        assert row["disk"] == 255
    else:
        assert kind.wire == row["disk"]


@pytest.mark.parametrize("row", rows("fromdisk"))
def test_types_of_wire_numbers(row: dict[str, Any]) -> None:
    if row["type"] == 255:
        with pytest.raises(BadBlockType):
            BlockType.from_wire(row["disk"])
    else:
        assert BlockType.from_wire(row["disk"]) == row["type"]


scores = st.binary(min_size=20, max_size=20).map(Score)
plain_sizes = st.integers(256, 65535)
big_sizes = st.builds(lambda mantissa, shift: mantissa << shift, st.integers(256, 2047), st.integers(0, 12))


@given(
    st.builds(
        Entry,
        st.integers(0, 15).map(BlockType),
        st.integers(0, MAX_SIZE),
        scores,
        st.shared(st.booleans(), key="big").flatmap(lambda big: big_sizes if big else plain_sizes),
        st.shared(st.booleans(), key="big").flatmap(lambda big: big_sizes if big else plain_sizes),
        st.sampled_from([ACTIVE, ACTIVE | LOCAL, ACTIVE | NO_ARCHIVE]),
        st.integers(0, 0xFFFFFFFF),
    )
)
def test_entries_come_back(entry: Entry) -> None:
    assert Entry.unpack(entry.pack()) == entry


@given(st.binary(max_size=60), st.integers(0, 30))
def test_any_bytes_are_an_entry_or_damaged(data: bytes, offset: int) -> None:
    try:
        entry = Entry.unpack(data, offset)
    except DamagedArchive:
        return
    assert len(data) >= offset + SIZE
    assert not entry.active or min(entry.psize, entry.dsize) >= 256


@given(st.binary(min_size=290, max_size=310))
def test_any_bytes_are_a_root_or_damaged(data: bytes) -> None:
    for candidate in (data, b"\x00\x02" + data[2:]):
        try:
            root = Root.unpack(candidate)
        except DamagedArchive:
            continue
        assert root.blocksize >= 256


@pytest.mark.parametrize(
    ("prev", "previous"),
    [
        ("00" * 20, None),
        ("da39a3ee5e6b4b0d3255bfef95601890afd80709", None),
        ("11" * 20, "11" * 20),
    ],
)
def test_two_ways_to_have_no_previous_root(prev: str, previous: str | None) -> None:
    root = Root("", "vac", Score.parse("22" * 20), 8192, Score.parse(prev))
    assert root.previous == (Score.parse(previous) if previous else None)


@given(st.sampled_from(BlockType), st.binary(max_size=300), st.integers(0, 3), st.integers(0, 3))
def test_extension_undoes_truncation(kind: BlockType, data: bytes, zeros: int, holes: int) -> None:
    tail = Score.of(b"") * holes if kind.depth else bytes(zeros)
    block = data[: len(data) // 20 * 20] + tail
    short = bytes(truncate(kind, block))
    assert len(short) <= len(block)
    assert kind == BlockType.ROOT or extend(kind, short, len(block)) == block


@pytest.mark.parametrize("name", ["n" * 128, "a\0b"])
def test_a_root_refuses_names_that_do_not_fit(name: str) -> None:
    with pytest.raises(ValueError, match="127"):
        Root(name, "vac", Score.parse("22" * 20), 8192).pack()
