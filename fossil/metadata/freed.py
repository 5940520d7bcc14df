"""Pieces of the data log that no row refers to: freed once that is durable.

A piece may still be shared with another file or shown by a snapshot, and is then not given back.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from fossil.data.datalog import DataLog
from fossil.metadata.schema import Database
from fossil.metadata.tables import FETCHED

Piece = tuple[int, int]
"""Where a piece is, and how many bytes it has. A negative place is a source: a file that is in venti alone."""


class Keeper(Protocol):
    """What the file system is to who gives back its room."""

    log: DataLog
    database: Database

    def transaction(self) -> AbstractContextManager[Database]:
        """A transaction on the database. Raises ``FileSystemFull``, ``WritesStopped``."""


class Freed:
    """Of one file system.

    Attributes:
        pieces: what has been freed since the last sync began.
        settling: what had been freed before it began, and may be given back when it has ended.
    """

    def __init__(self, system: Keeper) -> None:
        self._system = system
        self.pieces: list[Piece] = []
        self.settling: list[Piece] = []

    def add(self, pieces: Iterable[Piece]) -> None:
        """Pieces of which a row was deleted, in a transaction that has been or will be committed."""
        self.pieces += pieces

    def settle(self) -> None:
        """A sync begins."""
        self.settling += self.pieces
        self.pieces = []

    def release(self, most: int | None = None) -> bool:
        """The sync has ended: gives back the room of at most so many pieces. Whether there are more.

        Those that somebody is reading are tried again after the next sync.

        Raises:
            FileSystemFull, WritesStopped: rows of the archives could not be deleted; it is tried again, too.
        """
        now, self.settling = self.settling[:most], self.settling[len(self.settling[:most]) :]
        system, gone = self._system, []
        run = system.database.execute
        try:
            while now:
                place, _ = piece = now[-1]
                if system.log.is_held(place):
                    self.pieces.append(piece)
                elif place < 0:
                    self.pieces += self._release_source(-place)
                elif run("SELECT 1 FROM extent WHERE place=? LIMIT 1", (place,)).fetchone() is None:
                    gone.append(piece)
                now.pop()
        finally:
            self.pieces += now
            system.log.free_all(gone)
            system.log.trim()
        return bool(self.settling)

    def _release_source(self, source: int) -> list[Piece]:
        """What was fetched of a source that no file refers to any more; it is to be given back next time."""
        run = self._system.database.execute
        if run("SELECT 1 FROM extent WHERE place=? LIMIT 1", (-source,)).fetchone() is not None:
            return []
        rows = self._system.database.sound_rows(FETCHED, "WHERE source=?", (source,))
        fetched = [(place, stored) for _, _, place, stored, *_ in rows]
        with self._system.transaction():
            run("DELETE FROM fetched WHERE source=?", (source,))
            run("DELETE FROM source WHERE id=?", (source,))
        return fetched
