"""Reads extents and checks them against the index."""

from __future__ import annotations

import logging

from cfs.disk.layout import PAGE, checksum
from cfs.disk.recent import Recent
from cfs.disk.row import Place, Row
from cfs.disk.segments import Files
from cfs.disk.stored import StoredFile
from ninep.wire.dialect import Buffer

log = logging.getLogger(__name__)

RECENT = 16 * 1024 * 1024
"""Bytes of checked extents kept in memory, of those that were read in parts."""


class Checker:
    """The bytes of extents, each compared with its checksum.

    Attributes:
        damaged: extents that did not pass.
        recent: extents that did, and were not read as a whole.
    """

    def __init__(self, name: str, files: Files) -> None:
        self._name = name
        self._files = files
        self.damaged = 0
        self.recent = Recent(RECENT)

    def read(self, file: StoredFile, row: Row, nonce: bytes, *, wait: bool, partly: bool) -> Buffer | None:
        """The bytes of an extent, none if they are damaged, None if the disk would have to be waited for."""
        assert file.number is not None
        key = (file.number, row.start)
        data: Buffer | None = self.recent.get(key)
        if data is not None:
            return data
        try:
            data = self._files.read(row.place) if wait else self._files.read_nowait(row.place)
        except OSError as error:
            log.warning("cache %s: %s", self._name, error)
            data = b""
        if data is None:
            return None
        if len(data) != row.place.length or checksum(nonce, file.what, row.start, data) != row.sum:
            self._tell(file, row)
            return b""
        if partly:
            self.recent.put(key, data)
        return data

    def read_run(self, file: StoredFile, rows: list[Row], nonce: bytes) -> memoryview | None:
        """The bytes of extents one behind the other, in the file and on disk, in one go; None if that cannot be had."""
        first = at = rows[0].start
        segment, begin, _ = rows[0].place
        for row in rows:
            if row.start != at or row.place[:2] != (segment, begin + at - first) or (at - first) % PAGE:
                return None
            at += row.place.length
        try:
            data = self._files.read_nowait(Place(segment, begin, at - first))
        except OSError:
            return None
        if data is None:
            return None
        view = memoryview(data)
        for row in rows:
            piece = view[row.start - first : row.start - first + row.place.length]
            if checksum(nonce, file.what, row.start, piece) != row.sum:
                return None
        return view

    def _tell(self, file: StoredFile, row: Row) -> None:
        self.damaged += 1
        level = logging.WARNING if self.damaged == 1 else logging.DEBUG
        log.log(
            level,
            "cache %s: damaged extent at %d of file %#x is dropped and fetched again; more of them are only counted",
            self._name,
            row.start,
            file.path,
        )
