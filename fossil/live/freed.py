"""Pieces of the data log that no row refers to: freed once that is durable.

A piece may still be shared with another file or shown by a snapshot, and is then not given back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from fossil.data.datalog import DataLog
from fossil.metadata import lookup
from fossil.metadata.schema import Database

Piece = tuple[int, int]
"""Where a piece is, and how many bytes it has. A negative place is a source: a file that is in venti alone."""


class Freed:
    """Of one file system.

    Attributes:
        pieces: what has been freed since the last sync began.
        settling: what had been freed before it began, and may be given back when it has ended.
    """

    def __init__(
        self, log: DataLog, database: Database, transaction: Callable[[], AbstractContextManager[Database]]
    ) -> None:
        """``transaction`` begins one apart from the changes of files. Raises ``FileSystemFull``, ``WritesStopped``."""
        self._log = log
        self._database = database
        self._transaction = transaction
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
        gone = []
        database = self._database
        try:
            while now:
                place, _ = piece = now[-1]
                if self._log.is_held(place):
                    self.pieces.append(piece)
                elif place < 0:
                    self.pieces += self._release_source(-place)
                elif not lookup.is_referred_to(database, place):
                    gone.append(piece)
                now.pop()
        finally:
            self.pieces += now
            self._log.free_all(gone)
            self._log.trim()
        return bool(self.settling)

    def _release_source(self, source: int) -> list[Piece]:
        """What was fetched of a source that no file refers to any more; it is to be given back next time."""
        if lookup.is_referred_to(self._database, -source):
            return []
        fetched = lookup.fetched_of(self._database, source)
        with self._transaction() as database:
            lookup.forget_source(database, source)
        return fetched
