"""The settings in the database. The essential ones are derived from other tables if they are lost."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from fossil.metadata.schema import DamagedDatabase, DamagedRow, Database
from fossil.metadata.tables import ALIVE, SETTING, SNAPSHOT, Table

log = logging.getLogger(__name__)

EPOCH = "epoch"
NEXT_PATH = "next_path"
REDO = "redo"
REDO_COPY = "redo again"
"""The generation of the redo log a second time: nothing else tells it."""
SNAPSHOTS = "snapshots"
"""How many rows the table of snapshots has: one that is lost would let its files be swept away."""
SAME_PATHS = "same paths"
LEAP = 1 << 20
"""Paths that are left out where it is not known which was used last."""


class Settings:
    """Of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __contains__(self, name: str) -> bool:
        return self._database.row(SETTING, "WHERE name=?", (name,)) is not None

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a setting. Raises ``DamagedRow``."""
        row = self._database.row(SETTING, "WHERE name=?", (name,))
        return default if row is None else row[1]

    def all(self) -> dict[str, Any]:
        """All of them that are not damaged."""
        return {name: value for name, value, _ in self._database.sound_rows(SETTING, "")}

    def set(self, name: str, value: int) -> None:
        """Changes one; within a transaction. Raises sqlite3.Error."""
        self._database.put(SETTING, (name, value))

    def remove(self, name: str) -> None:
        """Takes one away, if it is there; within a transaction. Raises sqlite3.Error."""
        self._database.execute("DELETE FROM setting WHERE name=?", (name,))

    def mend(self) -> None:
        """Brings back what is damaged, of the settings and of the table of snapshots, as far as it can be told.

        Raises:
            sqlite3.Error
        """
        lost = [*self._mended(SETTING, "name"), *self._mended(SNAPSHOT, "epoch")]
        run = self._database.execute
        if EPOCH in self:
            if not lost and NEXT_PATH in self:
                return
        elif run("SELECT 1 FROM node LIMIT 1").fetchone() is None:
            # A database that is new.
            return
        run("BEGIN IMMEDIATE")
        for key in (key for table, key in lost if table is SETTING):
            log.error("the setting %r is damaged and is derived from what else there is, or its default", key)
            self.remove(key)
            if key == SAME_PATHS:
                self.set(SAME_PATHS, 0)
        if EPOCH not in self:
            self.set(EPOCH, self._newest_epoch())
        if NEXT_PATH not in self:
            (path,) = run("SELECT max(path) FROM node").fetchone()
            self.set(NEXT_PATH, path + LEAP)
        if REDO not in self and REDO_COPY in self:
            self.set(REDO, self.get(REDO_COPY))
        run("COMMIT")

    def _newest_epoch(self) -> int:
        """An epoch in which nothing was born and nothing has died."""
        run = self._database.execute
        asked = ["SELECT coalesce(max(epoch), 0) FROM snapshot"]
        for table in ("node", "name", "extent"):
            asked.append(f"SELECT coalesce(max(born), 0) FROM {table} WHERE born < {ALIVE}")
            asked.append(f"SELECT coalesce(max(died), 0) FROM {table} WHERE died < {ALIVE}")
        found = [0]
        for sql in asked:
            with suppress(DamagedDatabase):
                found += run(sql).fetchone()
        return max(found) + 1

    def _mended(self, table: Table, key: str) -> list[tuple[Table, Any]]:
        """Writes rows anew whose damage their checksums can tell; the keys of the others."""
        lost = []
        try:
            rows = self._database.execute(f"SELECT {table.selected} FROM {table.name}").fetchall()
        except DamagedDatabase as error:
            log.error("%s", error)
            return [(table, None)]
        for row in rows:
            if table.verified(row):
                continue
            better = table.mended(row)
            if better is None:
                lost.append((table, row[0]))
                continue
            log.warning("a row of the table %s was damaged and has been brought back: %s", table.name, better[0])
            self._database.execute(f"DELETE FROM {table.name} WHERE {key}=?", (row[0],))
            self._database.put(table, better[: table.width])
        return lost

    def count_snapshots(self) -> None:
        """Notes how many rows the table of snapshots has; within a transaction that changes their number."""
        self.set(SNAPSHOTS, self._database.execute("SELECT count(*) FROM snapshot").fetchone()[0])

    def snapshots_whole(self) -> bool:
        """Whether all rows of the table of snapshots are there and as they were written."""
        try:
            rows = self._database.rows(SNAPSHOT, "")
            return bool(len(rows) == self.get(SNAPSHOTS, len(rows)))
        except (DamagedRow, DamagedDatabase):
            return False
