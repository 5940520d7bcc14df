"""Sizes as people write them on command lines."""

from __future__ import annotations

import argparse

_FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def size_of(text: str) -> int:
    """Bytes of a number with k, m, g or t behind it or nothing; a ``type`` for arguments."""
    number = text.rstrip("kmgtKMGT")
    unit = text[len(number) :].lower()
    if not number.isdecimal() or unit not in _FACTORS:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write a number of bytes, such as 800k, 20m or 1g")
    return int(number) * _FACTORS[unit]
