"""Rows of the database that a group of changes writes, closes and deletes. All have absolute values: doing it again is
the same as doing it once. Their checksums are made when they are stored.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from fossil.metadata.tables import ALIVE, EXTENT, NAME, NODE, SPREAD, Table


# An update in place costs half of what INSERT OR REPLACE does.
def _put(table: Table, keys: str) -> str:
    columns = table.columns.split(", ")
    values = ", ".join(f"{column}=excluded.{column}" for column in [*columns, "sum"] if column not in keys.split(", "))
    return (
        f"INSERT INTO {table.name} ({table.columns}, sum) VALUES ({', '.join('?' * (len(columns) + 1))}) "
        f"ON CONFLICT ({keys}) DO UPDATE SET {values}, died={ALIVE}"
    )


def _close(table: Table, keys: str) -> str:
    """What closes a row that lives. Its checksum, which it keeps if it was wrong, has the epoch added."""
    where = " AND ".join(f"{key}=?{number}" for number, key in enumerate(keys.split(", "), 2))
    return f"UPDATE {table.name} SET died=?1, sum=sum+(?1+1)*{SPREAD} WHERE {where} AND died={ALIVE}"


Row = tuple[Any, ...]


class Rows(NamedTuple):
    """What one group of changes does, in the order in which it is done.

    Attributes:
        nodes_closed: (died, path, born) of rows that a snapshot may still need.
        nodes_deleted: (path, born).
        nodes: the columns of ``NODE``.
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
        for (statement, table), rows in zip(_STATEMENTS, self, strict=True):
            if rows:
                database.executemany(statement, rows if table is None else table.summed(rows))


class Rest:
    """Rows that are stored bit by bit, within one transaction."""

    def __init__(self, rows: Rows) -> None:
        self._left = [
            (statement, table, part) for (statement, table), part in zip(_STATEMENTS, rows, strict=True) if part
        ]
        self._left.reverse()

    def __bool__(self) -> bool:
        """Whether there are any left."""
        return bool(self._left)

    def store(self, database: sqlite3.Connection, most: int) -> None:
        """Stores at most so many of them. Raises sqlite3.Error."""
        left = self._left
        while left and most > 0:
            statement, table, part = left.pop()
            if len(part) > most:
                left.append((statement, table, part[most:]))
                part = part[:most]
            database.executemany(statement, part if table is None else table.summed(part))
            most -= len(part)

    def store_all(self, database: sqlite3.Connection) -> None:
        """Stores all of them. Raises sqlite3.Error."""
        self.store(database, sys.maxsize)


_STATEMENTS: tuple[tuple[str, Table | None], ...] = (
    (_close(NODE, "path, born"), None),
    ("DELETE FROM node WHERE path=? AND born=?", None),
    (_put(NODE, "path, born"), NODE),
    (_close(NAME, "parent, name, born"), None),
    ("DELETE FROM name WHERE parent=? AND name=? AND born=?", None),
    (_put(NAME, "parent, name, born"), NAME),
    (_close(EXTENT, "path, start, born"), None),
    ("DELETE FROM extent WHERE path=? AND start=? AND born=?", None),
    (_put(EXTENT, "path, start, born"), EXTENT),
)
"""What is done with each list of ``Rows``, and the table by which its rows are summed."""
