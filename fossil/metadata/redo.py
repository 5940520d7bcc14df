"""The format of the redo log: groups of changes that were acknowledged and are not yet in the database. Pure.

Described in ``docs/reference/fossil-store.md``. A group is whole or it is not there: what a killed process was writing
has a wrong checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from zlib import crc32

import msgpack

from fossil.metadata.rows import Rows

HEADER = 64
"""Bytes in front of the first group."""
HALF = 512 * 1024
"""Where the second half begins. Two generations that follow each other are in different halves."""
MAGIC = b"fossil redo 2\n"
NEAR = 1 << 20
"""Generations of one opening at most, as far as can be told: some days of changes without a pause."""
OLDER = b"fossil redo 1\n"
"""Begins that of an older format, whose rows have fewer columns."""

_frame = Struct(">IIQ")
_pack: Callable[[object], bytes] = msgpack.Packer(autoreset=True).pack


def header(boot: str, magic: bytes = MAGIC) -> bytes:
    """What stands in front; ``boot`` tells which start of the machine the groups are good for."""
    return (magic + boot.encode()).ljust(HEADER, b"\0")[:HEADER]


def packed(rows: Rows, next_path: int, generation: int) -> bytes:
    """A group. It is redone on a database of this generation only; new files have paths from ``next_path`` on."""
    body = _pack((next_path, *rows))
    return _frame.pack(len(body), crc32(body, generation & 0xFFFFFFFF), generation) + body


def cut_off(data: bytes, generation: int, boot: str) -> int:
    """How many whole groups of a generation stand behind one that is damaged, which ``groups`` does not come to."""
    if data[:HEADER] != header(boot):
        return 0
    last, count = generation.to_bytes(8, "big"), 0
    for at, end in ((HEADER, min(HALF, len(data))), (HALF, len(data))):
        met = 0
        while (found := data.find(last, at, end)) >= 0:
            start = found - 8
            size, check, _ = _frame.unpack_from(data, max(start, 0))
            body = data[found + 8 : min(found + 8 + size, end)]
            whole = start >= at and len(body) == size and crc32(body, generation & 0xFFFFFFFF) == check
            met += whole and (start != at)
            at = found + 8 + size if whole else found + 1
            count += whole and met > 0
    return count


def ahead(data: bytes, generation: int, boot: str) -> int:
    """By how many generations the groups of a file are ahead of a database; 0 where they are not, or far away.

    Each opening of a directory begins its generations anywhere, so what is far away was left by another one.
    """
    if data[:HEADER] != header(boot):
        return 0
    found = 0
    for start in (HEADER, HALF):
        if len(data) < start + _frame.size:
            break
        size, check, its = _frame.unpack_from(data, start)
        body = data[start + _frame.size : start + _frame.size + size]
        if generation < its < generation + NEAR and crc32(body, its & 0xFFFFFFFF) == check and len(body) == size:
            found = max(found, its - generation)
    return found


def groups(data: bytes, generation: int, boot: str, magic: bytes = MAGIC) -> Iterator[tuple[Rows, int]]:
    """The groups of a generation, as (rows, next path), in their order."""
    if data[:HEADER] != header(boot, magic):
        return
    for at, end in ((HEADER, min(HALF, len(data))), (HALF, len(data))):
        while at + _frame.size <= end:
            size, check, found = _frame.unpack_from(data, at)
            at += _frame.size + size
            body = data[at - size : min(at, end)]
            if found != generation or len(body) < size or crc32(body, generation & 0xFFFFFFFF) != check:
                break
            next_path, *lists = msgpack.unpackb(body, use_list=False)
            yield Rows(*lists), next_path
