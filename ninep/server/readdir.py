"""Reads an open directory as 9P2000.L does: each entry has a cookie to continue from.

A cookie is the number of its entry since the start, so it stays good while entries go away. Back in the entries of the
last answer a client may go at any time; further back the directory is listed again, and counts from there.
"""

from __future__ import annotations

import stat as unix
from collections import deque
from collections.abc import Sequence
from types import CoroutineType
from typing import Any

from ninep.protocol.attributes import unix_mode
from ninep.protocol.codec_linux import pack_entry
from ninep.protocol.errors import FileError, InvalidArgument
from ninep.protocol.stat import Stat
from ninep.server.clunk import left
from ninep.server.files import File
from ninep.wire.dialect import Maybe
from ninep.wire.maybe import arrived

DIRECTORY = unix.S_IFDIR >> 12

Entry = tuple[int, bytes]
"""An entry's cookie and its bytes."""


class CookieReader:
    """Where one fid is in its directory. One call at a time.

    Cancelled, a read leaves the place as it was, and entries that were listed already are not lost.
    """

    __slots__ = ("_entries", "_file", "_listed", "_size", "_taken")

    def __init__(self, file: File) -> None:
        self._file = file
        self._entries: deque[Entry] = deque()
        self._taken: list[Entry] = []
        self._size = 0
        self._listed = 0

    def read(self, offset: int, count: int) -> Maybe[bytes]:
        """As many whole entries after the one with cookie ``offset`` as fit in ``count`` bytes; empty at the end.

        Raises:
            InvalidArgument: the next entry does not fit.
            FileError: what ``File.list`` raises.
        """
        if offset and self._seek(offset):
            while self._size < count:
                found = self._file.list(False)
                if isinstance(found, CoroutineType):
                    return self._read_on(offset, count, found)
                if not self._add(found):  # type: ignore[arg-type]  # no coroutine: see above
                    break
            return self._take(offset, count)
        return self._start(offset, count)

    def _seek(self, offset: int) -> bool:
        """Whether the entries after this cookie are at hand; then they are the next."""
        last = self._taken[-1][0] if self._taken else 0
        if offset == last:
            return True
        if not self._taken or not self._taken[0][0] <= offset < last:
            return False
        again = [entry for entry in self._taken if entry[0] > offset]
        self._entries.extendleft(reversed(again))
        self._size += sum(len(data) for _, data in again)
        return True

    async def _start(self, offset: int, count: int) -> bytes:
        """From the beginning, passing over what is up to ``offset``."""
        self._entries.clear()
        self._taken = []
        self._size = self._listed = 0
        self._put(self._file.qid, DIRECTORY, ".")
        self._put(await self._above(), DIRECTORY, "..")
        self._drop(offset)
        return await self._read_on(offset, count, self._file.list(True))

    async def _above(self) -> Any:
        try:
            parent = await arrived(self._file.step(".."))
        except FileError:
            return self._file.qid
        qid = parent.qid
        await arrived(left(parent))
        return qid

    async def _read_on(self, offset: int, count: int, listing: Maybe[Sequence[Stat]]) -> bytes:
        found = await arrived(listing)
        while self._add(found):
            self._drop(offset)
            if self._size >= count:
                break
            found = await arrived(self._file.list(False))
        return self._take(offset, count)

    def _add(self, found: Sequence[Stat]) -> bool:
        for stat in found:
            self._put(stat.qid, unix.S_IFMT(unix_mode(stat.mode, stat.extension)) >> 12, stat.name)
        return bool(found)

    def _put(self, qid: Any, kind: int, name: str) -> None:
        self._listed += 1
        data = pack_entry(qid, self._listed, kind, name)
        self._entries.append((self._listed, data))
        self._size += len(data)

    def _drop(self, offset: int) -> None:
        entries = self._entries
        while entries and entries[0][0] <= offset:
            self._size -= len(entries.popleft()[1])

    def _take(self, offset: int, count: int) -> bytes:
        entries = self._entries
        taken: list[Entry] = []
        size = 0
        while entries and size + len(entries[0][1]) <= count:
            size += len(entries[0][1])
            taken.append(entries.popleft())
        if entries and not taken:
            raise InvalidArgument(f"count too small: the next directory entry has {len(entries[0][1])} bytes")
        self._size -= size
        # At the end the place is kept, so that asking again says the same.
        if taken:
            self._taken = taken
        return b"".join([data for _, data in taken])
