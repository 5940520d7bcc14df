"""The layout of a cache directory: names, sizes, the checksum. Pure.

An *extent* is a range of one file at one version, at most ``EXTENT`` bytes, that does not cross a multiple of
``EXTENT`` in its file. Its checksum covers the bytes and also everything that says what they are, so that a row of the
index that leads to the wrong place, or says the wrong thing of the right place, is found out like a flipped bit.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from blake3 import blake3

from ninep.wire.dialect import Buffer

FORMAT = 2
"""Number of this format; a directory with another is made anew."""
EXTENT = 64 * 1024
"""Most bytes of an extent, and the grid that none crosses."""
PAGE = 4096
"""Places in segments are multiples of this, so that a hole punched for an extent gives back all its blocks."""
SEGMENT = 64 * 1024 * 1024
"""Most bytes of a segment; smaller in small caches."""
LEAST = 1024 * 1024
"""The smallest bound that a cache can have, bytes."""
QUEUE = 32 * 1024 * 1024
"""Most bytes that wait in memory to be written; what comes beyond is not cached."""
BATCH = 4 * 1024 * 1024
"""Bytes of one batch, about."""
GROWTH = 32
"""This fraction of the bound is kept free for what a batch adds to the index, which is measured only afterwards."""
AGES = 16
"""How finely last use is known: a use counts as new after this fraction of the bound has been stored since."""

PINNED = 1 << 62
"""The age of what is not to give way; no other comes near."""

LOCK = "lock"
INDEX = "index"
NOTES = "notes"
SUFFIX = ".data"

_WHAT = Struct("<QIIQH")
_START = Struct("<Q")


class Version(NamedTuple):
    """What must be the same for bytes of a file to be still its bytes.

    The number alone would do if every server raised it with every change. Some leave it when a wstat cuts the file, or
    give old numbers out again after a restore; time and length catch these.

    Attributes:
        number: qid version.
        mtime: seconds since 1970.
        length: bytes.
    """

    number: int
    mtime: int
    length: int


def identity(tree: str, path: int, version: Version) -> bytes:
    """Says of which bytes a checksum speaks: the attach name, the qid path and the version."""
    name = tree.encode()
    return _WHAT.pack(path, version.number, version.mtime, version.length, len(name)) + name


def checksum(nonce: bytes, what: bytes, start: int, data: Buffer) -> bytes:
    """16 bytes of BLAKE3 over ``identity``, position and bytes.

    ``nonce``, 32 bytes drawn when the cache was made, is the key: nothing left over from an earlier cache passes.
    """
    hasher = blake3(what, key=nonce)
    hasher.update(_START.pack(start))
    hasher.update(data)
    return hasher.digest(16)


def pages(length: int) -> int:
    """The bytes that an extent takes on disk."""
    return -(-length // PAGE) * PAGE


def segment_size(bound: int) -> int:
    """The size of segments in a cache of ``bound`` bytes: what is in the last, half-filled one must not matter."""
    return max(EXTENT, min(SEGMENT, bound // 8 // PAGE * PAGE))


def segment_name(number: int) -> str:
    """The file name of a segment."""
    return f"{number:08d}{SUFFIX}"


def segment_number(name: str) -> int | None:
    """The number of the segment with this file name, or None if it is no segment's."""
    stem = name.removesuffix(SUFFIX)
    return int(stem) if name.endswith(SUFFIX) and stem.isascii() and stem.isdigit() else None


def blocks(start: int, end: int) -> list[tuple[int, int]]:
    """The range cut at the grid."""
    found = []
    while start < end:
        stop = min(end, (start // EXTENT + 1) * EXTENT)
        found.append((start, stop))
        start = stop
    return found
