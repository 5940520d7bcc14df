r"""Arenas: append-only files of clumps.

====== ==== ==========================================
offset size field, little-endian
====== ==== ==========================================
0      16   ``ninegrid arena\n`` and a zero byte
16     4    format, 1
20     4    number of the arena
24     8    time of creation, seconds since 1970
32     32   zero
64          clumps, one after the other
====== ==== ==========================================

A full arena is sealed: after the last clump comes a footer in msgpack and then ``footer size[8] "9sealed\n"``. A
sealed arena never changes again; it can be copied or kept elsewhere as one object.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import msgpack
from blake3 import blake3

from venti.disk.clump import HEADER, MAGIC, BadClump, Clump, unpack, unpack_header
from venti.errors import DamagedStore

START = 64
"""Where the first clump begins."""
SEAL = b"9sealed\n"
_HEAD = Struct("<16sIIQ32x")
_LABEL = b"ninegrid arena\n\0"
_TRAILER = Struct("<Q8s")
_ENTRY = Struct("<20sBQII")
_STEP = 1 << 20


class Found(NamedTuple):
    """A clump and where it is."""

    offset: int
    clump: Clump


def arena_path(folder: Path, number: int) -> Path:
    """The file of an arena."""
    return folder / f"{number:08d}.arena"


def create(folder: Path, number: int, time: int) -> int:
    """Makes an empty arena, durable in its directory, and returns its descriptor."""
    path = arena_path(folder, number)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, _HEAD.pack(_LABEL, 1, number, time), 0)
        os.fsync(descriptor)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except BaseException:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def check_head(descriptor: int, number: int, path: Path) -> None:
    """Raises ``DamagedStore`` unless the file is the arena that its name says."""
    head = os.pread(descriptor, START, 0)
    if len(head) < START or head[:16] != _LABEL:
        raise DamagedStore(f"{path} is not an arena: restore it from a copy, or move it away")
    _, version, found, _ = _HEAD.unpack(head)
    if version != 1:
        raise DamagedStore(f"{path} has format {version}, which this program is too old for: use a newer one")
    if found != number:
        raise DamagedStore(f"{path} holds arena {found}: was it renamed?")


def clumps(descriptor: int, start: int, end: int) -> Iterator[Found]:
    """Every clump between two offsets whose header is whole, in order.

    Bytes that are no clump are stepped over to the next header, so that damage in the middle costs what it hit. The
    blocks themselves are not checked here.
    """
    at = start
    data = b""
    base = start
    while end - at >= HEADER:
        if at - base + HEADER > len(data):
            data = os.pread(descriptor, min(_STEP, end - at), at)
            base = at
            if len(data) < HEADER:
                return
        try:
            clump = unpack_header(data, at - base)
        except BadClump:
            found = data.find(MAGIC, at - base + 1)
            at = base + found if found >= 0 else max(at + 1, base + len(data) - 3)
            continue
        if at + clump.end > end:
            at += 1
            continue
        yield Found(at, clump)
        at += clump.end


def is_whole(descriptor: int, found: Found) -> bool:
    """Whether the block of a clump is all there."""
    try:
        unpack(found.clump, os.pread(descriptor, found.clump.stored, found.offset + HEADER))
    except BadClump:
        return False
    return True


def sealed_at(descriptor: int) -> int | None:
    """Where the footer of a sealed arena begins; None for one that is not sealed."""
    size = os.fstat(descriptor).st_size
    if size < START + _TRAILER.size:
        return None
    length, seal = _TRAILER.unpack(os.pread(descriptor, _TRAILER.size, size - _TRAILER.size))
    start = size - _TRAILER.size - length
    return start if seal == SEAL and start >= START else None


def seal(descriptor: int, end: int, number: int) -> None:
    """Writes the footer behind the clumps, which end at ``end``, and makes everything durable.

    The footer has the sorted directory of the clumps and the BLAKE3 of all bytes before it.
    """
    os.fdatasync(descriptor)
    entries = sorted(
        (found.clump.score, found.clump.type, found.offset, found.clump.stored, found.clump.size)
        for found in clumps(descriptor, START, end)
    )
    whole = blake3()
    for at in range(0, end, _STEP):
        whole.update(os.pread(descriptor, min(_STEP, end - at), at))
    footer = msgpack.packb(
        {
            "format": 1,
            "number": number,
            "clumps": len(entries),
            "end": end,
            "blake3": whole.digest(),
            "directory": b"".join(_ENTRY.pack(*entry) for entry in entries),
        }
    )
    os.ftruncate(descriptor, end)
    os.pwrite(descriptor, footer + _TRAILER.pack(len(footer), SEAL), end)
    os.fdatasync(descriptor)


def verify_seal(descriptor: int) -> dict[str, object]:
    """The footer of a sealed arena, after the BLAKE3 of the whole has been checked.

    Raises:
        DamagedStore: it is not sealed, or some byte is not what it was.
    """
    start = sealed_at(descriptor)
    if start is None:
        raise DamagedStore("arena is not sealed")
    size = os.fstat(descriptor).st_size
    try:
        footer = msgpack.unpackb(os.pread(descriptor, size - _TRAILER.size - start, start))
        whole = blake3()
        for at in range(0, start, _STEP):
            whole.update(os.pread(descriptor, min(_STEP, start - at), at))
        if footer["blake3"] != whole.digest():
            raise DamagedStore("arena is not what it was when it was sealed")
    except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        raise DamagedStore(f"footer of a sealed arena cannot be read: {error}") from error
    return dict(footer)
