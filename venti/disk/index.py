"""The index: where each block is, by score and type, in LMDB.

The log is the truth. The index says how much of the log it covers; what comes after is read from the log when the
store is opened, and an index that is lost, damaged or ahead of the log is made anew.

Key: ``score[20] type[1]``. Value, little-endian: ``arena[4] offset[8] stored[4] size[4] digest[16]``, the last being
the first half of the block's BLAKE3. Key ``covered``: ``arena[4] offset[8]``.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import lmdb

log = logging.getLogger(__name__)

_VALUE = Struct("<IQII16s")
_COVERED = Struct("<IQ")
_COVERED_KEY = b"covered"
FIRST_SIZE = 256 * 1024 * 1024
"""Bytes of address space to begin with; it grows as needed, the file is only as large as its content."""


class Place(NamedTuple):
    """Where a block is, and enough of its BLAKE3 to tell another block with the same score."""

    arena: int
    offset: int
    stored: int
    size: int
    check: bytes


class Index:
    """Look-ups in the thread of the event loop, writes of whole batches in another, never two at once."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the index at ``path``, a directory; one that cannot be used is thrown away and made anew."""
        self._path = path
        try:
            self._open()
        except lmdb.Error as error:
            log.warning("the index cannot be used (%s): it is made anew from the arenas", error)
            self.clear()

    def _open(self) -> None:
        self._path.mkdir(exist_ok=True)
        size = max(FIRST_SIZE, 2 * sum(file.stat().st_size for file in self._path.iterdir()))
        self._environment = lmdb.open(str(self._path), map_size=size, metasync=False, mode=0o600, max_readers=8)
        self._reader = self._environment.begin()
        self._get = self._reader.get
        covered = self._get(_COVERED_KEY)
        self.covered: tuple[int, int] | None = _COVERED.unpack(covered) if covered else None

    def clear(self) -> None:
        """Forgets everything."""
        if hasattr(self, "_environment"):
            self.close()
        shutil.rmtree(self._path, ignore_errors=True)
        self._open()

    def get(self, key: bytes) -> Place | None:
        """Where the block is, as far as the last batch."""
        value = self._get(key)
        return None if value is None else Place._make(_VALUE.unpack(value))

    def prepare(self) -> None:
        """Makes room for a batch; in the thread of the look-ups, while nothing is being written."""
        information = self._environment.info()
        used = (information["last_pgno"] + 1) * 4096
        if used * 2 > information["map_size"]:
            self._reader.abort()
            self._environment.set_mapsize(information["map_size"] * 2)
            self._renew()

    def write(self, batch: Mapping[bytes, Place], covered: tuple[int, int]) -> None:
        """Adds entries and the place in the log that they reach to, durably; in any thread.

        Raises:
            lmdb.Error: nothing was added.
        """
        pack = _VALUE.pack
        with self._environment.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti([(key, pack(*batch[key])) for key in sorted(batch)])
            transaction.put(_COVERED_KEY, _COVERED.pack(*covered))

    def refresh(self, covered: tuple[int, int]) -> None:
        """Lets look-ups see the last batch; in their thread."""
        self._reader.abort()
        self._renew()
        self.covered = covered

    def _renew(self) -> None:
        self._reader = self._environment.begin()
        self._get = self._reader.get

    def close(self) -> None:
        """Releases the files."""
        self._reader.abort()
        self._environment.close()
