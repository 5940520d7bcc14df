"""Compresses a block if that makes it smaller, and decompresses it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lz4.block

if TYPE_CHECKING:
    from ninep.wire.dialect import Buffer

PLAIN = 0
LZ4 = 1
LEAST_GAIN = 0.9
"""A block is stored compressed if that makes it smaller than this part of itself."""
SMALLEST = 128
"""Bytes below which compression is not tried."""


def compressed(data: Buffer) -> tuple[int, Buffer]:
    """The encoding that a block gets, and its bytes in that."""
    size = len(data)
    if size >= SMALLEST:
        small = lz4.block.compress(data, mode="fast", acceleration=2, store_size=False)
        if len(small) < size * LEAST_GAIN:
            return LZ4, small
    return PLAIN, data
