"""Reads and writes local files from the event loop without making other clients wait for the disk.

What the page cache has is read at once (RWF_NOWAIT, readv(2)): a thread costs more than the copy. What is on the disk
alone is read in a thread. A write goes to the page cache at once, too, until the kernel makes one wait; then writes
go through threads for a while.
"""

from __future__ import annotations

import errno
import os
import stat as unix
from collections.abc import Coroutine
from time import monotonic
from typing import Any

import trio

from ninep.protocol.errors import from_oserror
from ninep.wire.dialect import Buffer, Maybe

SMALL = 64 * 1024
"""Up to this many bytes a buffer is made for the read itself; making a larger one costs more than to ask first."""
SLOW = 0.02
"""Seconds of one write after which the disk counts as slow."""
PAUSE = 2.0
"""Seconds that it does."""
HUGE = 64 << 20
"""Bytes that are given back to the disk at once at most: a file system takes a third of a second for a GiB."""
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class Contents:
    """How the bytes of local files are reached; one object for a tree."""

    def __init__(self) -> None:
        self._slow_until = 0.0
        self._nowait = True

    def read(self, descriptor: int, offset: int, count: int) -> Maybe[Buffer]:
        """At most ``count`` bytes; fewer where the file ends. Raises ``FileError``."""
        try:
            if not self._nowait:
                return os.pread(descriptor, count, offset)
            if count <= SMALL:
                buffer = bytearray(count)
                got = os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
                if got == count:
                    return buffer
                if got == 0:
                    return b""
                # A short read tells the end of the file or the end of what is cached.
                if got < count and _ends(descriptor, offset + got):
                    return memoryview(buffer)[:got]
            elif _cached(descriptor, offset, count):
                return os.pread(descriptor, count, offset)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in _UNSUPPORTED or not self._nowait:
                raise from_oserror(error) from error
            self._nowait = False
            return self.read(descriptor, offset, count)
        return _in_thread(os.pread, descriptor, count, offset)

    def write(self, descriptor: int, offset: int, data: Buffer) -> Maybe[int]:
        """Writes all of ``data`` unless the disk is full; returns how many bytes. Raises ``FileError``."""
        begun = monotonic()
        if begun < self._slow_until:
            return _in_thread(_write, descriptor, data, offset)
        try:
            count = os.pwrite(descriptor, data, offset)
        except OSError as error:
            raise from_oserror(error) from error
        if monotonic() - begun > SLOW:
            self._slow_until = begun + PAUSE
        return count


def huge(status: os.stat_result) -> bool:
    """Whether it takes the file system long to give back what a file has on the disk."""
    return unix.S_ISREG(status.st_mode) and status.st_blocks * 512 > HUGE


async def closed(descriptor: int) -> None:
    """Closes what may be the last that is left of a removed file: that is when its blocks are given back."""
    with trio.CancelScope(shield=True):
        await trio.to_thread.run_sync(os.close, descriptor)


def synced(descriptor: int, *, data_only: bool = False) -> Coroutine[Any, Any, Any]:
    """Returns when the file is on stable storage."""
    return _in_thread(os.fdatasync if data_only else os.fsync, descriptor)


def _ends(descriptor: int, offset: int) -> bool:
    return os.fstat(descriptor).st_size <= offset


def _cached(descriptor: int, offset: int, count: int) -> bool:
    """Whether the first and the last byte can be had at once, and so, as the kernel reads ahead, the rest."""
    probe = bytearray(1)
    size = os.fstat(descriptor).st_size
    if offset >= size:
        return True
    last = min(offset + count, size) - 1
    return all(os.preadv(descriptor, [probe], at, os.RWF_NOWAIT) for at in (offset, last))


def _write(descriptor: int, data: Buffer, offset: int) -> int:
    return os.pwrite(descriptor, data, offset)


async def _in_thread(work: Any, *arguments: Any) -> Any:
    # The descriptor belongs to a fid that is not given up before this has ended, cancelled or not.
    try:
        return await trio.to_thread.run_sync(work, *arguments)
    except OSError as error:
        raise from_oserror(error) from error
