"""One file on the disk: all that the data log asks of the operating system, and nothing else of it.

It is narrow so that tests can put in its place a disk that fills up, tears writes, forgets what was not synced, or
fails to sync.
"""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from pathlib import Path

import trio

from ninep.wire.dialect import Buffer

_KEEP_SIZE = 1
_PUNCH_HOLE = 2
_libc = ctypes.CDLL(None, use_errno=True)
_cannot = frozenset((errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))


class DiskFile:
    """A sparse file, opened or made. Methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._nowait = True

    def size(self) -> int:
        """Bytes from the first to the last, holes included."""
        return os.fstat(self._descriptor).st_size

    def used(self) -> int:
        """Bytes that it takes on the disk."""
        return os.fstat(self._descriptor).st_blocks * 512

    def room(self) -> tuple[int, int]:
        """Bytes of the disk that are free for us, and bytes of the disk."""
        found = os.fstatvfs(self._descriptor)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    def write(self, data: Buffer, place: int) -> None:
        """Hands all of ``data`` to the operating system."""
        count = os.pwrite(self._descriptor, data, place)
        while count < len(data):
            data = memoryview(data)[count:]
            place += count
            count = os.pwrite(self._descriptor, data, place)

    def reserve(self, place: int, count: int) -> bool:
        """Takes room for a range that is going to be written; False where it cannot be taken before that."""
        if _libc.fallocate(self._descriptor, _KEEP_SIZE, ctypes.c_longlong(place), ctypes.c_longlong(count)) == 0:
            return True
        number = ctypes.get_errno()
        if number in _cannot:
            return False
        raise OSError(number, os.strerror(number), str(self.path))

    def trim(self) -> None:
        """Gives back what was reserved and not written."""
        os.ftruncate(self._descriptor, self.size())

    def read_nowait(self, place: int, count: int) -> Buffer:
        """The bytes, or ``trio.WouldBlock`` where the disk would have to be waited for."""
        if not self._nowait:
            raise trio.WouldBlock
        buffer = bytearray(count)
        try:
            got = os.preadv(self._descriptor, [buffer], place, os.RWF_NOWAIT)
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
        return os.pread(self._descriptor, count, place)

    def has_data(self, start: int, end: int) -> bool:
        """Whether something between these places takes room on the disk."""
        try:
            return os.lseek(self._descriptor, start, os.SEEK_DATA) < end
        except OSError:
            return False

    def sync(self) -> None:
        """Returns when everything written before is on stable storage; in any thread."""
        os.fdatasync(self._descriptor)

    def punch(self, place: int, count: int) -> None:
        """Gives the room of a range back, which then reads as zeros; where that cannot be done nothing happens."""
        _libc.fallocate(self._descriptor, _KEEP_SIZE | _PUNCH_HOLE, ctypes.c_longlong(place), ctypes.c_longlong(count))

    def close(self) -> None:
        """Releases it, and what is reserved."""
        with suppress(OSError):
            self.trim()
        os.close(self._descriptor)
