"""One file at one version, as far as the cache knows it."""

from __future__ import annotations

from bisect import bisect_left, insort

from cfs.disk.extents import Extents
from cfs.disk.layout import EXTENT, Version, identity
from cfs.disk.row import Row

WINDOW = 256 * EXTENT
"""How much of a file's part of the index is in memory, bytes."""
FEW = 16
"""Rows that a file which nobody uses may keep in memory."""


class StoredFile:
    """What is held of a file. Given out by ``Store.file``, given back by ``Store.release``.

    Attributes:
        tree: attach name.
        path: qid path.
        version: whose bytes these are.
        what: their identity in checksums.
        number: the file's number in the index, or None while it has no extent there.
        pin: the number of the pin that holds it, 0 if none does.
        present: the ranges that can be read, from memory or disk.
        dead: the file was dropped, or another version took its place: nothing is present and nothing can be added.
        users: how often it was given out and not given back.
        waiting: pieces in memory that are not on disk yet.
    """

    __slots__ = (
        "_begin",
        "_end",
        "_rows",
        "dead",
        "number",
        "path",
        "pin",
        "present",
        "tree",
        "users",
        "version",
        "waiting",
        "what",
    )

    def __init__(self, tree: str, path: int, version: Version, number: int | None, present: Extents) -> None:
        self.tree = tree
        self.path = path
        self.version = version
        self.what = identity(tree, path, version)
        self.number = number
        self.present = present
        self.dead = False
        self.pin = 0
        self.users = 0
        self.waiting = 0
        self._rows: list[Row] = []
        self._begin = self._end = 0

    def __repr__(self) -> str:
        return f"<StoredFile {self.tree!r} {self.path:#x} {self.version}{' dead' if self.dead else ''}>"

    def die(self) -> None:
        """Empties the file for good."""
        self.dead = True
        self.number = None
        self.present.clear()
        self.unload_rows()

    # What the index says of it, so that it need not be asked each time

    def rows(self, start: int, end: int) -> list[Row] | None:
        """The extents that a range touches, in order; None if they are not in memory."""
        if start < self._begin or end > self._end:
            return None
        rows = self._rows
        at = bisect_left(rows, (start // EXTENT * EXTENT,))
        found = []
        for row in rows[at:]:
            if row.start >= end:
                break
            if row.start + row.place.length > start:
                found.append(row)
        return found

    @staticmethod
    def window(start: int, end: int) -> tuple[int, int]:
        """For which range to load rows that a range needs."""
        return start // WINDOW * WINDOW, -(-end // WINDOW) * WINDOW

    def load_rows(self, begin: int, end: int, rows: list[Row]) -> None:
        """Keeps all rows that begin in a window, in place of others."""
        self._begin, self._end, self._rows = begin, end, rows

    def unload_rows(self) -> None:
        """They have changed, or are not needed."""
        self._begin = self._end = 0
        self._rows = []

    def rest(self) -> None:
        """Nobody uses the file for now."""
        if len(self._rows) > FEW:
            self.unload_rows()

    def entered(self, row: Row) -> None:
        """An extent was entered, or is of another age now."""
        if self._begin <= row.start < self._end:
            self.left(row.start)
            insort(self._rows, row)

    def left(self, start: int) -> None:
        """An extent was given up."""
        at = bisect_left(self._rows, (start,))
        if at < len(self._rows) and self._rows[at].start == start:
            del self._rows[at]
