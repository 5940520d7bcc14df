"""The file ``synced`` of a store: the position up to which the log is known to be durable.

What lies behind may be what a crash left half written, and is cut. What lies before was promised to somebody: where it
cannot be read it is damage, is reported, and is kept. The file is written after each sync and not itself synced; a loss
of power may leave an older one, which is true as well, or none that its checksum confirms.

``count[4]``, so many times ``arena[4] offset[8]`` for the arenas that were not sealed, then CRC-32 ``[4]``; all
little-endian.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from struct import Struct
from zlib import crc32

from venti.log.files import ArenaFile, ArenaFolder

log = logging.getLogger(__name__)

NAME = "synced"
"""Of the file in the store's directory."""
MOST = 40
"""Arenas that are named, the last ones: all of the file is in one sector."""
_COUNT = Struct("<I")
_END = Struct("<IQ")


def pack(ends: Mapping[int, int]) -> bytes:
    """The content of the file."""
    last = sorted(ends.items())[-MOST:]
    data = _COUNT.pack(len(last)) + b"".join(_END.pack(*end) for end in last)
    return data + _COUNT.pack(crc32(data))


def unpack(data: bytes) -> dict[int, int]:
    """The ends of arenas; none where the content is not whole."""
    if len(data) < _COUNT.size:
        return {}
    (count,) = _COUNT.unpack_from(data)
    size = _COUNT.size + count * _END.size
    if count > MOST or len(data) < size + _COUNT.size or _COUNT.unpack_from(data, size)[0] != crc32(data[:size]):
        return {}
    return dict(_END.iter_unpack(data[_COUNT.size : size]))


class SyncedFile:
    """The file in a store's directory, to be written."""

    def __init__(self, folder: ArenaFolder) -> None:
        self._folder = folder
        self._file: ArenaFile | None = None
        self._failed = False

    def write(self, ends: Mapping[int, int]) -> None:
        """Notes where the arenas end that are not sealed, all of which is durable. A disk that refuses is no matter."""
        try:
            if self._file is None:
                there = NAME in self._folder.names()
                self._file = self._folder.open(NAME, writable=True) if there else self._folder.create(NAME)
            self._file.write((pack(ends),), 0)
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.warning("%s cannot be written: %s", self._folder.where(NAME), error.strerror)

    def close(self) -> None:
        """Gives the file back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read(folder: ArenaFolder) -> dict[int, int]:
    """What the file in ``folder`` says; nothing where it is not there, or cannot be read."""
    try:
        if NAME not in folder.names():
            return {}
        file = folder.open(NAME, writable=False)
        try:
            return unpack(file.read(1024, 0))
        finally:
            file.close()
    except OSError as error:
        log.warning("%s cannot be read: %s", folder.where(NAME), error.strerror)
        return {}
