"""A file that is read and written at offsets, in full, however few bytes each system call transfers."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

Data: TypeAlias = bytes | bytearray | memoryview

MOST_PIECES = 1000
"""Buffers of one gathering write; IOV_MAX of Linux is 1024."""

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_CANNOT = frozenset((errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))
_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = getattr(_libc, "fallocate", None)
if _fallocate is not None:
    _fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def pwrite_all(descriptor: int, data: Data, offset: int) -> None:
    """Hands all of ``data`` to the system; after an error any part of it may be there."""
    size = len(data)
    done = os.pwrite(descriptor, data, offset)
    while done < size:
        rest = memoryview(data)[done:]
        count = os.pwrite(descriptor, rest, offset + done)
        if not count:
            raise OSError(errno.EIO, "the disk takes nothing and tells no error")
        done += count


def pread_all(descriptor: int, size: int, offset: int) -> bytes:
    """``size`` bytes, fewer only where the file ends."""
    data = os.pread(descriptor, size, offset)
    while len(data) < size:
        more = os.pread(descriptor, size - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


class PositionedFile:
    """An open file of the operating system; whoever makes it closes it."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: str | Path, flags: int, mode: int = 0o600) -> PositionedFile:
        """Makes one, with the flags that the system call takes."""
        return cls(os.open(path, flags | os.O_CLOEXEC, mode))

    def read(self, size: int, offset: int) -> bytes:
        """``size`` bytes, fewer only where the file ends."""
        return pread_all(self._descriptor, size, offset)

    def read_nowait(self, buffer: bytearray, offset: int) -> int:
        """Fills ``buffer`` as far as memory has it, without waiting; returns how many bytes that are.

        Raises:
            BlockingIOError: the disk would have to be asked.
            OSError: EOPNOTSUPP and the like: this file can only be waited for.
        """
        return os.preadv(self._descriptor, (buffer,), offset, os.RWF_NOWAIT)

    def write(self, pieces: Sequence[Data], offset: int) -> None:
        """Hands all the pieces to the system, one behind the other; after an error any part of them may be there."""
        if len(pieces) == 1:
            pwrite_all(self._descriptor, pieces[0], offset)
            return
        for first in range(0, len(pieces), MOST_PIECES):
            group = pieces[first : first + MOST_PIECES]
            size = sum(map(len, group))
            done = os.pwritev(self._descriptor, group, offset)
            if done < size:
                pwrite_all(self._descriptor, memoryview(b"".join(group))[done:], offset + done)
            offset += size

    def sync(self) -> None:
        """Returns when the content and the size are on stable storage."""
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        """Cuts the file, or lengthens it with a hole."""
        os.ftruncate(self._descriptor, size)

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

    def next_data(self, offset: int) -> int:
        """The first place from ``offset`` on that takes room on the disk; raises ENXIO where there is none."""
        return os.lseek(self._descriptor, offset, os.SEEK_DATA)

    def reserve(self, offset: int, size: int) -> bool:
        """Takes room for a range that is going to be written, beyond the end too; False where that cannot be done."""
        return self._allocate(_KEEP_SIZE, offset, size)

    def punch(self, offset: int, size: int) -> bool:
        """Gives the room of a range back, which then reads as zeros; False where that cannot be done."""
        try:
            return self._allocate(_KEEP_SIZE | _PUNCH_HOLE, offset, size)
        except OSError:
            return False

    def _allocate(self, mode: int, offset: int, size: int) -> bool:
        if _fallocate is None:
            return False
        while _fallocate(self._descriptor, mode, offset, size) != 0:
            number = ctypes.get_errno()
            if number in _CANNOT:
                return False
            if number != errno.EINTR:
                raise OSError(number, os.strerror(number))
        return True

    def duplicate(self) -> PositionedFile:
        """The same file, to be closed on its own: for a thread that must not lose it."""
        return PositionedFile(os.dup(self._descriptor))

    def close(self) -> None:
        """Gives it back to the system; says nothing about stable storage."""
        os.close(self._descriptor)
