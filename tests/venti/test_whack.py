"""Whack against what the original compressor made, and against every other sequence of bytes."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from venti.blocks.score import Score
from venti.plan9.whack import BadWhack, decompress

RECORDED = Path(__file__).parent.parent / "recorded/venti/pack/whack.jsonl"


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['score'][:8]}-{row['size']}")
def test_streams_of_the_original_compressor(row: dict[str, Any]) -> None:
    stream = base64.b64decode(row["compressed"])
    assert len(stream) == row["csize"]
    assert str(Score.of(decompress(stream, row["size"]))) == row["score"]
    for size in (row["size"] - 1, row["size"] + 1, 0):
        with pytest.raises(BadWhack):
            decompress(stream, size)


def bits(text: str) -> bytes:
    digits = text.replace(" ", "")
    digits += "0" * (-len(digits) % 8)
    return int(digits, 2).to_bytes(len(digits) // 8, "big")


LITERAL_A = "0 01100001"
"""While the history holds something that is no text, a literal has nine bits."""


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (LITERAL_A, b"a"),
        (LITERAL_A * 4 + "0 1100010", b"aaaab"),
        (LITERAL_A * 4 + "0 0000000 01", b"aaaa\xc1"),
        (LITERAL_A * 4 + "0 0011000 001", b"aaaa\x81"),
        (LITERAL_A * 4 + "0 0010000 00", b"aaaa\x00"),
        (LITERAL_A + "10 0000 00000", b"aaaa"),
        (LITERAL_A + "110 0000 00000", b"aaaaa"),
        (LITERAL_A + "0 01100010" + "11101 0000 00001", b"ab" + b"ababab"),
        (LITERAL_A + "1111100 1 0000 00000", b"a" * 12),
        (LITERAL_A + "111111111111100 111111111 0000 00000", b"a" * 2052),
    ],
)
def test_codes(stream: str, expected: bytes) -> None:
    assert decompress(bits(stream), len(expected)) == expected


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        ("10 0000 00000", "reaches 1 bytes before"),
        (LITERAL_A + "10 0000 00001", "reaches 1 bytes before"),
        (LITERAL_A + "111111111111111 0", "means nothing"),
        (LITERAL_A + "11111110", "cut"),
    ],
)
def test_what_cannot_be(stream: str, text: str) -> None:
    with pytest.raises(BadWhack, match=text):
        decompress(bits(stream), 100)


@given(some.binary(max_size=300), some.integers(0, 60000))
def test_any_bytes_are_a_block_of_that_size_or_refused(stream: bytes, size: int) -> None:
    try:
        assert len(decompress(stream, size)) == size
    except BadWhack:
        pass


@given(some.sampled_from(rows()), some.data())
def test_a_flipped_bit_is_not_believed_blindly(row: dict[str, Any], data: some.DataObject) -> None:
    stream = bytearray(base64.b64decode(row["compressed"]))
    bit = data.draw(some.integers(0, 8 * len(stream) - 1))
    stream[bit // 8] ^= 1 << bit % 8
    try:
        assert len(decompress(stream, row["size"])) == row["size"]
    except BadWhack:
        pass


@given(some.binary(min_size=8, max_size=600))
def test_the_tables_say_what_the_codes_say(stream: bytes) -> None:
    """Code by code, the same comes out; and the same streams are refused."""

    def outcome() -> bytes | str:
        try:
            return decompress(stream, 1000)
        except BadWhack as error:
            return str(error)

    found = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("venti.plan9.whack._TAIL", 1 << 20)
        assert outcome() == found


@given(some.lists(some.sampled_from([LITERAL_A, "0 00001010 ", "0 11110000 ", "10 0000 00000", "1100 0001 00001"])))
def test_streams_of_sound_codes(codes: list[str]) -> None:
    stream = bits(LITERAL_A * 5 + "".join(codes) + LITERAL_A * 9)
    found = []
    for tail in (64, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("venti.plan9.whack._TAIL", tail)
            try:
                found.append(decompress(stream, 60))
            except BadWhack as error:
                found.append(str(error).encode())
    assert found[0] == found[1]
