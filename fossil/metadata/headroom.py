"""Reserves the disk space that the database will need before a change is made, so that a full disk refuses it whole.

A change is in memory first, and answered when it is recorded. Once it is in memory it cannot be refused any more
without being a lie, so the disk is asked beforehand. The room is that of the write-ahead log, beyond its end, and of
SQLite's index of it. What another program leaves of the disk does not matter then.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from fossil.data.spare import Spare
from fossil.metadata import settled
from fossil.metadata.databasefiles import DatabaseFiles
from ninep import disk
from ninep.protocol.errors import FileSystemFull

ROW = 3 * (4096 + 24)
"""Bytes of the write-ahead log for a row: its page and those of indexes, each with its header."""
AHEAD = 64
"""Rows for which room is taken at once, if there is so much: some 800 KB, which few disks miss."""
_VAGUE = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""What it tells of a quota, and where it cannot make or lengthen a file beside the database."""
_FRAME = 4096 + 24
_FRAMES, _INDEX = 4096, 32768
"""So many frames take so many bytes of SQLite's index of the write-ahead log."""


def is_full(error: sqlite3.Error, folder: Path) -> bool:
    """Whether the disk of a database is full and not broken, which SQLite tells of in several ways."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code == sqlite3.SQLITE_FULL or (code in _VAGUE and not disk.has_room(folder))


class Headroom:
    """Of one open database.

    Attributes:
        rows: there is room for so many.
    """

    def __init__(self, files: DatabaseFiles, folder: Path) -> None:
        self._files = files
        self._spare = Spare(folder)
        self._end = 0
        self.rows = 0

    def ensure(self, rows: int) -> None:
        """There is room for so many rows that are on their way to the database. Raises ``FileSystemFull``."""
        if rows > self.rows:
            self._take(rows)

    def used(self) -> None:
        """Something has been written to the database."""
        self.rows = 0

    def _take(self, rows: int) -> None:
        start = settled.here(self._files).length
        if start + rows * ROW > self._end:
            try:
                self._reserve(start, start + (rows + AHEAD) * ROW)
            except OSError as error:
                if not disk.is_full(error):
                    # It may still do what it is asked for.
                    return
                self._take_last(start, rows)
        self.rows = (self._end - start) // ROW

    def _take_last(self, start: int, rows: int) -> None:
        try:
            self._reserve(start, start + rows * ROW)
        except OSError as error:
            if not self._spare.give_up():
                raise FileSystemFull from error
            self._take_last(start, rows)

    def refill(self) -> None:
        """Keeps some room for the moment in which the disk is full, if there is room for that."""
        self._spare.take()

    def _reserve(self, start: int, end: int) -> None:
        frames = end // _FRAME + 1
        self._files.index.reserve(0, (frames // _FRAMES + 2) * _INDEX)
        self._files.wal.reserve(start, end - start)
        self._end = end
