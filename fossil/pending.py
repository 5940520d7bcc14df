"""Changes of the live tree that are in memory and not yet in the database."""

from __future__ import annotations

import sqlite3
from typing import Any

from fossil.extents import Extent
from fossil.node import COLUMNS, Node
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
RESERVED = 4096
"""Paths that are set aside at once; after a crash as many may be left out."""


class Pending:
    """What the next transaction writes.

    Attributes:
        nodes: files that changed, by path.
        names: names that are new in this epoch, by directory and name; None where one is gone again.
        names_closed: (epoch, directory, name, born) of older names that are gone.
        extents: extents that are new in this epoch, by path and start; None where one is gone again.
        extents_closed: (epoch, path, start, born) of older extents that are gone.
        reserved: paths below it may be given to files without the database being told.
    """

    def __init__(self) -> None:
        self.reserved = 0
        self.nodes: dict[int, Node] = {}
        self.names: dict[tuple[int, str], int | None] = {}
        self.names_closed: list[tuple[int, int, str, int]] = []
        self.extents: dict[tuple[int, int], Extent | None] = {}
        self.extents_closed: list[tuple[int, int, int, int]] = []

    def write(self, database: sqlite3.Connection, epoch: int, *, next_path: int) -> None:
        """Writes all of it as one transaction and forgets it. ``next_path`` is larger than any path in it.

        Raises:
            sqlite3.Error: nothing was written, and all of it is still pending.
        """
        put, closed, deleted = self._rows_of_nodes(epoch)
        run = database.executemany
        try:
            database.execute("BEGIN IMMEDIATE")
            if closed:
                run("UPDATE node SET died=? WHERE path=? AND born=?", closed)
            if deleted:
                run("DELETE FROM node WHERE path=? AND born=?", deleted)
            run(PUT_NODE, put)
            if self.names or self.names_closed:
                self._write_names(database, epoch)
            if self.extents or self.extents_closed:
                self._write_extents(database, epoch)
            if next_path > self.reserved:
                # Some are set aside, so that not every transaction writes another page for this.
                reserved = next_path + RESERVED
                run("INSERT OR REPLACE INTO setting VALUES (?, ?)", (("epoch", epoch), ("next_path", reserved)))
            else:
                reserved = self.reserved
            database.execute("COMMIT")
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        self.reserved = reserved
        for node in self.nodes.values():
            node.born = epoch
        self.nodes = {}
        self.names = {}
        self.names_closed = []
        self.extents = {}
        self.extents_closed = []

    def _rows_of_nodes(self, epoch: int) -> tuple[list[tuple[Any, ...]], list[Any], list[Any]]:
        """What to write, what to close, what to delete."""
        put: list[tuple[Any, ...]] = []
        closed: list[tuple[int, int, int]] = []
        deleted: list[tuple[int, int]] = []
        for node in self.nodes.values():
            if node.removed:
                if node.born == epoch:
                    deleted.append((node.path, epoch))
                else:
                    closed.append((epoch, node.path, node.born))
            else:
                if node.born != epoch:
                    closed.append((epoch, node.path, node.born))
                put.append(node.row(epoch))
        return put, closed, deleted

    def _write_names(self, database: sqlite3.Connection, epoch: int) -> None:
        run = database.executemany
        if self.names_closed:
            run("UPDATE name SET died=? WHERE parent=? AND name=? AND born=?", self.names_closed)
        gone = [(parent, name, epoch) for (parent, name), child in self.names.items() if child is None]
        if gone:
            run("DELETE FROM name WHERE parent=? AND name=? AND born=?", gone)
        put = [(parent, name, epoch, child) for (parent, name), child in self.names.items() if child is not None]
        run(PUT_NAME, put)

    def _write_extents(self, database: sqlite3.Connection, epoch: int) -> None:
        run = database.executemany
        if self.extents_closed:
            run("UPDATE extent SET died=? WHERE path=? AND start=? AND born=?", self.extents_closed)
        gone = [(path, start, epoch) for (path, start), extent in self.extents.items() if extent is None]
        if gone:
            run("DELETE FROM extent WHERE path=? AND start=? AND born=?", gone)
        put = [
            (path, start, epoch, extent.length, extent.place, extent.skip, extent.stored, extent.digest)
            for (path, start), extent in self.extents.items()
            if extent is not None
        ]
        run(PUT_EXTENT, put)
