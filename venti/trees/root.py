"""The root block: 300 bytes that name a tree and the root before it. Source: VtRoot in venti(3), venti(6)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from ninep.wire.dialect import Buffer
from venti.blocks.blocksize import SMALLEST, from_big, to_big
from venti.blocks.errors import DamagedArchive
from venti.blocks.score import ZERO_SCORE, Score

SIZE: Final = 300
"""Bytes of a root block, always stored whole."""

NO_ROOT: Final = Score(bytes(20))
"""What vac writes as ``prev`` where there is no earlier root; fossil writes the zero score."""

_VERSION = 2
_BIG = 0x8000
_ROOT = struct.Struct(">H128s128s20sH20s")


class Root(NamedTuple):
    """Where a tree begins.

    Attributes:
        name: what it was called, may be empty.
        kind: ``vac``, ``file``, or a disk image's ``ffs``, ``ext2``; tells what ``score`` leads to.
        score: a directory block.
        blocksize: bytes of that block before truncation.
        prev: the root block before this one, as it stands in the block; see ``previous``.
    """

    name: str
    kind: str
    score: Score
    blocksize: int
    prev: Score = NO_ROOT

    @property
    def previous(self) -> Score | None:
        """The root block before this one, if there is one."""
        return None if self.prev in (NO_ROOT, ZERO_SCORE) else self.prev

    def pack(self) -> bytes:
        """The block.

        Raises:
            ValueError: a name is longer than 127 bytes, or the block size cannot be written.
        """
        version, size = _VERSION, self.blocksize
        if size > 0xFFFF:
            version, size = _VERSION | _BIG, to_big(size)
        return _ROOT.pack(version, _text(self.name), _text(self.kind), self.score, size, self.prev)

    @classmethod
    def unpack(cls, data: Buffer) -> Root:
        """The root that a block holds.

        Raises:
            DamagedArchive: it holds none.
        """
        if len(data) != SIZE:
            raise DamagedArchive(f"a root block has {SIZE} bytes, not {len(data)}")
        version, name, kind, score, blocksize, prev = _ROOT.unpack(data)
        if version & ~_BIG != _VERSION:
            raise DamagedArchive(f"root version {version & ~_BIG} is unknown; only {_VERSION} is")
        if version & _BIG:
            blocksize = from_big(blocksize)
        if blocksize < SMALLEST:
            raise DamagedArchive(f"bad block size {blocksize} in the root")
        return cls(_untext(name), _untext(kind), Score(score), blocksize, Score(prev))


def _text(name: str) -> bytes:
    packed = name.encode("utf-8", "surrogateescape")
    if len(packed) > 127 or b"\0" in packed:
        raise ValueError(f"the name of a root has at most 127 bytes and no NUL: {name!r}")
    return packed


def _untext(field: bytes) -> str:
    return field[:127].split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
