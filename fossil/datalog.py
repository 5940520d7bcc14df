"""The data log: one sparse file that only ever grows at its end; what is freed is given back as holes.

Pieces have no header: their length and BLAKE3 are in the database.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections import OrderedDict
from pathlib import Path

import trio
from blake3 import blake3

from fossil.errors import DamagedData
from ninep.wire.dialect import Buffer

CACHE = 64 * 1024 * 1024
"""Bytes of checked pieces kept in memory."""
_KEEP_SIZE = 1
_PUNCH_HOLE = 2


class DataLog:
    """Pieces by their place. Not for several threads, except where said."""

    def __init__(self, path: Path, tail: int) -> None:
        """Opens or makes the log; ``tail`` is where the database says that it ends."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._path = path
        size = os.fstat(self._file).st_size
        self.tail = max(tail, size)
        """Where the next piece goes."""
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._cached = 0
        self._nowait = True
        self._libc = ctypes.CDLL(None, use_errno=True)

    def append(self, data: Buffer) -> int:
        """Hands a piece to the operating system; returns its place.

        Raises:
            OSError: it could not be written whole; nothing refers to it.
        """
        place = at = self.tail
        view = memoryview(data)
        while view:
            count = os.pwrite(self._file, view, at)
            at += count
            view = view[count:]
        self.tail = at
        return place

    def read_nowait(self, place: int, stored: int, digest: bytes) -> bytes:
        """A piece, checked. Raises ``trio.WouldBlock`` where the disk would have to be waited for.

        Raises:
            DamagedData: it is not what was written.
        """
        piece = self._cache.get(place)
        if piece is not None and len(piece) == stored:
            self._cache.move_to_end(place)
            return piece
        if not self._nowait:
            raise trio.WouldBlock
        buffer = bytearray(stored)
        try:
            count = os.preadv(self._file, [buffer], place, os.RWF_NOWAIT)
        except BlockingIOError:
            raise trio.WouldBlock from None
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                self._nowait = False
                raise trio.WouldBlock from None
            raise DamagedData(f"{self._path} at {place}: {error.strerror}") from error
        if count < stored:
            raise trio.WouldBlock
        return self._checked(place, bytes(buffer), digest)

    async def read(self, place: int, stored: int, digest: bytes) -> bytes:
        """A piece, checked; waits for the disk in a thread."""
        try:
            return self.read_nowait(place, stored, digest)
        except trio.WouldBlock:
            pass
        try:
            data = await trio.to_thread.run_sync(os.pread, self._file, stored, place)
        except OSError as error:
            raise DamagedData(f"{self._path} at {place}: {error.strerror}") from error
        return self._checked(place, data, digest)

    def _checked(self, place: int, data: bytes, digest: bytes) -> bytes:
        if blake3(data).digest() != digest:
            raise DamagedData(f"{self._path} at {place}: what is stored is not what was written")
        old = self._cache.pop(place, b"")
        self._cache[place] = data
        self._cached += len(data) - len(old)
        while self._cached > CACHE:
            self._cached -= len(self._cache.popitem(last=False)[1])
        return data

    def sync(self) -> None:
        """Makes all pieces durable; in any thread. Raises OSError."""
        os.fdatasync(self._file)

    def free(self, place: int, stored: int) -> None:
        """Gives the room of a piece back to the host; where it cannot be given back nothing happens."""
        old = self._cache.pop(place, None)
        if old is not None:
            self._cached -= len(old)
        self._libc.fallocate(self._file, _KEEP_SIZE | _PUNCH_HOLE, ctypes.c_longlong(place), ctypes.c_longlong(stored))

    def close(self) -> None:
        """Releases the file."""
        os.close(self._file)
