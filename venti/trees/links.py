"""Finds the blocks that a block points to, whatever kind of tree it is in. Pure. Source: venti(6)."""

from __future__ import annotations

from typing import NamedTuple

from venti.blocks.blocktype import BlockType
from venti.blocks.score import SIZE as SCORE_SIZE
from venti.blocks.score import ZERO_SCORE, Score
from venti.trees.entry import ACTIVE, FLAGS, Entry
from venti.trees.entry import SIZE as ENTRY_SIZE
from venti.trees.root import NO_ROOT, Root


class Link(NamedTuple):
    """A block, as another one names it."""

    score: Score
    type: BlockType


def links(type: BlockType, block: bytes) -> list[Link]:
    """The blocks that ``block`` names, in its order; holes are left out. Data leads nowhere.

    Raises:
        DamagedArchive: it is no root or directory, whatever its type says.
    """
    if type == BlockType.ROOT:
        root = Root.unpack(block)
        found = [Link(root.score, BlockType.DIR), Link(root.prev, BlockType.ROOT)]
    elif type == BlockType.DIR:
        found = []
        for offset in range(0, len(block), ENTRY_SIZE):
            piece = block[offset : offset + ENTRY_SIZE].ljust(ENTRY_SIZE, b"\0")
            if piece[FLAGS] & ACTIVE:
                entry = Entry.unpack(piece)
                found.append(Link(entry.score, entry.type))
    elif type.depth:
        below = BlockType(type - 1)
        found = [
            Link(Score(block[at : at + SCORE_SIZE]), below) for at in range(0, len(block) - SCORE_SIZE + 1, SCORE_SIZE)
        ]
    else:
        return []
    return [link for link in found if link.score not in (ZERO_SCORE, NO_ROOT)]
