"""Whack, the compression of the original venti: decompression only. Source: the golden vectors in ``tests/recorded``.

A stream of bits, the most significant of each byte first, is a sequence of literals and of matches. A match copies
bytes that came out before. Literals are shorter when the four before them were text. The stream ends when fewer than
eight bits are left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

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
_WINDOW = 48
"""Bits that a step may look at: the longest match has 41."""


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


class BadWhack(ValueError):
    """The bits are no whack of a block of that size; the text says how that shows."""


def decompress(data: Buffer, size: int) -> bytes:
    """The ``size`` bytes that ``data`` is the compressed form of.

    Raises:
        BadWhack: it is not; nothing is known about the bytes then.
    """
    data = bytes(data)
    out = bytearray()
    left = 8 * len(data)
    window = held = at = 0
    rare = 15
    while left >= 8:
        if held < _WINDOW:
            window = (window & (1 << held) - 1) << 48 | int.from_bytes(data[at : at + 6].ljust(6, b"\0"), "big")
            at += 6
            held += 48
        if not window >> held - 1 & 1:
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
            rare = rare << 1 & 15 | _RARE[byte]
        else:
            used, extra, length = _LENGTH_OF[window >> held - _CODE & 0x3FFF]
            if not used:
                raise BadWhack(f"a length code after {len(out)} bytes means nothing")
            length += window >> held - used & (1 << extra) - 1
            base, extra = _OFFSETS[window >> held - used - 4 & 15]
            used += 4 + extra
            start = len(out) - 1 - base - (window >> held - used & (1 << extra) - 1)
            if start < 0:
                raise BadWhack(f"a copy reaches {-start} bytes before the beginning")
            span = len(out) - start
            if length <= span:
                out += out[start : start + length]
            else:
                piece = bytes(out[start:])
                out += (piece * (length // span + 1))[:length]
        held -= used
        left -= used
        if len(out) > size:
            raise BadWhack(f"more than {size} bytes come out")
    if left < 0:
        raise BadWhack("the last code is cut")
    if len(out) != size:
        raise BadWhack(f"{len(out)} bytes come out, not {size}")
    return bytes(out)
