"""The operating system calls that the data log makes. Tests replace it to simulate crashes.

It is narrow so that tests can put in its place a disk that fills up, tears writes, forgets what was not synced, or
fails to sync.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

import trio

from ninep.disk import PositionedFile
from ninep.wire.dialect import Buffer

_cannot = frozenset((errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))


class DiskFile:
    """A sparse file, opened or made. Methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = PositionedFile.open(path, os.O_RDWR | os.O_CREAT)
        self._nowait = True

    def size(self) -> int:
        """Bytes from the first to the last, holes included."""
        return self._file.size()

    def used(self) -> int:
        """Bytes that it takes on the disk."""
        return self._file.used()

    def room(self) -> tuple[int, int]:
        """Bytes of the disk that are free for us, and bytes of the disk."""
        return self._file.room()

    def write(self, data: Buffer, place: int) -> None:
        """Hands all of ``data`` to the operating system."""
        self._file.write((data,), place)

    def reserve(self, place: int, count: int) -> bool:
        """Takes room for a range that is going to be written; False where it cannot be taken before that."""
        return self._file.reserve(place, count)

    def trim(self) -> None:
        """Gives back what was reserved and not written."""
        self._file.truncate(self.size())

    def read_nowait(self, place: int, count: int) -> Buffer:
        """The bytes, or ``trio.WouldBlock`` where the disk would have to be waited for."""
        if not self._nowait:
            raise trio.WouldBlock
        buffer = bytearray(count)
        try:
            got = self._file.read_nowait(buffer, place)
        except BlockingIOError:
            raise trio.WouldBlock from None
        except OSError as error:
            if error.errno in _cannot:
                self._nowait = False
                raise trio.WouldBlock from None
            raise
        if got < count:
            raise trio.WouldBlock
        return buffer

    def read(self, place: int, count: int) -> bytes:
        """The bytes, fewer at the end of the file; in any thread."""
        return self._file.read(count, place)

    def has_data(self, start: int, end: int) -> bool:
        """Whether something between these places takes room on the disk."""
        try:
            return self._file.next_data(start) < end
        except OSError:
            return False

    def sync(self) -> None:
        """Returns when everything written before is on stable storage; in any thread."""
        self._file.sync()

    def punch(self, place: int, count: int) -> None:
        """Gives the room of a range back, which then reads as zeros; where that cannot be done nothing happens."""
        self._file.punch(place, count)

    def close(self) -> None:
        """Releases it, and what is reserved."""
        with suppress(OSError):
            self.trim()
        self._file.close()
