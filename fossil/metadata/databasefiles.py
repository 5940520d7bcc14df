"""The files of an open database: the database itself, its write-ahead log, and SQLite's index of that.

They stay open for as long as the database is. SQLite tells other programs by POSIX locks that it uses a file, and a
process loses all of those that it has on a file when it closes any descriptor of it: fcntl(2). Whoever looked into the
directory with another program would then seem to be alone, move the write-ahead log into the database and remove it.
"""

from __future__ import annotations

import os
from pathlib import Path

from ninep.disk import PositionedFile

PAGE = 4096


class DatabaseFiles:
    """Of one database that is open. Methods raise OSError; any thread may call them.

    Attributes:
        wal: the write-ahead log.
        index: SQLite's index of it.
    """

    def __init__(self, path: Path) -> None:
        """To be closed after the database."""
        self._main = PositionedFile.open(path, os.O_RDWR)
        try:
            self.wal = PositionedFile.open(path.with_name(path.name + "-wal"), os.O_RDWR | os.O_CREAT)
            try:
                self.index = PositionedFile.open(path.with_name(path.name + "-shm"), os.O_RDWR | os.O_CREAT)
            except BaseException:
                self.wal.close()
                raise
        except BaseException:
            self._main.close()
            raise

    def sync(self) -> None:
        """Makes durable what has been committed.

        The write-ahead log has checksums, so once it is on the disk every transaction in it will be found.
        """
        self.wal.sync()
        self._main.sync()

    def first_page(self) -> bytes:
        """The first page of the database, as it is without the write-ahead log."""
        return self._main.read(PAGE, 0)

    def close(self) -> None:
        """Releases them."""
        for file in (self.index, self.wal, self._main):
            file.close()
