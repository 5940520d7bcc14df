"""The database: what is where since when. Described in ``docs/reference/fossil-store.md``."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fossil.errors import DamagedData

FORMAT = 4
ALIVE = 1 << 62
"""The epoch of death of what lives."""

TABLES = f"""
CREATE TABLE setting (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE node (
    path INTEGER NOT NULL, born INTEGER NOT NULL, died INTEGER NOT NULL DEFAULT {ALIVE},
    parent INTEGER NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, mode INTEGER NOT NULL,
    atime INTEGER NOT NULL, mtime INTEGER NOT NULL, length INTEGER NOT NULL,
    uid TEXT NOT NULL, gid TEXT NOT NULL, muid TEXT NOT NULL, changed INTEGER NOT NULL,
    PRIMARY KEY (path, born)) WITHOUT ROWID;
CREATE TABLE name (
    parent INTEGER NOT NULL, name TEXT NOT NULL, born INTEGER NOT NULL, died INTEGER NOT NULL DEFAULT {ALIVE},
    child INTEGER NOT NULL, PRIMARY KEY (parent, name, born)) WITHOUT ROWID;
CREATE TABLE extent (
    path INTEGER NOT NULL, start INTEGER NOT NULL, born INTEGER NOT NULL, died INTEGER NOT NULL DEFAULT {ALIVE},
    length INTEGER NOT NULL, place INTEGER NOT NULL, skip INTEGER NOT NULL, stored INTEGER NOT NULL,
    digest BLOB NOT NULL, PRIMARY KEY (path, start, born)) WITHOUT ROWID;
CREATE INDEX extent_place ON extent (place);
CREATE INDEX node_died ON node (died) WHERE died < {ALIVE};
CREATE INDEX name_died ON name (died) WHERE died < {ALIVE};
CREATE INDEX extent_died ON extent (died) WHERE died < {ALIVE};
CREATE TABLE snapshot (
    epoch INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, score TEXT,
    shown INTEGER NOT NULL DEFAULT 0, top INTEGER NOT NULL DEFAULT 2);
CREATE UNIQUE INDEX snapshot_name ON snapshot (kind, name);
"""

ARCHIVES = """
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

TRUST = "CREATE TABLE IF NOT EXISTS venti (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID"
"""What is known of the venti that answered last. Older programs do without it."""

UPGRADES = {
    1: f"""
ALTER TABLE archived RENAME TO older;
{ARCHIVES}
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
"""What brings a database of an older format to the next one."""


class DamagedDatabase(DamagedData, sqlite3.DatabaseError):
    """SQLite cannot make sense of a page."""


class Database(sqlite3.Connection):
    """A connection that tells what is wrong with which file.

    Attributes:
        path: of the file.
    """

    path: Path

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Raises ``DamagedDatabase``, and sqlite3.Error for what is no damage."""
        return self.cursor(_Cursor).execute(sql, parameters)

    def damaged(self, error: sqlite3.DatabaseError) -> sqlite3.DatabaseError:
        """What to raise for an error."""
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return error
        advice = "restore it from a copy, or begin anew from an archive with 'format --from'"
        damage = DamagedDatabase(f"{self.path} is damaged: {error}; {advice}")
        damage.sqlite_errorcode = error.sqlite_errorcode
        return damage


class _Cursor(sqlite3.Cursor):
    connection: Database

    def execute(self, sql: str, parameters: Any = (), /) -> _Cursor:
        try:
            super().execute(sql, parameters)
        except sqlite3.DatabaseError as error:
            raise self.connection.damaged(error) from error
        return self

    def fetchone(self) -> Any:
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as error:
            raise self.connection.damaged(error) from error

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except sqlite3.DatabaseError as error:
            raise self.connection.damaged(error) from error


def sync_database(path: Path) -> None:
    """Makes what has been committed durable; in any thread. Raises OSError.

    The write-ahead log has checksums, so once it is on the disk every transaction in it will be found.
    """
    for file in (path.with_name(path.name + "-wal"), path):
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


def checkpoint(path: Path) -> None:
    """Moves the write-ahead log into the database, as far as no reader looks at older pages; in any thread.

    Raises sqlite3.Error.
    """
    database = sqlite3.connect(path, isolation_level=None)
    try:
        database.execute("PRAGMA synchronous=FULL")
        database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    finally:
        database.close()


def open_reader(path: Path) -> sqlite3.Connection:
    """A second connection to an open database, for looking at one state of it while it changes; in any thread."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Database)
    database.path = path
    database.execute("PRAGMA query_only=1")
    return database


def faults(path: Path, most: int) -> list[str]:
    """What is wrong with the pages and indexes of an open database, as SQLite says it; in any thread."""
    reader = open_reader(path)
    try:
        said = [str(row[0]) for row in reader.execute(f"PRAGMA integrity_check({most})").fetchall()]
    except sqlite3.DatabaseError as error:
        said = [str(error)]
    finally:
        reader.close()
    return [line for text in said for line in text.splitlines() if line != "ok"][:most]


def end_of_data(database: sqlite3.Connection) -> int:
    """Where the last piece of the data log ends that the database speaks of."""
    last = (
        database.execute(f"SELECT place + stored FROM {table} WHERE place>=0 ORDER BY place DESC LIMIT 1").fetchone()
        for table in ("extent", "fetched")
    )
    return max((row[0] for row in last if row is not None), default=0)


@contextmanager
def pinned(reader: sqlite3.Connection) -> Iterator[None]:
    """Keeps ``checkpoint`` from moving what is committed from now on. Entered between two transactions."""
    reader.execute("BEGIN")
    try:
        reader.execute("SELECT count(*) FROM setting").fetchone()
        yield
    finally:
        reader.execute("ROLLBACK")


def open_database(path: Path, *, durable: bool) -> sqlite3.Connection:
    """Opens or makes the database; statements commit by themselves unless a transaction was begun.

    Raises:
        DamagedData: the file is something else, or of a later format.
    """
    fresh = not path.exists()
    database = sqlite3.connect(
        path, isolation_level=None, cached_statements=256, check_same_thread=False, factory=Database
    )
    database.path = path
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        database.execute("PRAGMA wal_autocheckpoint=0" if not durable else "PRAGMA wal_autocheckpoint=4000")
        database.execute("PRAGMA cache_size=-65536")
        database.execute("PRAGMA temp_store=MEMORY")
        if fresh or not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            database.executescript(f"BEGIN;{TABLES}{ARCHIVES}PRAGMA user_version={FORMAT};COMMIT;")
        database.execute(TRUST)
        found = database.execute("PRAGMA user_version").fetchone()[0]
        while found in UPGRADES:
            database.executescript(f"BEGIN;{UPGRADES[found]}PRAGMA user_version={found + 1};COMMIT;")
            found += 1
        if found != FORMAT:
            raise DamagedData(f"{path} has format {found}, this program knows {FORMAT}: use a newer program")
    except DamagedDatabase:
        database.close()
        raise
    except sqlite3.DatabaseError as error:
        database.close()
        raise DamagedData(f"{path} cannot be used: {error}; restore it from a copy") from error
    except BaseException:
        database.close()
        raise
    return database
