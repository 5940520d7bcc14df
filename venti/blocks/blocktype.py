"""Block types: what programs call them, and the older numbers that the wire and the disk use. Source: venti(6)."""

from __future__ import annotations

from enum import IntEnum

from venti.blocks.errors import BadBlockType


class BlockType(IntEnum):
    """The number is the one that programs use and manual pages print (there in octal).

    A pointer block of depth *n* is the type of its leaves plus *n*.
    """

    DATA = 0
    DATA_1 = 1
    DATA_2 = 2
    DATA_3 = 3
    DATA_4 = 4
    DATA_5 = 5
    DATA_6 = 6
    DATA_7 = 7
    DIR = 8
    DIR_1 = 9
    DIR_2 = 10
    DIR_3 = 11
    DIR_4 = 12
    DIR_5 = 13
    DIR_6 = 14
    DIR_7 = 15
    ROOT = 16

    @property
    def depth(self) -> int:
        """0 for data, directory and root blocks, 1 to 7 for blocks of pointers."""
        return 0 if self == BlockType.ROOT else self & 7

    @property
    def leaf(self) -> BlockType:
        """The type of the blocks at the bottom of this one's tree."""
        return BlockType.ROOT if self == BlockType.ROOT else BlockType(self & 8)

    @property
    def wire(self) -> int:
        """The number on the wire and in arenas: pointers to data and to directories share one."""
        return _TO_WIRE[self]

    @classmethod
    def from_wire(cls, number: int) -> BlockType:
        """The type that a wire number stands for; pointer blocks come back as those of directories.

        Raises:
            BadBlockType: the number means nothing.
        """
        kind = _FROM_WIRE.get(number)
        if kind is None:
            raise BadBlockType(number)
        return kind


_TO_WIRE: list[int] = [13, *range(3, 10), 2, *range(3, 10), 1]
_FROM_WIRE = {1: BlockType.ROOT, 2: BlockType.DIR, 13: BlockType.DATA} | {2 + n: BlockType(8 + n) for n in range(1, 8)}
