"""Rows of the database that a group of changes writes, closes and deletes. All have absolute values: doing it again is
the same as doing it once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from fossil.node import COLUMNS
from fossil.schema import ALIVE

PLACES = ", ".join("?" * 13)

_KEYS = ("path", "born")
# An update in place costs half of what INSERT OR REPLACE does.
PUT_NODE = f"INSERT INTO node ({COLUMNS}) VALUES ({PLACES}) ON CONFLICT (path, born) DO UPDATE SET " + ", ".join(
    f"{column}=excluded.{column}" for column in COLUMNS.split(", ") if column not in _KEYS
)
PUT_NAME = (
    "INSERT INTO name (parent, name, born, child) VALUES (?, ?, ?, ?) "
    f"ON CONFLICT (parent, name, born) DO UPDATE SET child=excluded.child, died={ALIVE}"
)
PUT_EXTENT = (
    "INSERT INTO extent (path, start, born, length, place, skip, stored, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (path, start, born) DO UPDATE SET length=excluded.length, place=excluded.place, skip=excluded.skip, "
    f"stored=excluded.stored, digest=excluded.digest, died={ALIVE}"
)

Row = tuple[Any, ...]


class Rows(NamedTuple):
    """What one group of changes does, in the order in which it is done.

    Attributes:
        nodes_closed: (died, path, born) of rows that a snapshot may still need.
        nodes_deleted: (path, born).
        nodes: ``COLUMNS``.
        names_closed: (died, parent, name, born).
        names_deleted: (parent, name, born).
        names: (parent, name, born, child).
        extents_closed: (died, path, start, born).
        extents_deleted: (path, start, born).
        extents: (path, start, born, length, place, skip, stored, digest).
    """

    nodes_closed: Sequence[Row]
    nodes_deleted: Sequence[Row]
    nodes: Sequence[Row]
    names_closed: Sequence[Row]
    names_deleted: Sequence[Row]
    names: Sequence[Row]
    extents_closed: Sequence[Row]
    extents_deleted: Sequence[Row]
    extents: Sequence[Row]

    def store(self, database: sqlite3.Connection) -> None:
        """Does it, within a transaction. Raises sqlite3.Error."""
        for statement, rows in zip(_STATEMENTS, self, strict=True):
            if rows:
                database.executemany(statement, rows)


class Rest:
    """Rows that are stored bit by bit, within one transaction."""

    def __init__(self, rows: Rows) -> None:
        self._left = [(statement, part) for statement, part in zip(_STATEMENTS, rows, strict=True) if part]
        self._left.reverse()

    def __bool__(self) -> bool:
        """Whether there are any left."""
        return bool(self._left)

    def store(self, database: sqlite3.Connection, most: int) -> None:
        """Stores at most so many of them. Raises sqlite3.Error."""
        left = self._left
        while left and most > 0:
            statement, part = left.pop()
            if len(part) > most:
                left.append((statement, part[most:]))
                part = part[:most]
            database.executemany(statement, part)
            most -= len(part)

    def store_all(self, database: sqlite3.Connection) -> None:
        """Stores all of them. Raises sqlite3.Error."""
        while self._left:
            database.executemany(*self._left.pop())


_STATEMENTS = (
    "UPDATE node SET died=? WHERE path=? AND born=?",
    "DELETE FROM node WHERE path=? AND born=?",
    PUT_NODE,
    "UPDATE name SET died=? WHERE parent=? AND name=? AND born=?",
    "DELETE FROM name WHERE parent=? AND name=? AND born=?",
    PUT_NAME,
    "UPDATE extent SET died=? WHERE path=? AND start=? AND born=?",
    "DELETE FROM extent WHERE path=? AND start=? AND born=?",
    PUT_EXTENT,
)
