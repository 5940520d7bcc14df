"""Whack, the compression of the original venti: decompression only. Source: the golden vectors in ``tests/recorded``.

A stream of bits, the most significant of each byte first, is a sequence of literals and of matches. A match copies
bytes that came out before. Literals are shorter when the four before them were text. The stream ends when fewer than
eight bits are left.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from struct import unpack_from
from typing import Any, Final, TypeAlias

from ninep.wire.dialect import Buffer

_LENGTHS: Final = (
    ("10", 0, 3),
    ("110", 0, 4),
    ("11100", 0, 5),
    ("11101", 0, 6),
    ("111100", 0, 7),
    ("111101", 1, 8),
    ("1111100", 1, 10),
    ("1111101", 2, 12),
    ("11111100", 2, 16),
    ("11111101", 3, 20),
    ("111111100", 3, 28),
    ("111111101", 4, 36),
    ("1111111100", 4, 52),
    ("1111111101", 5, 68),
    ("11111111100", 5, 100),
    ("11111111101", 6, 132),
    ("111111111100", 6, 196),
    ("111111111101", 7, 260),
    ("1111111111100", 7, 388),
    ("1111111111101", 8, 516),
    ("11111111111100", 8, 772),
    ("11111111111101", 9, 1028),
    ("111111111111100", 9, 1540),
)
"""Code, bits that follow it, and the length that they are added to."""

_OFFSETS: Final = (
    (0x0, 5),
    (0x20, 5),
    (0x40, 5),
    (0x60, 5),
    (0x80, 6),
    (0xC0, 6),
    (0x100, 7),
    (0x180, 7),
    (0x200, 8),
    (0x300, 8),
    (0x400, 9),
    (0x600, 9),
    (0x800, 10),
    (0xC00, 10),
    (0x1000, 12),
    (0x2000, 13),
)
"""By the four bits of the code: what is added to the bits that follow, and how many those are."""

_CODE = 15
_PEEK: Final = 16
"""Bits by which a table says what comes first."""
_WORD: Final = 64
_STRIDE: Final = 32
"""Bits of a word that is kept at hand, and from one to the next: each has that many bits and one more at any place."""
_TAIL: Final = 64
"""Bits at the end that are taken apart code by code: what is behind the last code is none."""


def _lengths() -> Iterator[tuple[int, int, int]]:
    """For each possible run of 15 bits with a one in front: bits of the code and after it, those after it, base."""
    table = [(0, 0, 0)] * (1 << _CODE)
    for code, extra, base in _LENGTHS:
        rest = _CODE - len(code)
        first = int(code, 2) << rest
        table[first : first + (1 << rest)] = [(len(code) + extra, extra, base)] * (1 << rest)
    return iter(table[1 << _CODE - 1 :])


_LENGTH_OF: Final = tuple(_lengths())
_RARE: Final = tuple(byte < 32 or byte > 127 for byte in range(256))

_Entry: TypeAlias = tuple[int, int, Any, int]
_Table: TypeAlias = list[_Entry]


@cache
def _tables() -> tuple[_Table, _Table]:
    """What begins with each run of bits: while the last four literals were text, and while they were not.

    A match is its bits, its length, the smallest distance, and a mask for the last of its bits, which are added to it.
    Literals are their bits, 0, themselves, and whether the last is rare. Where that takes more bits, all is 0.
    """
    text: _Table = [(0, 0, 0, 0)] * (1 << _PEEK)

    def put(table: _Table, code: int, size: int, entry: _Entry) -> None:
        span = 1 << _PEEK - size
        table[code * span : (code + 1) * span] = [entry] * span

    for prefix, extra, length in _LENGTHS:
        for kind, (base, bits) in enumerate(_OFFSETS):
            size = len(prefix) + extra + 4
            if size > _PEEK or size + bits > _STRIDE:
                continue
            for more in range(1 << extra):
                code = (int(prefix, 2) << extra | more) << 4 | kind
                put(text, code, size, (size + bits, length + more, 1 + base, (1 << bits) - 1))
    other = text.copy()
    for byte in range(256):
        put(other, byte, 9, (9, 0, bytes((byte,)), _RARE[byte]))
    for code in range(96):
        put(text, code, 10, (10, 0, bytes((code - 64 & 255,)), True))
    for code in range(192, 256):
        put(text, code, 11, (11, 0, bytes((code - 64 & 255,)), True))
    for byte in range(32, 128):
        put(text, byte, 8, (8, 0, bytes((byte,)), False))
        for second in range(32, 128):
            put(text, byte << 8 | second, 16, (16, 0, bytes((byte, second)), False))
    return text, other


class BadWhack(ValueError):
    """The bits are no whack of a block of that size; the text says how that shows."""


def decompress(data: Buffer, size: int) -> bytes:
    """The ``size`` bytes that ``data`` is the compressed form of.

    Raises:
        BadWhack: it is not; nothing is known about the bytes then.
    """
    text, other = _tables()
    end = 8 * len(data)
    padded = b"".join((data, bytes(2 * _WORD // 8 + 8)))
    # Each has 64 bits and begins 32 behind the one before: at any place there are 33 bits in one of them.
    count = len(data) // 8 + 2
    words = [0] * (2 * count)
    words[::2] = unpack_from(f">{count}Q", padded)
    words[1::2] = unpack_from(f">{count}Q", padded, 4)
    out = bytearray()
    at = 0
    rare = 4
    table = other
    # What comes next is looked up for 16 bits at once. Nearly all of the time of an import is spent in this loop.
    while at < end - _TAIL:
        word = words[at >> 5]
        left = _WORD - (at & 31)
        used, length, found, last = table[word >> left - _PEEK & 0xFFFF]
        if length:
            distance = found + (word >> left - used & last)
            if length <= distance:
                start = len(out) - distance
                if start < 0:
                    raise BadWhack(f"a copy reaches {-start} bytes before the beginning")
                out += out[start : start + length]
            else:
                _repeat(out, distance, length)
        elif used:
            out += found
            if last:
                rare = 4
                table = other
            elif rare:
                rare -= 1
                if not rare:
                    table = text
        else:
            used, rare = _step(out, padded, at, rare)
        at += used
    while at <= end - 8:
        used, rare = _step(out, padded, at, rare)
        at += used
    if at > end:
        raise BadWhack("the last code is cut")
    if len(out) != size:
        raise BadWhack(f"{len(out)} bytes come out, not {size}")
    return bytes(out)


def _step(out: bytearray, data: bytes, at: int, rare: int) -> tuple[int, int]:
    """Takes one code at bit ``at`` apart; returns its bits, and for how many literals more they are not short."""
    window = int.from_bytes(data[at >> 3 : (at >> 3) + 8], "big")
    held = _WORD - (at & 7)
    if window >> held - 1 & 1:
        used, extra, length = _LENGTH_OF[window >> held - _CODE & 0x3FFF]
        if not used:
            raise BadWhack(f"a length code after {len(out)} bytes means nothing")
        length += window >> held - used & (1 << extra) - 1
        base, extra = _OFFSETS[window >> held - used - 4 & 15]
        used += 4 + extra
        _repeat(out, 1 + base + (window >> held - used & (1 << extra) - 1), length)
        return used, rare
    if rare:
        used = 9
        byte = window >> held - 9 & 255
    else:
        used = 8
        byte = window >> held - 8 & 127
        if byte < 24:
            used = 10
            byte = (window >> held - 10 & 511) - 64 & 255
        elif byte < 32:
            used = 11
            byte = (window >> held - 11 & 1023) - 64 & 255
    out.append(byte)
    return used, 4 if _RARE[byte] else max(rare - 1, 0)


def _repeat(out: bytearray, distance: int, length: int) -> None:
    """Adds ``length`` bytes that came out ``distance`` before, which may be so few that they come again and again."""
    start = len(out) - distance
    if start < 0:
        raise BadWhack(f"a copy reaches {-start} bytes before the beginning")
    piece = out[start : start + length]
    out += (piece * (length // len(piece) + 1))[:length]
