"""Clumps: a block with its header, as it is stored in an arena. Pure.

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

from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha1
from struct import Struct
from struct import error as StructError
from typing import NamedTuple
from zlib import crc32

import lz4.block
from blake3 import blake3

from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.compression import LZ4, PLAIN
from venti.protocol.messages import LARGEST_BLOCK

MAGIC = b"9clp"
HEADER = 80

_HEAD = Struct("<4sBBHIIQ20s32s")
_CRC = Struct("<I")
_WHOLE = Struct("<4sBBHIIQ20s32sI")
_TYPES = frozenset(kind.wire for kind in BlockType)


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


def recognise(data: Buffer) -> Clump | None:
    """The header of a whole clump, as it was before it was damaged; None where the block does not prove it.

    One of the two hashes in the header must be that of the block. The type is the one that makes the checksum right; if
    there is none, type and time are taken as they stand.
    """
    view = memoryview(data)
    if len(view) < HEADER:
        return None
    _, type_, _, _, _, size, time, score, digest = _HEAD.unpack_from(view)
    stored = view[HEADER:]
    for encoding, block in _decodings(stored, size):
        found = sha1(block, usedforsecurity=False).digest(), blake3(block).digest()
        if found[0] != score and found[1] != digest:
            continue
        for guess in _TYPES:
            header = pack_header(guess, encoding, len(stored), len(block), time, *found)
            if header[-_CRC.size :] == view[HEADER - _CRC.size : HEADER]:
                return Clump(guess, encoding, len(stored), len(block), time, *found)
        return Clump(type_, encoding, len(stored), len(block), time, *found) if type_ in _TYPES else None
    return None


def _decodings(stored: Buffer, size: int) -> Iterator[tuple[int, bytes]]:
    """What stored bytes may mean, when it is not certain how they were encoded."""
    yield PLAIN, bytes(stored)
    for guess in (size, LARGEST_BLOCK):
        if len(stored) <= guess <= LARGEST_BLOCK:
            with suppress(lz4.block.LZ4BlockError):
                yield LZ4, lz4.block.decompress(stored, uncompressed_size=guess)


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
        magic, type_, encoding, _, stored, size, _, score, digest, checksum = _WHOLE.unpack_from(view)
    except StructError:
        raise BadClump("header is cut") from None
    if magic != MAGIC:
        raise BadClump(f"magic is {magic!r}")
    if crc32(view[: HEADER - 4]) != checksum:
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
