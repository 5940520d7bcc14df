"""Reading one open directory in messages: whole entries, in order, from the start or from where the last ended.

Source: read(5).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from types import CoroutineType
from typing import Any

from ninep.errors import BadDirectoryOffset, FileError
from ninep.files import File
from ninep.stat import Stat
from ninep.wire.dialect import Maybe


class DirectoryReader:
    """Where one fid is in its directory. One call at a time.

    Cancelled, a read leaves the place as it was, and entries that were listed already are not lost.
    """

    __slots__ = ("_entries", "_file", "_offset", "_pack", "_size")

    def __init__(self, file: File, pack: Callable[[Stat], bytes] = Stat.pack) -> None:
        """``pack`` makes bytes of an entry."""
        self._file = file
        self._pack = pack
        self._entries: deque[bytes] = deque()
        self._size = 0
        self._offset = 0

    def read(self, offset: int, count: int) -> Maybe[bytes]:
        """As many whole entries as fit in ``count`` bytes; empty at the end. Offset 0 starts again.

        Raises:
            BadDirectoryOffset: neither 0 nor where the last read ended.
            FileError: the next entry does not fit, or what ``File.list`` raises.
        """
        if offset and offset != self._offset:
            raise BadDirectoryOffset
        rewind = not offset
        if rewind:
            self._entries.clear()
            self._size = self._offset = 0
        while self._size < count:
            found = self._file.list(rewind)
            if isinstance(found, CoroutineType):
                return self._read_on(count, found)
            if not self._add(found):  # type: ignore[arg-type]
                break
            rewind = False
        return self._take(count)

    async def _read_on(self, count: int, listing: Coroutine[Any, Any, Sequence[Stat]]) -> bytes:
        found = await listing
        while self._add(found) and self._size < count:
            more = self._file.list(False)
            found = await more if isinstance(more, CoroutineType) else more  # type: ignore[assignment]
        return self._take(count)

    def _add(self, found: Sequence[Stat]) -> bool:
        for stat in found:
            entry = self._pack(stat)
            self._entries.append(entry)
            self._size += len(entry)
        return bool(found)

    def _take(self, count: int) -> bytes:
        entries = self._entries
        taken: list[bytes] = []
        size = 0
        while entries and size + len(entries[0]) <= count:
            entry = entries.popleft()
            size += len(entry)
            taken.append(entry)
        if entries and not taken:
            raise FileError(f"count too small: the next directory entry has {len(entries[0])} bytes")
        self._size -= size
        self._offset += size
        return b"".join(taken)
