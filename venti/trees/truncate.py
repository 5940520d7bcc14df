"""Zero truncation: blocks are stored without what a reader can put back. Source: venti(6), venti-zero(3)."""

from __future__ import annotations

from ninep.wire.dialect import Buffer
from venti.blocks import score
from venti.blocks.blocktype import BlockType
from venti.blocks.score import ZERO_SCORE
from venti.trees.root import SIZE as ROOT_SIZE


def truncate(type: BlockType, data: Buffer) -> Buffer:
    """What is stored of a block: the same object where nothing is cut.

    Data and directory blocks lose trailing zero bytes, pointer blocks lose trailing zero scores, roots only what is
    over 300 bytes.
    """
    if type == BlockType.ROOT:
        return data if len(data) <= ROOT_SIZE else data[:ROOT_SIZE]
    if type & 7:
        return _truncate_pointers(data)
    if not len(data) or data[-1]:
        return data
    return bytes(data).rstrip(b"\0")


def _truncate_pointers(data: Buffer) -> Buffer:
    end = len(data) - len(data) % score.SIZE
    while end and data[end - score.SIZE : end] == ZERO_SCORE:
        end -= score.SIZE
    return data if end == len(data) else data[:end]


def extend(type: BlockType, data: Buffer, size: int) -> bytes:
    """The block of ``size`` bytes that ``data`` was cut from; longer data is cut to ``size``."""
    kept = bytes(data[:size])
    if not type & 7:
        return kept.ljust(size, b"\0")
    kept = kept[: len(kept) - len(kept) % score.SIZE]
    missing = (size - len(kept)) // score.SIZE
    return (kept + ZERO_SCORE * missing).ljust(size, b"\0")
