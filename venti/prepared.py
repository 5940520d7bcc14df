"""What has to be computed of a block before it is stored, and how it crosses to a worker and back. Pure.

A job in memory that is shared with a worker, little-endian:

======= ==== ==============================================================
offset  size field
======= ==== ==============================================================
0       4    how many blocks
4       4    number of the job
8       4    what the worker has begun: it comes from the last block
12      4    what the owner has taken back: it comes from the first block
16           for each block 68 bytes, and behind the last of ``MOST`` the data
======= ==== ==============================================================

Of each block, the first two fields filled in by the owner, then all by the worker:

======= ==== ==============================================================
0       4    where its data is, from the start of the memory
4       4    bytes there: of the block, then of what is to be stored
8       4    number of the job in which the rest was found
12      4    encoding (see ``compression``)
16      20   SHA-1
36      32   BLAKE3
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

_HEAD = Struct("<IIII")
_COUNT = Struct("<I")
_BLOCK = Struct("<IIII20s32s")
_PLACE = Struct("<II")
_BEGUN = 8
_BACK = 12
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
        self._number = 0

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
        self._number = self._number % 0xFFFFFFFF + 1
        _HEAD.pack_into(memory, 0, count, self._number, count, 0)
        return count

    def take_back(self, number: int) -> bool:
        """Tells the worker that the owner does this block and those before; whether it had not begun it.

        Both may do the same block, which does no harm; and neither may, which ``result`` tells.
        """
        _COUNT.pack_into(self._memory, _BACK, number + 1)
        return number < int(_COUNT.unpack_from(self._memory, _BEGUN)[0])

    def result(self, number: int) -> Prepared | None:
        """What the worker found about a block, after it has done the job. None: it has left it to the owner."""
        row = _HEAD.size + number * _BLOCK.size
        at, size, job, encoding, score, digest = _BLOCK.unpack_from(self._memory, row)
        if job != self._number:
            return None
        stored = self._blocks[number] if encoding == PLAIN else bytes(self._memory[at : at + size])
        return Prepared(score, digest, encoding, stored)

    def work(self) -> None:
        """Does the blocks, the last one first, down to those that the owner does."""
        memory = self._memory
        count, job, _, _ = _HEAD.unpack_from(memory)
        for number in range(count - 1, -1, -1):
            _COUNT.pack_into(memory, _BEGUN, number)
            if _COUNT.unpack_from(memory, _BACK)[0] > number:
                return
            row = _HEAD.size + number * _BLOCK.size
            at, size = _PLACE.unpack_from(memory, row)
            score, digest, encoding, stored = prepare(memory[at : at + size])
            if encoding != PLAIN:
                size = len(stored)
                memory[at : at + size] = stored
            _BLOCK.pack_into(memory, row, at, size, job, encoding, score, digest)
