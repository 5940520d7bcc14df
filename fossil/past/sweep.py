"""Deletes the rows that only forgotten snapshots show, a few at a time.

Of a forgotten snapshot ``s`` between the living ``p`` and ``n``, those are the rows that were born after ``p`` and
died not after ``n``. All are in the index of the dead between ``s`` and ``n``, so the work follows what changed then.
While no living snapshot follows, rows that ``s`` shows still die: it is swept again until one does.

A living snapshot needs two epochs: its own and the one that it shows. What another one shows is not swept before that
is forgotten, too.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from fossil.live.filesystem import FileSystem
from fossil.metadata.tables import ALIVE, EXTENT, NAME, NODE, UNLISTED, Table

log = logging.getLogger(__name__)

FORGOTTEN = "forgotten"
"""The kind of a snapshot that can no longer be looked at and whose rows have not all been taken away."""
BATCH = 250
"""Rows looked at in one step."""

_KEYS = {EXTENT: "path, start, born", NAME: "parent, name, born", NODE: "path, born", UNLISTED: "path, born"}


class _Range(NamedTuple):
    """What is under way: a forgotten snapshot, its living neighbours, and how far it has come."""

    epoch: int
    before: int
    after: int
    last: bool
    tables: tuple[Table, ...]
    place: tuple[Any, ...]


class Sweep:
    """Of one file system."""

    def __init__(self, system: FileSystem) -> None:
        self._system = system
        self._under_way: _Range | None = None
        self._done_at: dict[int, int] = {}

    def some(self) -> bool:
        """One step. Returns whether there may be more to do; False too when only time brings more."""
        if self._under_way is None:
            self._under_way = self._next()
            if self._under_way is None:
                self._done_at.clear()
                return False
        self._step(self._under_way)
        return True

    def _next(self) -> _Range | None:
        run = self._system.database.execute
        if run("SELECT 1 FROM snapshot WHERE kind=?", (FORGOTTEN,)).fetchone() is None:
            return None
        if not self._system.settings.snapshots_whole():
            # What a snapshot shows that is lost from the table would be taken for what nobody shows.
            log.error("the table of snapshots is damaged: nothing of forgotten snapshots is taken away")
            return None
        forgotten = run(
            "SELECT epoch FROM snapshot WHERE kind=? AND epoch NOT IN (SELECT shown FROM snapshot WHERE kind<>?) "
            "ORDER BY epoch",
            (FORGOTTEN, FORGOTTEN),
        )
        for (epoch,) in forgotten.fetchall():
            if epoch in self._done_at:
                continue
            before, after = (
                run(
                    f"SELECT {which}(needed) FROM ("
                    f"SELECT {which}(epoch) AS needed FROM snapshot WHERE kind<>? AND epoch{side}? UNION ALL "
                    f"SELECT {which}(shown) FROM snapshot WHERE kind<>? AND shown{side}?)",
                    (FORGOTTEN, epoch, FORGOTTEN, epoch),
                ).fetchone()[0]
                for which, side in (("max", "<"), ("min", ">"))
            )
            last = after is None
            return _Range(epoch, before or 0, self._system.epoch if last else after, last, tuple(_KEYS), ())
        return None

    def _step(self, under_way: _Range) -> None:
        epoch, before, after, last, tables, place = under_way
        table = tables[0]
        keys = _KEYS[table]
        count = keys.count(",") + 2
        beyond = f"AND (died, {keys}) > ({', '.join('?' * count)})" if place else ""
        more = ", place, stored" if table is EXTENT else ""
        with self._system.transaction() as database:
            rows = database.execute(
                f"SELECT died, {keys}{more}, {table.selected} FROM {table.name} "
                f"WHERE died>? AND died<=? AND died<{ALIVE} {beyond} ORDER BY died, {keys} LIMIT {BATCH}",
                (epoch, after, *place),
            ).fetchall()
            first = count + 2 * bool(more)
            # A row that is damaged may be one that somebody sees.
            gone = [row[:first] for row in rows if row[count - 1] > before and table.verified(row[first:])]
            where = " AND ".join(f"{key}=?" for key in keys.split(", "))
            database.executemany(f"DELETE FROM {table.name} WHERE {where}", [row[1:count] for row in gone])
            if len(rows) < BATCH and len(tables) == 1 and not last:
                database.execute("DELETE FROM snapshot WHERE epoch=?", (epoch,))
                self._system.settings.count_snapshots()
        if more:
            self._system.freed.add(row[count:] for row in gone)
        if len(rows) == BATCH:
            self._under_way = under_way._replace(place=rows[-1][:count])
        elif len(tables) > 1:
            self._under_way = under_way._replace(tables=tables[1:], place=())
        else:
            self._under_way = None
            self._done_at[epoch] = after
