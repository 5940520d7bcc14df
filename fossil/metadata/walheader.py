"""SQLite's write-ahead log and the head of its index, as https://www.sqlite.org/walformat.html has them. Pure.

The log is for every machine and in big-endian order. The index (``-shm``) is memory that processes share, in the order
of this machine, and SQLite promises nothing of it to others: ``end_of_log`` holds what it reads there against the head
of the log, and says so if another SQLite has another index. Tried with SQLite 3.40.
"""

from __future__ import annotations

import struct
from errno import EPROTO
from typing import NamedTuple

VERSION = 3_007_000
"""Of both formats, the only one that there has been since write-ahead logs exist (SQLite 3.7.0)."""
LOG_HEADER, FRAME_HEADER = 32, 24
"""Bytes of the head of the log, and before each page in it."""
INDEX_HEADER = 48
"""Bytes of the head of the index."""
_MAGIC = (0x377F0682, 0x377F0683)
_LOG = struct.Struct(">IIII8s8s")
_INDEX = struct.Struct("=IIIBBHII8s8s8s")
_SUMS = struct.Struct(">II")
_LARGEST_PAGE = 65536


class UnknownIndex(OSError):
    """The index of a write-ahead log does not say what the log says."""


class LogHead(NamedTuple):
    """The head of the write-ahead log.

    Attributes:
        magic: tells the order of bytes that the checksums are made in.
        version: of the format.
        page: bytes of a page.
        sequence: counts how often the log was begun anew.
        salt: is different each time; frames that have another one are left from before.
        sum: of what stands before.
    """

    magic: int
    version: int
    page: int
    sequence: int
    salt: bytes
    sum: bytes


class IndexHead(NamedTuple):
    """The head of the index.

    Attributes:
        version: of the format.
        unused: nothing.
        change: counts transactions.
        ready: whether the rest says anything.
        big_endian: whether the checksums of the log are made in that order.
        page: bytes of a page; 1 stands for 65536.
        frames: that the log has of transactions that were committed.
        pages: of the database.
        frame_sum: of the last of these frames.
        salt: of the log.
        sum: of what stands before.
    """

    version: int
    unused: int
    change: int
    ready: int
    big_endian: int
    page: int
    frames: int
    pages: int
    frame_sum: bytes
    salt: bytes
    sum: bytes


def log_head(data: bytes) -> LogHead | None:
    """The head of a log that begins with these bytes; None where that is none."""
    if len(data) < LOG_HEADER:
        return None
    head = LogHead._make(_LOG.unpack_from(data))
    return head if head.magic in _MAGIC and head.version == VERSION else None


def end_of_log(index: bytes, log: bytes) -> tuple[bytes, int]:
    """The salt of a log, and where what was committed to it ends, given the first bytes of the index and the log.

    Raises:
        UnknownIndex: they do not fit together.
    """
    if len(index) < INDEX_HEADER:
        return b"", 0
    found = IndexHead._make(_INDEX.unpack_from(index))
    if not found.ready:
        return b"", 0
    if found.version != VERSION:
        raise UnknownIndex(EPROTO, f"SQLite has an index of version {found.version}, and this program knows {VERSION}")
    if not found.frames:
        # A log that is begun anew has its head from the first frame on.
        return found.salt, 0
    page = _LARGEST_PAGE if found.page == 1 else found.page
    head = log_head(log)
    if head is None or (head.page, head.salt) != (page, found.salt):
        raise UnknownIndex(EPROTO, "SQLite's index of its write-ahead log does not fit to the log")
    return found.salt, LOG_HEADER + found.frames * (FRAME_HEADER + page)


def whole_length(log: bytes) -> int:
    """How many bytes from the start of a log are as they were written: its head and whole frames; 0 if none are."""
    head = log_head(log)
    if head is None:
        return 0
    order = ">" if head.magic & 1 else "<"
    sums = _summed(log[: LOG_HEADER - 8], order, (0, 0))
    if head.sum != _SUMS.pack(*sums):
        return 0
    size = FRAME_HEADER + head.page
    end = LOG_HEADER
    while end + size <= len(log):
        frame = log[end : end + size]
        sums = _summed(frame[:8] + frame[FRAME_HEADER:], order, sums)
        if frame[8:16] != head.salt or frame[16:FRAME_HEADER] != _SUMS.pack(*sums):
            break
        end += size
    return end


def _summed(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for word, next_word in zip(words, words, strict=True):
        first = first + word + second & 0xFFFFFFFF
        second = second + next_word + first & 0xFFFFFFFF
    return first, second
