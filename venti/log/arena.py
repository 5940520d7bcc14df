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

from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

import msgpack
from blake3 import blake3

from venti.blocks.errors import DamagedStore, StoreFailed
from venti.log.clump import HEADER, MAGIC, BadClump, Clump, recognise, unpack, unpack_header
from venti.log.files import ArenaFile, ArenaFolder
from venti.protocol.messages import LARGEST_BLOCK

START = 64
"""Where the first clump begins."""
SEAL = b"9sealed\n"
FORMAT = 1
_HEAD = Struct("<16sIIQ32x")
_USED = 32
_LABEL = b"ninegrid arena\n\0"
_TRAILER = Struct("<Q8s")
_ENTRY = Struct("<20sBQII")
_STEP = 1 << 20


class Found(NamedTuple):
    """A clump and where it is."""

    offset: int
    clump: Clump

    @property
    def end(self) -> int:
        """Where the next clump begins."""
        return self.offset + HEADER + self.clump.stored


class Gap(NamedTuple):
    """Bytes between clumps that are none: damage, or what a crash left."""

    start: int
    end: int


class Listed(NamedTuple):
    """A clump as the directory in a footer names it; ``type`` as on the wire."""

    score: bytes
    type: int
    offset: int
    stored: int
    size: int


def arena_name(number: int) -> str:
    """The file name of an arena."""
    return f"{number:08d}.arena"


def arena_path(folder: Path, number: int) -> Path:
    """The file of an arena."""
    return folder / arena_name(number)


def create(folder: ArenaFolder, number: int, time: int) -> ArenaFile:
    """Makes an empty arena, durable in its directory."""
    name = arena_name(number)
    file = folder.create(name)
    try:
        write_head(file, number, time)
        folder.sync()
    except BaseException:
        file.close()
        folder.remove(name)
        raise
    return file


def write_head(file: ArenaFile, number: int, time: int) -> None:
    """Makes the beginning of an arena that has no clumps yet, durably."""
    file.write((_HEAD.pack(_LABEL, FORMAT, number, time),), 0)
    file.sync()


def head_fault(file: ArenaFile, number: int) -> str:
    """What is wrong with the head of an arena whose name has this number; empty if nothing is.

    Nothing in it is needed to read the clumps: damage to it costs nothing but this message.
    """
    head = file.read(START, 0)
    if len(head) < START:
        return "its head is missing"
    label, version, found, _ = _HEAD.unpack(head)
    if label != _LABEL:
        return "its head is damaged"
    if version != FORMAT:
        return f"its head says format {version}"
    if found != number:
        return f"its head says arena {found}"
    return "its head is damaged" if any(head[_USED:]) else ""


def head_version(file: ArenaFile) -> int | None:
    """The format that a head tells of; None where it is no head of an arena."""
    head = file.read(START, 0)
    return _HEAD.unpack(head)[1] if len(head) == START and head[:16] == _LABEL else None


def check_name(file: ArenaFile, number: int, path: str) -> None:
    """Raises ``DamagedStore`` where head and footer agree that this is another arena than its name says."""
    head = file.read(START, 0)
    found = _HEAD.unpack(head)[2] if len(head) == START and head[:16] == _LABEL else number
    if found == number:
        return
    try:
        renamed = footer(file).get("number") == found
    except DamagedStore:
        return
    if renamed:
        raise DamagedStore(f"{path} holds arena {found}: give it the name that it had")


def mended_head(file: ArenaFile, number: int) -> bytes:
    """What the head of an arena should be; of a damaged one only the time is as it is found."""
    head = file.read(START, 0).ljust(START, b"\0")
    return _HEAD.pack(_LABEL, FORMAT, number, _HEAD.unpack(head)[3])


def mend_head(file: ArenaFile, number: int) -> bool:
    """Writes the head of an arena anew, durably; False, and nothing is written, where the seal says it was another."""
    head = mended_head(file, number)
    start = sealed_at(file)
    if start is not None:
        try:
            if footer(file).get("blake3") != _digest(file, start, head):
                return False
        except DamagedStore:
            return False
    file.write((head,), 0)
    file.sync()
    return True


def clumps(file: ArenaFile, start: int, end: int, gaps: list[Gap] | None = None) -> Iterator[Found]:
    """Every clump between two offsets whose header is whole, in order.

    Bytes that are no clump are stepped over to the next header, so that damage in the middle costs what it hit; where
    they were is added to ``gaps``. Blocks are not checked here, but for the first behind a gap: the bytes of a block
    may look like a clump with a score that is not theirs, and only stepping over the true header would find those.
    """
    at = start
    data = b""
    base = start
    lost: int | None = None
    while end - at >= HEADER:
        if at - base + HEADER > len(data):
            data = file.read(min(_STEP, end - at), at)
            base = at
            if len(data) < HEADER:
                break
        try:
            clump = unpack_header(data, at - base)
            found = Found(at, clump)
            if found.end > end or (lost is not None and not is_genuine(file, found)):
                raise BadClump("not one of ours")
        except BadClump:
            lost = at if lost is None else lost
            next_ = data.find(MAGIC, at - base + 1)
            at = base + next_ if next_ >= 0 else max(at + 1, base + len(data) - 3)
            continue
        if lost is not None:
            if gaps is not None:
                gaps.append(Gap(lost, at))
            lost = None
        yield found
        at = found.end
    lost = at if lost is None else lost
    if gaps is not None and lost < end:
        gaps.append(Gap(lost, end))


def block_of(file: ArenaFile, found: Found) -> bytes:
    """The block of a clump, checked against its BLAKE3. Raises ``BadClump``."""
    return unpack(found.clump, file.read(found.clump.stored, found.offset + HEADER))


def is_whole(file: ArenaFile, found: Found) -> bool:
    """Whether the block of a clump is all there."""
    try:
        block_of(file, found)
    except BadClump:
        return False
    return True


def is_genuine(file: ArenaFile, found: Found) -> bool:
    """Whether the block of a clump is all there and its score is its SHA-1."""
    try:
        return sha1(block_of(file, found), usedforsecurity=False).digest() == found.clump.score
    except BadClump:
        return False


def recognised(file: ArenaFile, gap: Gap) -> Found | None:
    """The clump whose header is damaged, if a gap is one clump and its block says by one of its hashes whose it is."""
    if not HEADER <= gap.end - gap.start <= HEADER + LARGEST_BLOCK:
        return None
    clump = recognise(file.read(gap.end - gap.start, gap.start))
    return None if clump is None else Found(gap.start, clump)


def sealed_at(file: ArenaFile) -> int | None:
    """Where the footer of a sealed arena begins; None for one that is not sealed.

    Only a look: an arena whose last block ends like a seal passes, too. See ``verify_seal``.
    """
    size = file.size()
    if size < START + _TRAILER.size:
        return None
    trailer = file.read(_TRAILER.size, size - _TRAILER.size)
    if len(trailer) < _TRAILER.size:
        return None
    length, seal = _TRAILER.unpack(trailer)
    start = size - _TRAILER.size - length
    return start if seal == SEAL and start >= START else None


def seal(file: ArenaFile, end: int, number: int) -> None:
    """Writes the footer behind the clumps, which end at ``end``, and makes everything durable.

    The footer has the sorted directory of the clumps and the BLAKE3 of all bytes before it.

    Raises:
        OSError: the footer could not be written; it may be tried again.
        StoreFailed: something could not be made durable, and nobody can know what; see ``DiskStore.sync``.
    """
    _sync(file, number)
    entries = sorted(
        _ENTRY.pack(found.clump.score, found.clump.type, found.offset, found.clump.stored, found.clump.size)
        for found in clumps(file, START, end)
    )
    footer = msgpack.packb(
        {
            "format": 1,
            "number": number,
            "clumps": len(entries),
            "end": end,
            "blake3": _digest(file, end),
            "directory": b"".join(entries),
        }
    )
    file.truncate(end)
    file.write((footer, _TRAILER.pack(len(footer), SEAL)), end)
    _sync(file, number)


def _sync(file: ArenaFile, number: int) -> None:
    try:
        file.sync()
    except OSError as error:
        raise StoreFailed(f"fdatasync of arena {number} failed: {error.strerror}") from error


def footer(file: ArenaFile) -> dict[str, Any]:
    """What the footer of a sealed arena says, unchecked.

    Raises:
        DamagedStore: the arena is not sealed, or the footer cannot be read.
    """
    start = sealed_at(file)
    if start is None:
        raise DamagedStore("arena is not sealed")
    try:
        found = msgpack.unpackb(file.read(file.size() - _TRAILER.size - start, start))
        if not isinstance(found, dict) or not isinstance(found.get("directory"), bytes):
            raise ValueError("it has no directory")
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise DamagedStore(f"footer of a sealed arena cannot be read: {error}") from error
    return found


def listed(directory: bytes) -> Iterator[Listed]:
    """The clumps that the directory of a footer names, sorted by score."""
    whole = len(directory) - len(directory) % _ENTRY.size
    return map(Listed._make, _ENTRY.iter_unpack(directory[:whole]))


def verify_seal(file: ArenaFile) -> dict[str, Any]:
    """The footer of a sealed arena, after the BLAKE3 of the whole has been checked.

    Raises:
        DamagedStore: it is not sealed, or some byte is not what it was.
    """
    found = footer(file)
    start = sealed_at(file)
    if start is None or found.get("blake3") != _digest(file, start):
        raise DamagedStore("arena is not what it was when it was sealed")
    return found


def was_sealed(file: ArenaFile, number: int) -> bool:
    """Whether an arena whose seal does not verify was sealed and has been damaged since.

    Its footer is that of this arena and knows every clump that is left. No block that only looks like a footer does.
    """
    try:
        found = footer(file)
    except DamagedStore:
        return False
    end = sealed_at(file)
    if end is None or found.get("number") != number or found.get("end") != end:
        return False
    known = {(entry.offset, entry.score, entry.type) for entry in listed(found["directory"])}
    return all((found.offset, found.clump.score, found.clump.type) in known for found in clumps(file, START, end))


def _digest(file: ArenaFile, end: int, head: bytes = b"") -> bytes:
    """BLAKE3 of all before ``end``, as if it began with ``head``."""
    whole = blake3(head)
    for at in range(len(head), end, _STEP):
        whole.update(file.read(min(_STEP, end - at), at))
    return whole.digest()
