"""Changes of the live tree that are in memory and not yet in the database."""

from __future__ import annotations

import sqlite3
from typing import Any

from fossil.extents import Extent
from fossil.node import COLUMNS, Node

PLACES = ", ".join("?" * 13)


class Pending:
    """What the next transaction writes.

    Attributes:
        nodes: files that changed, by path.
        names: names that are new in this epoch, by directory and name; None where one is gone again.
        names_closed: (epoch, directory, name, born) of older names that are gone.
        extents: extents that are new in this epoch, by path and start; None where one is gone again.
        extents_closed: (epoch, path, start, born) of older extents that are gone.
    """

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}
        self.names: dict[tuple[int, str], int | None] = {}
        self.names_closed: list[tuple[int, int, str, int]] = []
        self.extents: dict[tuple[int, int], Extent | None] = {}
        self.extents_closed: list[tuple[int, int, int, int]] = []

    def write(self, database: sqlite3.Connection, epoch: int, *, next_path: int, tail: int) -> None:
        """Writes all of it as one transaction and forgets it.

        Raises:
            sqlite3.Error: nothing was written; what was pending is not to be trusted any more.
        """
        try:
            database.execute("BEGIN IMMEDIATE")
            self._write_nodes(database, epoch)
            self._write_names(database, epoch)
            self._write_extents(database, epoch)
            database.executemany(
                "INSERT OR REPLACE INTO setting VALUES (?, ?)",
                (("epoch", epoch), ("next_path", next_path), ("tail", tail)),
            )
            database.execute("COMMIT")
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        self.nodes = {}

    def _write_nodes(self, database: sqlite3.Connection, epoch: int) -> None:
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
                    node.born = epoch
                put.append(node.row())
        if closed:
            database.executemany("UPDATE node SET died=? WHERE path=? AND born=?", closed)
        if deleted:
            database.executemany("DELETE FROM node WHERE path=? AND born=?", deleted)
        database.executemany(f"INSERT OR REPLACE INTO node ({COLUMNS}) VALUES ({PLACES})", put)

    def _write_names(self, database: sqlite3.Connection, epoch: int) -> None:
        run = database.executemany
        if self.names_closed:
            run("UPDATE name SET died=? WHERE parent=? AND name=? AND born=?", self.names_closed)
            self.names_closed = []
        if self.names:
            gone = [(parent, name, epoch) for (parent, name), child in self.names.items() if child is None]
            if gone:
                run("DELETE FROM name WHERE parent=? AND name=? AND born=?", gone)
            put = [(parent, name, epoch, child) for (parent, name), child in self.names.items() if child is not None]
            run("INSERT OR REPLACE INTO name (parent, name, born, child) VALUES (?, ?, ?, ?)", put)
            self.names = {}

    def _write_extents(self, database: sqlite3.Connection, epoch: int) -> None:
        run = database.executemany
        if self.extents_closed:
            run("UPDATE extent SET died=? WHERE path=? AND start=? AND born=?", self.extents_closed)
            self.extents_closed = []
        if self.extents:
            gone = [(path, start, epoch) for (path, start), extent in self.extents.items() if extent is None]
            if gone:
                run("DELETE FROM extent WHERE path=? AND start=? AND born=?", gone)
            put = [
                (path, start, epoch, extent.length, extent.place, extent.skip, extent.stored, extent.digest)
                for (path, start), extent in self.extents.items()
                if extent is not None
            ]
            run(
                "INSERT OR REPLACE INTO extent (path, start, born, length, place, skip, stored, digest) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                put,
            )
            self.extents = {}
