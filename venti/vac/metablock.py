"""MetaBlocks: leaves of a directory's metadata stream, each a small sorted table of directory entries. Source: vac(7).

The table is sorted by the bytes of names, in one of two orders that differ where one name is the beginning of another;
the magic number tells which. The original programs search it by halves; here nothing depends on the order.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from enum import IntEnum
from typing import Final

from ninep.wire.dialect import Buffer
from venti.blocks.errors import DamagedArchive
from venti.vac.direntry import DirEntry, name_key

_HEAD = struct.Struct(">IHHHH")
_SLOT = struct.Struct(">HH")
_ENTRY_HEAD = struct.Struct(">IHH")

FULL: Final = 80
"""Percent of a block; a directory entry that would fill it further goes to the next block."""

LARGEST: Final = 0xFFFF
"""Bytes; offsets have sixteen bits."""


class Order(IntEnum):
    """How the table is sorted; the number is the block's magic."""

    PREFIX_LAST = 0x5656FC79
    """``abcd`` comes before ``abc``; what vac writes."""

    BYTES = 0x5656FC7A
    """Plain order of bytes; what fossil writes."""

    def key(self, name: bytes) -> bytes:
        """What to sort by. An end mark above all bytes puts a name behind those that it begins."""
        if self == Order.BYTES:
            return name
        key = bytearray(2 * len(name) + 1)
        key[1::2] = name
        key[-1] = 1
        return bytes(key)


def unpack(data: Buffer, size: int) -> list[DirEntry]:
    """The directory entries of a block, in the order of its table.

    Args:
        data: what is stored of the block, which may lack zeros at the end.
        size: bytes of the whole block.

    Raises:
        DamagedArchive: it is no MetaBlock, or an entry lies outside it.
    """
    block = bytes(data)
    return [DirEntry.unpack(_entry(block, offset, length)) for offset, length in _table(block, size)]


def find(data: Buffer, size: int, name: str) -> DirEntry | None:
    """The directory entry with that name, unpacking no other.

    Raises:
        DamagedArchive: as ``unpack``.
    """
    block, wanted = bytes(data), name_key(name)
    if wanted not in block:
        return None
    for offset, length in _table(block, size):
        start = offset + _ENTRY_HEAD.size
        end = start + len(wanted)
        if block[start - 2 : start] == len(wanted).to_bytes(2, "big") and block[start:end] == wanted:
            return DirEntry.unpack(_entry(block, offset, length))
    return None


def _table(block: bytes, size: int) -> list[tuple[int, int]]:
    """Offsets and lengths of the entries, checked against the block."""
    head = block[: _HEAD.size].ljust(_HEAD.size, b"\0")
    magic, used, _, slots, count = _HEAD.unpack(head)
    if magic not in (Order.PREFIX_LAST, Order.BYTES):
        raise DamagedArchive(f"a metadata block begins with {magic:#x}, which is no magic of one")
    first = _HEAD.size + _SLOT.size * slots
    if used > size or count > slots or first > used:
        raise DamagedArchive(f"a metadata block of {size} bytes cannot hold {used} bytes and {slots} slots")
    index = block[_HEAD.size : _HEAD.size + _SLOT.size * count].ljust(_SLOT.size * count, b"\0")
    table = list(_SLOT.iter_unpack(index))
    for offset, length in table:
        if offset < first or offset + length > used or length < _ENTRY_HEAD.size:
            raise DamagedArchive(f"a directory entry lies at {offset} to {offset + length} of a metadata block")
    return table


def _entry(block: bytes, offset: int, length: int) -> bytes:
    return block[offset : offset + length].ljust(length, b"\0")


class MetaBlock:
    """A block that is being filled: entries one after the other, the table sorted."""

    def __init__(self, size: int, order: Order = Order.BYTES) -> None:
        """``size`` is that of the whole block, at most 65535 bytes."""
        self._size = size
        self._order = order
        self._slots = size // 100
        self._first = _HEAD.size + _SLOT.size * self._slots
        self._body = bytearray()
        self._keys: list[bytes] = []
        self._index: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._index)

    def add(self, packed: bytes) -> bool:
        """Puts in a packed directory entry; False if the block is full, and the entry then belongs in a new one.

        Raises:
            ValueError: it fits no block of this size, or one of that name is there.
        """
        used = self._first + len(self._body)
        if self._index:
            if len(self._index) >= self._slots or len(packed) > self._size * FULL // 100 - used:
                return False
        elif used + len(packed) > self._size:
            raise ValueError(
                f"a directory entry of {len(packed)} bytes does not fit a block of {self._size}: the name is too long"
            )
        length = _ENTRY_HEAD.unpack_from(packed)[2]
        key = self._order.key(packed[_ENTRY_HEAD.size : _ENTRY_HEAD.size + length])
        place = bisect_left(self._keys, key)
        if place < len(self._keys) and self._keys[place] == key:
            raise ValueError(f"two entries of one directory are called {packed[_ENTRY_HEAD.size :][:length]!r}")
        self._keys.insert(place, key)
        self._index.insert(place, (used, len(packed)))
        self._body += packed
        return True

    def pack(self) -> bytes:
        """The block, without the zeros at its end."""
        head = _HEAD.pack(self._order, self._first + len(self._body), 0, self._slots, len(self._index))
        table = b"".join(_SLOT.pack(*slot) for slot in self._index)
        return head + table.ljust(_SLOT.size * self._slots, b"\0") + self._body
