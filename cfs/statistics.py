"""What the cache counts."""

from __future__ import annotations

from typing import NamedTuple


class Statistics(NamedTuple):
    """What the store holds and has seen.

    Attributes:
        size: the bound, bytes.
        used: bytes held on disk, index included.
        stored: bytes entered since the start.
        evicted: extents that gave way to others.
        damaged: extents that failed their checksum.
        refused: bytes not cached, because the disk was full or too slow.
    """

    size: int
    used: int
    stored: int
    evicted: int
    damaged: int
    refused: int
