"""Reads an open directory in messages: whole entries, from the start or from where the last message ended.

Source: read(5).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from types import CoroutineType
from typing import Any

from ninep.protocol.errors import BadDirectoryOffset, FileError
from ninep.wire.dialect import Maybe
from ninep.wire.maybe import arrived


class DirectoryReader:
    """Where one fid is in its directory. One call at a time.

    Cancelled, a read leaves the place as it was, and entries that were listed already are not lost.
    """

    __slots__ = ("_entries", "_list", "_offset", "_size")

    def __init__(self, entries: Callable[[bool], Maybe[Sequence[bytes]]]) -> None:
        """``entries`` is ``File.entries``, or what gives entries of another dialect."""
        self._list = entries
        self._entries: list[bytes] = []
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
            found = self._list(rewind)
            if isinstance(found, CoroutineType):
                return self._read_on(count, found)
            if not self._add(found):  # type: ignore[arg-type]  # no coroutine: see above
                break
            rewind = False
        return self._take(count)

    async def _read_on(self, count: int, listing: Coroutine[Any, Any, Sequence[bytes]]) -> bytes:
        found = await listing
        while self._add(found) and self._size < count:
            found = await arrived(self._list(False))
        return self._take(count)

    def _add(self, found: Sequence[bytes]) -> bool:
        self._entries += found
        self._size += sum(map(len, found))
        return bool(found)

    def _take(self, count: int) -> bytes:
        taken, size = self._entries, self._size
        left: list[bytes] = []
        while size > count:
            # Seldom more than the last few: what was listed last is what did not fit.
            entry = taken.pop()
            size -= len(entry)
            left.append(entry)
        if left and not taken:
            self._entries = left[::-1]
            raise FileError(f"count too small: the next directory entry has {len(left[-1])} bytes")
        self._entries = left[::-1]
        self._size -= size
        self._offset += size
        return b"".join(taken)
