"""Upgrades a database of an older format, its redo log included, in one transaction a format.

Every format before the fifth had rows without checksums and times in seconds. What they say is taken as it is.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from fossil.metadata import redo
from fossil.metadata.tables import ALIVE, ALL, INDEXES, TABLES

NEWEST = 5
"""The format that this makes."""

_ARCHIVES = """
CREATE TABLE archived (
    path INTEGER NOT NULL, changed INTEGER NOT NULL, entries BLOB NOT NULL, PRIMARY KEY (path, changed)) WITHOUT ROWID;
CREATE TABLE source (id INTEGER PRIMARY KEY, entry BLOB NOT NULL UNIQUE);
CREATE TABLE fetched (
    source INTEGER NOT NULL, number INTEGER NOT NULL, place INTEGER NOT NULL, stored INTEGER NOT NULL,
    digest BLOB NOT NULL, PRIMARY KEY (source, number)) WITHOUT ROWID;
CREATE UNIQUE INDEX fetched_place ON fetched (place);
CREATE TABLE unlisted (
    path INTEGER NOT NULL, born INTEGER NOT NULL, died INTEGER NOT NULL, entries BLOB NOT NULL,
    PRIMARY KEY (path, born)) WITHOUT ROWID;
CREATE INDEX unlisted_died ON unlisted (died);
"""
_STEPS = {
    1: f"""
ALTER TABLE archived RENAME TO older;
{_ARCHIVES}
INSERT INTO archived SELECT path, changed, entries FROM older;
DROP TABLE older;
""",
    2: "",
    3: """
ALTER TABLE snapshot ADD COLUMN shown INTEGER NOT NULL DEFAULT 0;
ALTER TABLE snapshot ADD COLUMN top INTEGER NOT NULL DEFAULT 2;
UPDATE snapshot SET shown=epoch;
""",
}

_OLD_NODE = "path, born, parent, name, version, mode, atime, mtime, length, uid, gid, muid, changed"
_OLD_REDO = (
    "UPDATE node SET died=? WHERE path=? AND born=?",
    "DELETE FROM node WHERE path=? AND born=?",
    f"INSERT OR REPLACE INTO node ({_OLD_NODE}) VALUES ({', '.join('?' * 13)})",
    "UPDATE name SET died=? WHERE parent=? AND name=? AND born=?",
    "DELETE FROM name WHERE parent=? AND name=? AND born=?",
    "INSERT OR REPLACE INTO name (parent, name, born, child) VALUES (?, ?, ?, ?)",
    "UPDATE extent SET died=? WHERE path=? AND start=? AND born=?",
    "DELETE FROM extent WHERE path=? AND start=? AND born=?",
    "INSERT OR REPLACE INTO extent (path, start, born, length, place, skip, stored, digest) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
)
"""What the nine lists of a group in the redo log of the fourth format did."""

_DIRECTORY = 0x80000000
# What a row has does not change while it lives, so that any of its epochs tells it.
_HOLDS = f"""
CASE WHEN o.mode & {_DIRECTORY} = 0
    THEN (SELECT coalesce(sum(e.length), 0) FROM old_extent e WHERE e.path=o.path AND e.born<=o.born AND e.died>o.born)
    WHEN EXISTS (SELECT 1 FROM old_unlisted u WHERE u.path=o.path AND u.born<=o.born AND u.died>o.born) THEN -1
    ELSE (SELECT count(*) FROM old_name l WHERE l.parent=o.path AND l.born<=o.born AND l.died>o.born) END
"""
_VALUES = {
    "node": f"path, born, parent, name, version, mode, atime * 1000000000, mtime * 1000000000, mtime * 1000000000, "
    f"length, {_HOLDS}, uid, gid, muid, changed, NULL",
}


def upgrade(database: sqlite3.Connection, folder: Path, found: int, boot: str) -> None:
    """Brings a database of format ``found``, from 1 to 4, in ``folder`` to the newest one.

    Raises:
        sqlite3.Error: it stays as it is.
    """
    while found in _STEPS:
        database.executescript(f"BEGIN;{_STEPS[found]}PRAGMA user_version={found + 1};COMMIT;")
        found += 1
    run = database.execute
    # Tables are renamed, and what refers to them must not follow.
    run("PRAGMA legacy_alter_table=1")
    run("BEGIN IMMEDIATE")
    try:
        _redo(database, folder / "redo", boot)
        for (name,) in run("SELECT name FROM sqlite_master WHERE type='index' AND sql IS NOT NULL").fetchall():
            run(f"DROP INDEX {name}")
        run("CREATE TABLE IF NOT EXISTS venti (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
        for table in ALL:
            run(f"ALTER TABLE {table.name} RENAME TO old_{table.name}")
        for statement in TABLES.split(";"):
            run(statement)
        for table in ALL:
            names = table.columns.split(", ")
            values = _VALUES.get(table.name, ", ".join(names))
            rows = run(f"SELECT {values}{', died' if table.dies else ''} FROM old_{table.name} AS o")
            width = table.width
            database.executemany(
                table.insert, (table.row(row[:width], row[width] if table.dies else ALIVE) for row in rows)
            )
        (count,) = run("SELECT count(*) FROM snapshot").fetchone()
        settings = next(each for each in ALL if each.name == "setting")
        if run("SELECT 1 FROM setting WHERE name='epoch'").fetchone() is not None:
            run(settings.insert, settings.row(("snapshots", count)))
        for table in ALL:
            run(f"DROP TABLE old_{table.name}")
        for statement in INDEXES.split(";"):
            run(statement)
        run(f"PRAGMA user_version={NEWEST}")
        run("COMMIT")
    except BaseException:
        if database.in_transaction:
            run("ROLLBACK")
        raise
    finally:
        run("PRAGMA legacy_alter_table=0")


def _redo(database: sqlite3.Connection, path: Path, boot: str) -> None:
    """Redoes what the redo log of the older program has."""
    settings = dict(database.execute("SELECT name, value FROM setting WHERE name IN ('redo', 'next_path')").fetchall())
    generation, next_path = settings.get("redo", 0), settings.get("next_path", 0)
    try:
        data = path.read_bytes() if generation else b""
    except FileNotFoundError:
        return
    done = False
    while found := list(redo.groups(data, generation, boot, magic=redo.OLDER)):
        for lists, next_later in found:
            for statement, rows in zip(_OLD_REDO, lists, strict=True):
                database.executemany(statement, rows)
            next_path = max(next_path, next_later)
        generation, done = generation + 1, True
    if done:
        database.executemany(
            "INSERT OR REPLACE INTO setting VALUES (?, ?)", (("redo", generation), ("next_path", next_path))
        )
