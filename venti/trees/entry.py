"""Entries: forty bytes that describe one hash tree. Source: VtEntry in venti(3), venti(6)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from ninep.wire.dialect import Buffer
from venti.blocks.blocksize import SMALLEST, from_big, to_big
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import DamagedArchive
from venti.blocks.score import ZERO_SCORE, Score

SIZE: Final = 40
"""Bytes of an entry."""

ACTIVE: Final = 0x01
"""Flag: the slot is in use."""

LOCAL: Final = 0x20
"""Flag of caches; archives made by the original vac carry it by accident. Means nothing here."""

NO_ARCHIVE: Final = 0x80
"""Flag: the tree was left out of the archive on purpose."""

NEVER_REUSE: Final = 0xFFFFFFFF
"""The generation of a slot that must not be used again."""

MAX_SIZE: Final = (1 << 48) - 1
"""Bytes; the largest tree an entry can describe."""

FLAGS: Final = 8
"""Where the byte of flags is in an entry."""

_DIRECTORY = 0x02
_DEPTH = 0x1C
_BIG = 0x40
_KEPT = ACTIVE | LOCAL | NO_ARCHIVE

_ENTRY = struct.Struct(">IHHB5xHI20s")


class Entry(NamedTuple):
    """One hash tree: where it begins and how it is cut.

    Attributes:
        type: the type of the top block: data or directory, plus the depth.
        size: bytes of the tree; leaves past them do not count.
        score: the top block; the zero score if there is nothing but zeros.
        psize: bytes of pointer blocks; only whole scores of them are used.
        dsize: bytes of leaves.
        flags: ``ACTIVE``, ``LOCAL``, ``NO_ARCHIVE``.
        generation: tells one use of a slot from the next.
    """

    type: BlockType
    size: int
    score: Score
    psize: int
    dsize: int
    flags: int = ACTIVE
    generation: int = 0

    @property
    def active(self) -> bool:
        """Whether the slot is in use; if not, no other field means anything."""
        return bool(self.flags & ACTIVE)

    @property
    def directory(self) -> bool:
        """Whether the leaves hold entries."""
        return self.type >= BlockType.DIR

    @property
    def depth(self) -> int:
        """Levels of pointer blocks above the leaves."""
        return self.type & 7

    def pack(self) -> bytes:
        """The forty bytes.

        Raises:
            ValueError: a block size cannot be written.
        """
        psize, dsize = self.psize, self.dsize
        flags = self.flags & _KEPT | (self.type & 7) << 2
        if self.type >= BlockType.DIR:
            flags |= _DIRECTORY
        if psize > 0xFFFF or dsize > 0xFFFF:
            flags |= _BIG
            psize, dsize = to_big(psize), to_big(dsize)
        size = self.size
        return _ENTRY.pack(self.generation, psize, dsize, flags, size >> 32, size & 0xFFFFFFFF, self.score)

    @classmethod
    def unpack(cls, data: Buffer, offset: int = 0) -> Entry:
        """The entry at ``offset`` of an array of them.

        An inactive one is returned unchecked. Both block sizes zero and the zero score, as old programs and every
        fossil write them, come back as 4096.

        Raises:
            DamagedArchive: fewer than forty bytes, or a block size that cannot be.
        """
        if len(data) < offset + SIZE:
            raise DamagedArchive(f"an entry has {SIZE} bytes, not {max(0, len(data) - offset)}")
        generation, psize, dsize, flags, high, low, digest = _ENTRY.unpack_from(data, offset)
        score = Score(digest)
        if flags & _BIG:
            psize, dsize = from_big(psize), from_big(dsize)
        if flags & ACTIVE:
            if not psize and not dsize and score == ZERO_SCORE:
                psize = dsize = 4096
            if psize < SMALLEST or dsize < SMALLEST:
                raise DamagedArchive(f"bad block size {psize if psize < SMALLEST else dsize} in an entry")
        type = BlockType((flags & _DEPTH) >> 2 | (8 if flags & _DIRECTORY else 0))
        return cls(type, high << 32 | low, score, psize, dsize, flags & _KEPT, generation)
