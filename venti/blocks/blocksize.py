"""Block sizes in sixteen bits: plain below 65536, else a mantissa and a shift, the "big" form. Source: venti(3)."""

from __future__ import annotations

from typing import Final

SMALLEST: Final = 256
"""Bytes; entries and roots with smaller blocks are damaged."""

LARGEST: Final = 57344
"""Bytes; no server stores larger blocks."""


def to_big(size: int) -> int:
    """The big form of a size: eleven bits of mantissa over five bits of shift.

    Raises:
        ValueError: the size has more than eleven significant bits.
    """
    shift = 0
    mantissa = size
    while mantissa >= 2048:
        if mantissa & 1:
            raise ValueError(f"a block size of {size} has too many significant bits; take a power of two")
        mantissa >>= 1
        shift += 1
    return mantissa << 5 | shift


def from_big(field: int) -> int:
    """The size that a field in the big form stands for."""
    return (field >> 5) << (field & 31)
