"""The arithmetic of hash trees: depth, fan-out, and where an entry stands in a directory. Source: venti(6)."""

from __future__ import annotations

from typing import Final

from venti.blocks import score
from venti.blocks.blocksize import LARGEST
from venti.trees import entry

MAX_DEPTH: Final = 7
"""Levels of pointer blocks that an entry can count."""

MAX_LEAVES: Final = (1 << 31) - 1
"""Leaves of one tree; the originals count them in 31 bits."""


def arity(psize: int) -> int:
    """Scores in a pointer block; what is left over is slop."""
    return psize // score.SIZE


def leaves(size: int, dsize: int) -> int:
    """Leaves of a tree of ``size`` bytes."""
    return -(-size // dsize)


def depth(size: int, psize: int, dsize: int) -> int:
    """Levels of pointer blocks that ``size`` bytes need, which may be more than ``MAX_DEPTH``."""
    wanted, fan, levels = leaves(size, dsize), arity(psize), 0
    reach = 1
    while reach < wanted:
        reach *= fan
        levels += 1
    return levels


def pointer_size(dsize: int) -> int:
    """The size of pointer blocks that goes with leaves of ``dsize`` bytes: whole scores that fit one block."""
    return min(dsize, LARGEST) // score.SIZE * score.SIZE


def entries_per_leaf(dsize: int) -> int:
    """Entries in a leaf of a directory; none crosses its end."""
    return dsize // entry.SIZE


def entries(size: int, dsize: int) -> int:
    """Entries in a directory of ``size`` bytes."""
    return entries_per_leaf(dsize) * (size // dsize) + size % dsize // entry.SIZE


def directory_size(count: int, dsize: int) -> int:
    """Bytes of a directory of ``count`` entries."""
    whole, rest = divmod(count, entries_per_leaf(dsize))
    return dsize * whole + entry.SIZE * rest


def entry_place(index: int, dsize: int) -> tuple[int, int]:
    """The leaf that holds an entry, and the entry's offset in it."""
    leaf, slot = divmod(index, entries_per_leaf(dsize))
    return leaf, slot * entry.SIZE
