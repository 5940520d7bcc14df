"""Clumps: blocks as they stand in an arena. Pure.

====== ==== ==========================================================
offset size field, little-endian
====== ==== ==========================================================
0      4    magic ``9clp``
4      1    type, as on the wire
5      1    encoding: 0 as it is, 1 lz4 block
6      2    zero
8      4    bytes stored after this header
12     4    bytes of the block
16     8    time of writing, seconds since 1970
24     20   score: SHA-1 of the block
44     32   BLAKE3 of the block
76     4    CRC-32 of the 76 bytes before
80          the stored bytes
====== ==== ==========================================================

BLAKE3 is of the block and not of the stored bytes: it then also tells two blocks with one forged SHA-1 apart, and
holds from end to end.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import NamedTuple
from zlib import crc32

import lz4.block
from blake3 import blake3

from ninep.wire.dialect import Buffer
from venti.compression import LZ4, PLAIN
from venti.messages import LARGEST_BLOCK

MAGIC = b"9clp"
HEADER = 80

_HEAD = Struct("<4sBBHIIQ20s32s")
_CRC = Struct("<I")


class BadClump(Exception):
    """The bytes are no clump, or not the one that was written; the text says how that shows."""


class Clump(NamedTuple):
    """A clump's header."""

    type: int
    encoding: int
    stored: int
    size: int
    time: int
    score: bytes
    digest: bytes

    @property
    def end(self) -> int:
        """Bytes from the start of this clump to the start of the next."""
        return HEADER + self.stored


def pack_header(type: int, encoding: int, stored: int, size: int, time: int, score: bytes, digest: bytes) -> bytes:
    """The header of a block; its fields as in ``Clump``."""
    head = _HEAD.pack(MAGIC, type, encoding, 0, stored, size, time, score, digest)
    return head + _CRC.pack(crc32(head))


def unpack_header(data: Buffer, at: int = 0) -> Clump:
    """The header at ``at``. Raises ``BadClump``."""
    if len(data) - at < HEADER:
        raise BadClump("header is cut")
    magic, type_, encoding, _, stored, size, time, score, digest = _HEAD.unpack_from(data, at)
    if magic != MAGIC:
        raise BadClump(f"magic is {magic!r}")
    if crc32(memoryview(data)[at : at + HEADER - 4]) != _CRC.unpack_from(data, at + HEADER - 4)[0]:
        raise BadClump("header has a wrong checksum")
    if size > LARGEST_BLOCK or stored > size:
        raise BadClump(f"sizes {stored} and {size} are impossible")
    return Clump(type_, encoding, stored, size, time, score, digest)


def unpack(clump: Clump, stored: Buffer) -> bytes:
    """The block itself, checked. Raises ``BadClump``."""
    if len(stored) != clump.stored:
        raise BadClump("clump is cut")
    return _decoded(clump.encoding, clump.size, clump.digest, stored)


def unpack_whole(data: Buffer, key: bytes) -> bytes:
    """The block of a whole clump, which must be the one of ``key``: score and type. Raises ``BadClump``.

    The same as ``unpack_header`` and ``unpack``, without what is not needed: every read comes through here.
    """
    view = memoryview(data)
    try:
        magic, type_, encoding, _, stored, size, _, score, digest = _HEAD.unpack_from(view)
    except StructError:
        raise BadClump("header is cut") from None
    if magic != MAGIC:
        raise BadClump(f"magic is {magic!r}")
    if crc32(view[: HEADER - 4]) != _CRC.unpack_from(view, HEADER - 4)[0]:
        raise BadClump("header has a wrong checksum")
    if score != key[:20] or type_ != key[20]:
        raise BadClump("another block is there")
    if len(view) != HEADER + stored or size > LARGEST_BLOCK:
        raise BadClump("clump is cut")
    return _decoded(encoding, size, digest, view[HEADER:])


def _decoded(encoding: int, size: int, digest: bytes, stored: Buffer) -> bytes:
    if encoding == PLAIN:
        data = bytes(stored)
    elif encoding == LZ4:
        try:
            data = lz4.block.decompress(stored, uncompressed_size=size)
        except lz4.block.LZ4BlockError as error:
            raise BadClump(f"decompression failed: {error}") from error
    else:
        raise BadClump(f"encoding {encoding} is unknown")
    if len(data) != size or blake3(data).digest() != digest:
        raise BadClump("BLAKE3 differs")
    return data
