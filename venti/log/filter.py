"""A Bloom filter over the keys of an index, so that most lookups of absent keys need no disk access. Pure.

It is in memory only, made from the index each time and never from a file: so no crash can leave one that hides a block.
Each key sets two bits of one byte; which byte and which bits its ``hash`` says, which no other process knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Final

SMALLEST: Final = 4 << 20
"""Bytes of a filter to begin with."""
LARGEST: Final = 64 << 20
"""Bytes of the largest: enough for 32 million keys; with more of them it lets more through."""
_SHIFT: Final = 40
"""Bits of a hash that do not say which bits of the byte."""

_PAIRS: Final = [(1 << a) | (1 << b) for a, b in combinations(range(8), 2)]
_BITS: Final = bytes(_PAIRS[number % len(_PAIRS)] for number in range(256))


class Filter:
    """Keys are added and never removed."""

    __slots__ = ("_bytes", "_mask")

    def __init__(self, count: int = 0) -> None:
        """With room for ``count`` keys."""
        size = SMALLEST
        while size < LARGEST and size < 2 * count:
            size *= 2
        self._bytes = bytearray(size)
        self._mask = size - 1

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self._bytes)

    def add(self, keys: Iterable[bytes]) -> None:
        """From now on ``may_have`` is true of them."""
        table, mask, bits = self._bytes, self._mask, _BITS
        for key in keys:
            number = hash(key)
            table[number & mask] |= bits[number >> _SHIFT & 255]

    def may_have(self, key: bytes) -> bool:
        """False only of what was never added."""
        number = hash(key)
        bits = _BITS[number >> _SHIFT & 255]
        return self._bytes[number & self._mask] & bits == bits

    def make_room(self, count: int) -> None:
        """Grows, if that is too many for it; it stays true of all that were added."""
        while self.size < LARGEST and self.size < 2 * count:
            # One more bit of each number counts from now on. That of the keys that are here is not known any more.
            self._bytes *= 2
            self._mask = self.size - 1
