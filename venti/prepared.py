"""What has to be computed of a block before it is stored, and how it crosses to a worker and back. Pure.

A job in memory that is shared with a worker, little-endian:

======= ==== ==============================================================
offset  size field
======= ==== ==============================================================
0       4    how many blocks
4       4    what the worker has begun: it comes from the last block
8       4    what the owner has taken back: it comes from the first block
12           for each block 64 bytes, and behind the last of ``MOST`` the data
======= ==== ==============================================================

Of each block, first filled in by the owner, then by the worker:

======= ==== ==============================================================
0       4    where its data is, from the start of the memory
4       4    bytes there: of the block, then of what is to be stored
8       4    encoding (see ``compression``)
12      20   SHA-1
32      32   BLAKE3
======= ==== ==============================================================

What is to be stored stands where the block stood, unless it is the block itself.
"""

from __future__ import annotations

from hashlib import sha1
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from blake3 import blake3

from venti.compression import PLAIN, compressed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ninep.wire.dialect import Buffer

MOST = 128
"""Blocks of one job."""
ROOM = 1024 * 1024
"""Bytes of data in one job."""

_HEAD = Struct("<III")
_COUNT = Struct("<I")
_BLOCK = Struct("<III20s32s")
_PLACE = Struct("<II")
_BEGUN = 4
_BACK = 8
_DATA = _HEAD.size + MOST * _BLOCK.size
SIZE = _DATA + ROOM
"""Bytes that are shared with one worker."""


class Prepared(NamedTuple):
    """Of a block: its SHA-1, its BLAKE3, the encoding that it gets, and its bytes in that."""

    score: bytes
    digest: bytes
    encoding: int
    stored: Buffer


def prepare(data: Buffer) -> Prepared:
    """Computes it here."""
    return Prepared(sha1(data).digest(), blake3(data).digest(), *compressed(data))


class Job:
    """Blocks in shared memory. The owner fills it in and takes the results; the worker does ``work`` between."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._blocks: Sequence[Buffer] = ()

    def fill(self, blocks: Sequence[Buffer]) -> int:
        """Takes blocks as long as there is room; how many."""
        memory, at, count = self._memory, _DATA, 0
        for data in blocks[:MOST]:
            size = len(data)
            if at + size > SIZE:
                break
            _PLACE.pack_into(memory, _HEAD.size + count * _BLOCK.size, at, size)
            memory[at : at + size] = data
            at += size
            count += 1
        self._blocks = blocks[:count]
        _HEAD.pack_into(memory, 0, count, count, 0)
        return count

    def take_back(self, number: int) -> bool:
        """Tells the worker that the owner does this block and those before; whether it had not begun it.

        Both may do the same block, which does no harm.
        """
        _COUNT.pack_into(self._memory, _BACK, number + 1)
        return number < int(_COUNT.unpack_from(self._memory, _BEGUN)[0])

    def result(self, number: int) -> Prepared:
        """What the worker found about a block."""
        at, size, encoding, score, digest = _BLOCK.unpack_from(self._memory, _HEAD.size + number * _BLOCK.size)
        stored = self._blocks[number] if encoding == PLAIN else bytes(self._memory[at : at + size])
        return Prepared(score, digest, encoding, stored)

    def work(self) -> None:
        """Does the blocks, the last one first, down to those that the owner does."""
        memory = self._memory
        for number in range(_HEAD.unpack_from(memory)[0] - 1, -1, -1):
            _COUNT.pack_into(memory, _BEGUN, number)
            if _COUNT.unpack_from(memory, _BACK)[0] > number:
                return
            place = _HEAD.size + number * _BLOCK.size
            at, size = _PLACE.unpack_from(memory, place)
            score, digest, encoding, stored = prepare(memory[at : at + size])
            if encoding != PLAIN:
                size = len(stored)
                memory[at : at + size] = stored
            _BLOCK.pack_into(memory, place, at, size, encoding, score, digest)
