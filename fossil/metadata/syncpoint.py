"""The sync point: makes everything durable that was acknowledged, on request and every few seconds.

One at a time: a note of an older mark must not come behind a newer one. Clients that ask meanwhile share the next.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import trio

from fossil.data.datalog import DataLog
from fossil.errors import WritesStopped
from fossil.metadata import settled
from fossil.metadata.schema import Database
from fossil.metadata.settled import Mark, NoteFile
from ninep.disk import is_full
from ninep.protocol.errors import FileSystemFull

log = logging.getLogger(__name__)


class Keeper(Protocol):
    """What the file system is to who makes it durable."""

    durable: bool
    log: DataLog
    database: Database

    def check(self) -> None:
        """Raises ``WritesStopped`` after a failure that nothing can be promised behind."""

    def commit(self) -> None:
        """Writes all changes to the database. Raises ``FileSystemFull``, ``WritesStopped``."""

    def stop(self, text: str) -> WritesStopped:
        """Takes no more changes. Returns what to raise for it."""


class SyncPoint:
    """Of one file system that has just been opened, and what is there is all there is."""

    def __init__(self, system: Keeper, folder: Path) -> None:
        """Raises OSError: the file of notes cannot be made."""
        self._system = system
        self._notes = NoteFile(folder)
        self._lock = trio.Lock()
        self._asked = self._done = 0

    def begin(self) -> None:
        """Makes durable what was found at the start, so that an older note says nothing about what comes now.

        Raises:
            OSError: it cannot be.
            FileSystemFull, WritesStopped: as ``mark``.
        """
        try:
            self.write(self.mark())
        except FileSystemFull:
            if self._system.durable:
                raise
            log.warning("the disk is full: what is changed is not durable before there is room")

    def mark(self) -> Mark | None:
        """Commits, and tells how far what has been committed goes; None where all of it always counts.

        Raises:
            FileSystemFull, WritesStopped: as ``FileSystem.commit`` does, and where nothing can be promised any more.
        """
        self._system.check()
        self._system.commit()
        return None if self._system.durable else settled.here(self._system.database.files)

    def write(self, mark: Mark | None) -> None:
        """Makes durable what had been committed at a mark: the data first, then what speaks of it. In any thread.

        After it, a loss of power leads back to the mark or to a later one.

        Raises:
            FileSystemFull: the mark itself could not be noted.
            OSError: nothing is promised any more; call ``stop``.
        """
        self._system.log.sync()
        self._system.database.files.sync()
        try:
            self._notes.write(mark)
        except OSError as error:
            if is_full(error):
                raise FileSystemFull from error
            raise

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """For who marks and writes itself: nobody else does meanwhile. A failure stops the file system.

        Raises:
            FileSystemFull, WritesStopped: it is not done.
        """
        async with self._lock:
            try:
                yield
            except OSError as error:
                raise self._system.stop(f"fdatasync failed: {error.strerror}") from error

    async def reach(self) -> None:
        """Returns when everything that was answered before the call is on stable storage.

        Raises:
            FileSystemFull, WritesStopped: it is not, or not for certain.
        """
        self._asked += 1
        number = self._asked
        async with self.turn():
            if self._done < number:
                covered = self._asked
                await trio.to_thread.run_sync(self.write, self.mark())
                self._done = covered

    def close(self) -> None:
        """Releases the file of notes."""
        self._notes.close()
