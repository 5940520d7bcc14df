"""What is computed of a block before it is stored, and how it is passed to a worker process and back. Pure.

A job in memory that is shared with a worker, little-endian:

======= ==== ==============================================================
offset  size field
======= ==== ==============================================================
0       4    how many blocks
4       4    number of the job
8       4    what the worker has begun: it comes from the last block
12      4    what the owner has taken back: it comes from the first block
16           for each of ``MOST`` blocks 4 bytes: its size
528          for each of them 64 bytes: what was found
8720         the blocks, one behind the other
======= ==== ==============================================================

What the worker finds of a block:

======= ==== ==============================================================
0       4    number of the job in which it was found
4       4    encoding (see ``compression``)
8       4    bytes of what is to be stored
12      20   SHA-1
32      32   BLAKE3
======= ==== ==============================================================

What is to be stored stands where the block stood, unless it is the block itself.
"""

from __future__ import annotations

from hashlib import sha1
from struct import Struct, pack_into, unpack_from
from typing import TYPE_CHECKING, NamedTuple

from blake3 import blake3

from venti.blocks.compression import PLAIN, compressed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ninep.wire.dialect import Buffer

MOST = 128
"""Blocks of one job."""
ROOM = 320 * 1024
"""Bytes of data in one job: more than a server receives at once."""

_HEAD = Struct("<IIII")
_COUNT = Struct("<I")
_FOUND = Struct("<III20s32s")
_BEGUN = 8
_BACK = 12
_SIZES = _HEAD.size
_RESULTS = _SIZES + 4 * MOST
_DATA = _RESULTS + MOST * _FOUND.size
SIZE = _DATA + ROOM
"""Bytes of memory of a job."""


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
        self.number = 0

    def fill(self, blocks: Sequence[Buffer]) -> int:
        """Takes blocks as long as there is room; how many. Results of the job before are gone."""
        memory, at = self._memory, _DATA
        sizes: list[int] = []
        for data in blocks[:MOST]:
            size = len(data)
            end = at + size
            if end > SIZE:
                break
            memory[at:end] = data
            sizes.append(size)
            at = end
        count = len(sizes)
        self.number = self.number % 0xFFFFFFFF + 1
        pack_into(f"<{count}I", memory, _SIZES, *sizes)
        _HEAD.pack_into(memory, 0, count, self.number, count, 0)
        return count

    def take_back(self, number: int) -> bool:
        """Tells the worker that the owner does this block and those before; whether it had not begun it.

        Both may do the same block, which does no harm; and neither may, which ``results`` tells.
        """
        _COUNT.pack_into(self._memory, _BACK, number + 1)
        return number < int(_COUNT.unpack_from(self._memory, _BEGUN)[0])

    def results(self, blocks: Sequence[Buffer], first: int) -> list[Prepared | None]:
        """What the worker found, after it has done the job, about the ``blocks`` that it was given, from ``first`` on.

        None for a block that it has left to the owner.
        """
        memory, at = self._memory, _DATA + sum(map(len, blocks[:first]))
        rows = memory[_RESULTS + first * _FOUND.size : _RESULTS + len(blocks) * _FOUND.size]
        results: list[Prepared | None] = []
        for data, (job, encoding, size, score, digest) in zip(blocks[first:], _FOUND.iter_unpack(rows), strict=True):
            if job != self.number:
                results.append(None)
            else:
                stored = bytes(memory[at : at + size]) if encoding != PLAIN else data
                results.append(Prepared(score, digest, encoding, stored))
            at += len(data)
        return results

    def work(self) -> None:
        """Does the blocks, the last one first, down to those that the owner does."""
        memory = self._memory
        count, job, _, _ = _HEAD.unpack_from(memory)
        sizes = unpack_from(f"<{count}I", memory, _SIZES)
        end = _DATA + sum(sizes)
        for number in range(count - 1, -1, -1):
            _COUNT.pack_into(memory, _BEGUN, number)
            if _COUNT.unpack_from(memory, _BACK)[0] > number:
                return
            at = end - sizes[number]
            score, digest, encoding, stored = prepare(memory[at:end])
            size = len(stored)
            if encoding != PLAIN:
                memory[at : at + size] = stored
            _FOUND.pack_into(memory, _RESULTS + number * _FOUND.size, job, encoding, size, score, digest)
            end = at
