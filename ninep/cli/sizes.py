"""Sizes as people write them on command lines and in files of settings. Pure but for argparse's error."""

from __future__ import annotations

import argparse
import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_MOST = (1 << 63) - 1


def parse_size(text: str) -> int:
    """Bytes of a number with K, M, G, T or P behind it, each 1024 of the one before, or nothing.

    Raises:
        ValueError: the text says what would be right.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a size: write a number of bytes, or one such as 800K, 500M or 10G")
    number, unit = found[1], _FACTORS[found[2].lower()]
    size = int(float(number) * unit) if "." in number else int(number) * unit
    if size > _MOST:
        raise ValueError(f"{text!r} is more than a file can have: write a smaller size")
    return size


def size_of(text: str) -> int:
    """The same as a ``type`` of an argument."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def size_above_zero(text: str) -> int:
    """The same for what cannot be 0."""
    size = size_of(text)
    if not size:
        raise argparse.ArgumentTypeError(f"{text!r} is nothing: write a size above 0, such as 500M or 10G")
    return size
