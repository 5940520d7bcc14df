"""Arena partitions of the original venti: headers, tails, clumps and their directory. Source: venti(6).

All numbers are big-endian. A partition has a header at byte 262144, a table of its arenas in text, and the arenas; an
arena has a head, clumps that grow up, their directory that grows down, and a tail.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from ninep.wire.dialect import Buffer
from venti.blocks.errors import DamagedStore

HEADER_AT: Final = 256 * 1024
HEADER_SIZE: Final = 512
CLUMP_HEADER: Final = 38
CORRUPT: Final = 255
"""The type of a clump that a tool has marked as lost."""
PLAIN: Final = 1
WHACK: Final = 2
HEAD_MAGIC: Final = 0xD15C4EAD
SEAL_SIZE: Final = 20

_PARTITION = Struct(">IIII")
_PARTITION_MAGIC = 0xA9E4A5E7
_HEAD = Struct(">II64sIQ")
_TAIL_MAGIC = 0xF2A14EAD
_V4_CLUMP_MAGIC = 0xD15CB10C
_STATISTICS = Struct(">IIII")
_USED = Struct(">QQBB")
_MEMORY = Struct(">IIQQB")
_CLUMP = Struct(">IBHH20sBII")
_ENTRY = Struct(">BHH20s")
_U32 = Struct(">I")
_FARTHEST = 1 << 62


class PartitionHeader(NamedTuple):
    """Where the arenas of a partition begin, and in which blocks everything is."""

    block_size: int
    base: int

    @property
    def table(self) -> int:
        """Where the table of arenas is."""
        return -(-(HEADER_AT + HEADER_SIZE) // self.block_size) * self.block_size


class Extent(NamedTuple):
    """An arena of the table: from byte ``start`` to before byte ``stop`` of the partition."""

    name: str
    start: int
    stop: int


class Head(NamedTuple):
    """The first block of an arena."""

    version: int
    name: str
    block_size: int
    size: int
    magic: int


class Tail(NamedTuple):
    """The last block of an arena. Counts are the larger of the two sets that it holds."""

    version: int
    name: str
    magic: int
    clumps: int
    used: int
    sealed: bool
    seal: bytes


class ClumpHeader(NamedTuple):
    """What stands before a block; ``size`` is of the block, ``stored`` of its bytes on disk."""

    magic: int
    type: int
    stored: int
    size: int
    score: bytes
    encoding: int


class DirectoryEntry(NamedTuple):
    """What the directory of an arena says of one clump."""

    type: int
    stored: int
    size: int
    score: bytes


def unpack_partition(data: Buffer) -> PartitionHeader:
    """The header at ``HEADER_AT``. Raises ``DamagedStore``."""
    if len(data) < _PARTITION.size:
        raise DamagedStore("the file is too short for a partition of arenas")
    magic, version, block_size, base = _PARTITION.unpack_from(data)
    if magic != _PARTITION_MAGIC:
        raise DamagedStore(f"no partition of arenas begins with {magic:#x}")
    if version != 3:
        raise DamagedStore(f"partition version {version} is unknown; only 3 is")
    header = PartitionHeader(block_size, base)
    if not _is_block_size(block_size) or base <= header.table:
        raise DamagedStore(f"a partition with blocks of {block_size} bytes and arenas from {base} on cannot be")
    return header


def _is_block_size(size: int) -> bool:
    return 512 <= size <= 65536 and not size & size - 1


def unpack_table(data: Buffer) -> list[Extent]:
    """The table of arenas. Raises ``DamagedStore``."""
    lines = bytes(data).split(b"\0", 1)[0].split(b"\n")
    extents: list[Extent] = []
    try:
        for line in lines[1 : 1 + int(lines[0])]:
            name, start, stop = line.split(b"\t")
            extents.append(Extent(_text(name), int(start), int(stop)))
    except ValueError as error:
        raise DamagedStore(f"the table of arenas cannot be read: {error}") from error
    if len(extents) != int(lines[0]):
        raise DamagedStore(f"the table of arenas ends after {len(extents)} of {int(lines[0])}")
    last = HEADER_AT
    for extent in extents:
        if not last <= extent.start < extent.stop < _FARTHEST:
            raise DamagedStore(f"arena {extent.name} lies at {extent.start} to {extent.stop}, which cannot be")
        last = extent.stop
    return extents


def unpack_head(data: Buffer) -> Head:
    """The head of an arena. Raises ``DamagedStore``."""
    if len(data) < _HEAD.size + 4:
        raise DamagedStore("the head is cut")
    magic, version, name, block_size, size = _HEAD.unpack_from(data)
    if magic != HEAD_MAGIC:
        raise DamagedStore(f"the head begins with {magic:#x}, not {HEAD_MAGIC:#x}")
    if version not in (4, 5):
        raise DamagedStore(f"version {version} is unknown; 4 and 5 are")
    if not _is_block_size(block_size) or not 3 * block_size <= size < _FARTHEST:
        raise DamagedStore(f"an arena of {size} bytes in blocks of {block_size} cannot be")
    clump = _V4_CLUMP_MAGIC if version == 4 else _U32.unpack_from(data, _HEAD.size)[0]
    return Head(version, _text(name), block_size, size, clump)


def unpack_tail(block: Buffer) -> Tail:
    """The tail of an arena, a whole block. Raises ``DamagedStore``."""
    if len(block) < HEADER_SIZE:
        raise DamagedStore("the tail is cut")
    magic, version = Struct(">II").unpack_from(block)
    if magic != _TAIL_MAGIC:
        raise DamagedStore(f"the tail begins with {magic:#x}, not {_TAIL_MAGIC:#x}")
    if version not in (4, 5):
        raise DamagedStore(f"version {version} is unknown; 4 and 5 are")
    clumps = _U32.unpack_from(block, 72)[0]
    at = 88
    clump_magic = _V4_CLUMP_MAGIC
    if version == 5:
        clump_magic = _U32.unpack_from(block, at)[0]
        at += 4
    used, _, sealed, extended = _USED.unpack_from(block, at)
    if extended == 1:
        # Behind what is in the index comes what has been written. Mirrors leave zeros there: the larger one holds.
        more, _, more_used, _, _ = _MEMORY.unpack_from(block, at + _USED.size)
        if more_used > used:
            clumps, used = more, more_used
    name = _text(bytes(block[8:72]))
    return Tail(version, name, clump_magic, clumps, used, bool(sealed), bytes(block[-SEAL_SIZE:]))


def unpack_clump(data: Buffer) -> ClumpHeader | None:
    """A clump's header, unchecked; None when there are too few bytes."""
    if len(data) < CLUMP_HEADER:
        return None
    magic, type, stored, size, score, encoding, _, _ = _CLUMP.unpack_from(data)
    return ClumpHeader(magic, type, stored, size, score, encoding)


def directory_blocks(clumps: int, block_size: int) -> int:
    """Blocks that the directory of so many clumps takes."""
    return -(-clumps // (block_size // _ENTRY.size))


def directory_place(number: int, block_size: int) -> tuple[int, int]:
    """Blocks from the tail down to the one with a clump's entry, and the entry's offset in it."""
    block, slot = divmod(number, block_size // _ENTRY.size)
    return block + 1, slot * _ENTRY.size


def unpack_entry(block: Buffer, offset: int) -> DirectoryEntry | None:
    """The entry at ``offset`` of a block of the directory, unchecked; None when there are too few bytes."""
    if len(block) < offset + _ENTRY.size:
        return None
    return DirectoryEntry._make(_ENTRY.unpack_from(block, offset))


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
