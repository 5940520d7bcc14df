"""The database: opening it, and its tables in ``docs/reference/fossil-store.md``."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from errno import ENOSPC
from functools import cache
from pathlib import Path
from typing import Any

from fossil.errors import DamagedData
from fossil.metadata import head
from fossil.metadata.databasefiles import DatabaseFiles
from fossil.metadata.headroom import is_full
from fossil.metadata.tables import ALIVE, EXTENT, FETCHED, INDEXES, TABLES, Table
from fossil.metadata.upgrade import NEWEST, upgrade

log = logging.getLogger(__name__)

FORMAT = NEWEST


class DamagedDatabase(DamagedData, sqlite3.DatabaseError):
    """SQLite cannot make sense of a page."""


class OtherFormat(DamagedData):
    """A database of a format that this program does not know."""


class DamagedRow(DamagedData):
    """The checksum of a row is wrong."""

    def __init__(self, table: Table, row: tuple[Any, ...]) -> None:
        key = ", ".join(str(value) for value in row[:2])
        super().__init__(f"a row of the table {table.name} ({key}) is damaged: see what 'check' says")


class Database(sqlite3.Connection):
    """A connection that tells what is wrong with which file, and checks the rows that it reads.

    Attributes:
        path: of the file.
    """

    path: Path
    _files: DatabaseFiles | None = None

    @property
    def files(self) -> DatabaseFiles:
        """Its files, if ``open_database`` opened it."""
        assert self._files is not None
        return self._files

    def open_files(self) -> None:
        """Opens its files, until ``close``. Raises OSError."""
        self._files = DatabaseFiles(self.path)

    def close(self) -> None:
        """Closes it, and then its files."""
        super().close()
        files, self._files = self._files, None
        if files is not None:
            files.close()

    def rows(self, table: Table, rest: str, parameters: Any = ()) -> list[Any]:
        """The rows of a table as ``Table.selected`` has them; ``rest`` is what comes after FROM and the table.

        Raises:
            DamagedRow: the checksum of one is wrong.
            DamagedDatabase
        """
        found = self.execute(table.select + rest, parameters).fetchall()
        if not table.all_verified(found):
            # Among them is one that is dead, or one that is damaged.
            verified = table.verified
            for at, row in enumerate(found):
                if not verified(row):
                    found[at] = _mended(table, row)
        return found

    def row(self, table: Table, rest: str, parameters: Any = ()) -> Any:
        """The first of such rows, or None. Raises as ``rows`` does."""
        found = self.execute(table.select + rest, parameters).fetchone()
        if found is not None and not table.verified(found):
            return _mended(table, found)
        return found

    def sound(self, table: Table, rest: str, parameters: Any = ()) -> Any:
        """The first of such rows, or None, also where it is damaged: for what can be done without."""
        try:
            return self.row(table, rest, parameters)
        except DamagedRow as error:
            log.error("%s", error)
            return None

    def sound_rows(self, table: Table, rest: str, parameters: Any = ()) -> list[Any]:
        """Those of such rows that are not damaged; the others are told in the log."""
        found = []
        for row in self.execute(table.select + rest, parameters).fetchall():
            try:
                found.append(row if table.verified(row) else _mended(table, row))
            except DamagedRow as error:
                log.error("%s", error)
        return found

    def put(self, table: Table, values: tuple[Any, ...], died: int = ALIVE) -> None:
        """Writes a row, in the place of the one with its key. Raises sqlite3.Error."""
        self.execute(table.insert, table.row(values, died))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction, which is undone if what is done in it raises. Raises sqlite3.Error, ``DamagedDatabase``."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self.in_transaction:
                self.execute("ROLLBACK")
            raise

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


def _mended(table: Table, row: tuple[Any, ...]) -> Any:
    """What a row that was read has to say, if its checksum tells what it was and it was found where it belongs."""
    found = table.mended(row)
    if found is None or found[: table.key] != row[: table.key] or (table.dies and found[-2] != row[-2]):
        raise DamagedRow(table, row)
    log.warning("one byte is damaged in a row of the table %s (%s): 'check fix' repairs it", table.name, row[0])
    return found


class _Cursor(sqlite3.Cursor):
    """A cursor whose rows are fetched once: by one ``fetchone`` or one ``fetchall``."""

    connection: Database
    _asked: tuple[str, Any]

    def execute(self, sql: str, parameters: Any = (), /) -> _Cursor:
        self._asked = sql, parameters
        try:
            super().execute(sql, parameters)
        except sqlite3.DatabaseError as error:
            raise self.connection.damaged(error) from error
        except UnicodeDecodeError as error:
            # The message has a piece of the schema.
            raise self.connection.damaged(_malformed(str(error))) from error
        return self

    def fetchone(self) -> Any:
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as error:
            if _no_text(error):
                return next(iter(self._leniently()), None)
            raise self.connection.damaged(error) from error

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except sqlite3.DatabaseError as error:
            if _no_text(error):
                return self._leniently()
            raise self.connection.damaged(error) from error

    def _leniently(self) -> list[Any]:
        """All rows once more, where one has a text that is no UTF-8: its checksum is wrong then."""
        connection = self.connection
        connection.text_factory = _any_text
        try:
            return sqlite3.Connection.execute(connection, *self._asked).fetchall()
        except sqlite3.DatabaseError as error:
            raise connection.damaged(error) from error
        finally:
            connection.text_factory = str


def _malformed(text: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(f"malformed database schema ({text})")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _no_text(error: sqlite3.DatabaseError) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "decode to UTF-8" in str(error)


def _any_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def checkpoint(database: Database) -> None:
    """Moves the write-ahead log into the database, as far as no reader looks at older pages; in any thread.

    Raises sqlite3.Error.
    """
    path = database.path
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA synchronous=FULL")
        other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    keep_head(path, database.files)


def keep_head(path: Path, files: DatabaseFiles | None = None) -> None:
    """Keeps the first page of the database a second time, if it can; in any thread.

    ``files`` are those of the database if it is open in this process.
    """
    try:
        head.keep(path, FORMAT, head.first_page(path) if files is None else files.first_page())
    except OSError as error:
        log.warning("%s: its first page cannot be kept a second time: %s", path, error.strerror)


def open_reader(path: Path) -> Database:
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


def end_of_data(database: Database, data: Path) -> int:
    """Where the last piece of the data log ends that the database speaks of; where that is damaged, the end of all."""
    ends = [0]
    for table in (EXTENT, FETCHED):
        place, stored = (table.columns.split(", ").index(column) for column in ("place", "stored"))
        try:
            rows = database.execute(f"SELECT {table.selected} FROM {table.name} WHERE place>=0 ORDER BY place DESC")
            while (row := rows.fetchone()) is not None:
                if table.verified(row):
                    ends.append(row[place] + row[stored])
                    break
        except DamagedDatabase as error:
            log.error("%s", error)
            return data.stat().st_size
    return max(ends)


def has_unlisted(database: Database) -> bool:
    """Whether there may be directories whose names are in venti alone."""
    try:
        return database.execute("SELECT 1 FROM unlisted LIMIT 1").fetchone() is not None
    except DamagedDatabase as error:
        log.error("%s", error)
        return True


@contextmanager
def pinned(reader: sqlite3.Connection) -> Iterator[None]:
    """Keeps ``checkpoint`` from moving what is committed from now on. Entered between two transactions."""
    reader.execute("BEGIN")
    try:
        reader.execute("SELECT count(*) FROM setting").fetchone()
        yield
    finally:
        reader.execute("ROLLBACK")


def open_database(path: Path, *, durable: bool, boot: str = "") -> Database:
    """Opens or makes the database; statements commit by themselves unless a transaction was begun.

    ``boot`` tells which start of the machine this is: the redo log of an older format counts for that alone. A first
    page that is damaged is brought back.

    Raises:
        DamagedData: the file is something else, or of a later format.
        OSError: its files cannot be opened; ENOSPC: the disk is full.
    """
    database = _mended_opened(path, durable=durable, boot=boot)
    try:
        database.open_files()
    except BaseException:
        database.close()
        raise
    return database


def _mended_opened(path: Path, *, durable: bool, boot: str) -> Database:
    try:
        if head.counts_wrong(path):
            _bring_back(path)
        return _opened(path, durable=durable, boot=boot)
    except OtherFormat:
        if not head.has_schema_of(path) or not _bring_back(path):
            raise
    except DamagedData:
        if not _bring_back(path):
            raise
    return _opened(path, durable=durable, boot=boot)


def _bring_back(path: Path) -> bool:
    done = head.bring_back(path)
    if done:
        log.warning("the first page of %s was damaged and has been brought back", path)
    return done


def _opened(path: Path, *, durable: bool, boot: str) -> Database:
    fresh = not path.exists()
    if fresh:
        head.forget(path)
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
        database.execute("PRAGMA cell_size_check=1")
        schema = _schema_of(database)
        if fresh or not (schema or head.is_kept(path)):
            database.executescript(f"BEGIN;{TABLES}{INDEXES}PRAGMA user_version={FORMAT};COMMIT;")
            return database
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found < 1:
            raise OtherFormat(f"{path} is damaged, or is not the database of a file system: restore it from a copy")
        if found > FORMAT:
            raise OtherFormat(f"{path} has format {found}, this program knows {FORMAT}: use a newer program")
        if found < FORMAT:
            if schema == _expected():
                raise OtherFormat(f"{path} says that it has format {found}, and has not: restore it from a copy")
            upgrade(database, path.parent, found, boot)
        elif schema != _expected():
            raise DamagedData(f"{path} is damaged in its schema: restore it from a copy")
    except DamagedData:
        database.close()
        raise
    except sqlite3.DatabaseError as error:
        database.close()
        if is_full(error, path.parent):
            raise OSError(
                ENOSPC, "the disk is full, and the database cannot be opened: make room", str(path)
            ) from error
        raise DamagedData(f"{path} cannot be used: {error}; restore it from a copy") from error
    except BaseException:
        database.close()
        raise
    return database


def _schema_of(database: sqlite3.Connection) -> set[tuple[str, str]]:
    rows = database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {(name, sql) for name, sql in rows}


@cache
def _expected() -> set[tuple[str, str]]:
    """The tables and indexes of the newest format."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(TABLES + INDEXES)
        return _schema_of(database)
