"""Gives each snapshot a range of qid paths, so that no two files of the served tree have the same. Pure.

A file keeps its number in every snapshot that shows it. What clients are told is that number moved up by an *offset*
that belongs to the snapshot alone, as the qid spaces of vac(7) move whole subtrees; archives have the same offsets.
The number of an epoch and that of a file share 57 bits, and 5 bits before them say how many are the epoch's::

    bit 62      1: a file of a snapshot
    57 to 61    N: how many bits the epoch has below its highest
    57-N to 56  those bits
    below       the number of the file

So epoch 1,000,000 has room for 2**38 files and epoch 1 for 2**57. Nothing is stored for it, and no table is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from blake3 import blake3

TOP = 1
"""The path of the root above the three trees."""
TREES = {"active": 2, "archive": 3, "snapshot": 4}
SHELVES = 1 << 61
"""The paths of directories that are nowhere stored begin here; those of files end before."""
_SNAPSHOTS = 1 << 62
_REST = 1 << 63
_BITS = 57
_MOST_BITS = 31


def shelf_path(names: Sequence[str]) -> int:
    """The qid path of the directory above the snapshots that these names lead to from the root."""
    if not names:
        return TOP
    return TREES[names[0]] if len(names) == 1 else SHELVES | _hash("/".join(names)) & SHELVES - 1


def offset_of(epoch: int) -> int:
    """What is added to the number of each file in the snapshot of an epoch."""
    bits = epoch.bit_length() - 1
    if not 0 <= bits <= _MOST_BITS:
        return _REST
    return _SNAPSHOTS | bits << _BITS | (epoch ^ 1 << bits) << _BITS - bits


def past_path(epoch: int, path: int) -> int:
    """The qid path of the file with the number ``path`` in the snapshot of an epoch.

    Where a number is too large for the space of its epoch, which takes a forged archive, it is a hash of both.
    """
    bits = epoch.bit_length() - 1
    if 0 <= bits <= _MOST_BITS and path >> _BITS - bits == 0:
        return offset_of(epoch) + path
    return _REST | _hash(f"{epoch}/{path}") & _REST - 1


def _hash(text: str) -> int:
    return int.from_bytes(blake3(text.encode("utf-8", "surrogateescape")).digest(8), "little")
