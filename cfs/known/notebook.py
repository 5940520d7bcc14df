r"""Notes about unchanging trees on disk, by tree, user and path, in an SQLite database of their own.

It may be lost like everything here: nothing waits for the disk, every note has a checksum, and a database that is
damaged, of another format or of another server is recreated. It keeps within its bound by giving up the notes that
were used longest ago.

===== ======= ===============================================================
table column  meaning
===== ======= ===============================================================
meta  key     ``server``, ``open`` (there while a process uses it)
\      value   text
note  tree    which tree, see ``knowledge``
\      user    who was told
\      path    names from the root of the attach on, with ``/`` between them
\      age     counts up with every batch that is written
\      what    the note, see ``note``
\      sum     16 bytes of BLAKE3 over tree, user, path, each with a zero byte behind it, and the note
===== ======= ===============================================================
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from blake3 import blake3

from cfs.disk.layout import FORMAT, PAGE
from cfs.known.note import Note
from ninep.net.errors import Malformed

log = logging.getLogger(__name__)

APPLICATION = 0x396E6F74
"""The text ``9not``, as a big-endian number."""
IN_MEMORY = 50_000
"""Most notes that are kept in memory besides."""
DIRTY = 500
"""Notes that are written together, unless there is time before."""

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {FORMAT};
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE note(tree BLOB NOT NULL, user BLOB NOT NULL, path BLOB NOT NULL, age INTEGER NOT NULL, what BLOB NOT NULL,
    sum BLOB NOT NULL, PRIMARY KEY(tree, user, path)) WITHOUT ROWID;
CREATE INDEX note_age ON note(age);
"""

Key = tuple[str, str, str]
"""Tree, user, path."""


class Notebook:
    """The open notes. No method raises for trouble with the disk; notes are then kept in memory only.

    Attributes:
        bound: most bytes on disk.
        on_work: called when there is something to ``flush``.
    """

    def __init__(self, path: Path, bound: int, server: str) -> None:
        """``path`` is the database's, ``bound`` what it may take on disk, in bytes."""
        self.bound: Final = bound
        self._path = path
        self._server = server
        self._most: Final = bound // 4
        self._pages = max(8, bound // 2 // PAGE)
        self._kept: OrderedDict[Key, Note] = OrderedDict()
        self._dirty: dict[Key, Note] = {}
        self._age = 0
        self._db: sqlite3.Connection | None = None
        self.on_work: Callable[[], None] = lambda: None
        try:
            self._db = self._opened()
        except (sqlite3.Error, Malformed) as error:
            self._renew(error)

    def close(self) -> None:
        """Writes out what waits; a second call does nothing."""
        self.flush()
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("DELETE FROM meta WHERE key = 'open'")
            self._db.close()
            self._db = None

    @property
    def size(self) -> int:
        """Bytes taken on disk."""
        total = 0
        for suffix in ("", "-wal"):
            with contextlib.suppress(OSError):
                total += os.stat(f"{self._path}{suffix}").st_size
        return total

    @property
    def waiting(self) -> int:
        """Notes that are not on disk yet."""
        return len(self._dirty)

    def get(self, key: Key) -> Note | None:
        """The note, if there is one in order."""
        note = self._kept.get(key)
        if note is not None:
            return note
        note = self._loaded(key)
        if note is not None:
            self._kept[key] = note
        return note

    def put(self, key: Key, note: Note) -> None:
        """Keeps a note that is new or has changed."""
        if not self._dirty:
            self.on_work()
        self._kept[key] = note
        self._dirty[key] = note
        while len(self._kept) > IN_MEMORY:
            old, _ = self._kept.popitem(last=False)
            if old in self._dirty:
                self.flush()
        if len(self._dirty) >= DIRTY:
            self.flush()

    def flush(self) -> None:
        """Writes what waits, in line."""
        dirty, self._dirty = self._dirty, {}
        if self._db is None or not dirty:
            return
        self._age += 1
        rows = []
        for key, note in dirty.items():
            try:
                what = note.pack()
            except ValueError:
                continue
            if len(what) <= self._most:
                rows.append((*_columns(key), self._age, what, _checksum(key, what)))
        try:
            self._write(rows)
        except sqlite3.Error as error:
            self._renew(error)

    def _write(self, rows: list[tuple[object, ...]]) -> None:
        assert self._db is not None
        while rows:
            try:
                with self._db:
                    self._db.execute("BEGIN IMMEDIATE")
                    self._db.executemany("INSERT OR REPLACE INTO note VALUES (?, ?, ?, ?, ?, ?)", rows)
                return
            except sqlite3.OperationalError as error:
                if "full" not in str(error):
                    raise
            if not self._give_up():
                # They do not fit by themselves: the older half is not kept.
                rows = rows[len(rows) // 2 + 1 :]

    def _give_up(self) -> bool:
        """Forgets a quarter of the notes, those used longest ago; False if there is none."""
        assert self._db is not None
        count: int = self._db.execute("SELECT COUNT(*) FROM note").fetchone()[0]
        if count:
            self._db.execute(
                "DELETE FROM note WHERE (tree, user, path) IN (SELECT tree, user, path FROM note ORDER BY age LIMIT ?)",
                (count // 4 + 1,),
            )
        return bool(count)

    def _loaded(self, key: Key) -> Note | None:
        if self._db is None:
            return None
        try:
            row = self._db.execute(
                "SELECT what, sum, age FROM note WHERE tree = ? AND user = ? AND path = ?", _columns(key)
            ).fetchone()
        except sqlite3.Error as error:
            self._renew(error)
            return None
        if row is None:
            return None
        try:
            if row[1] != _checksum(key, row[0]):
                raise Malformed("checksum differs")
            note = Note.unpack(row[0])
        except (Malformed, TypeError) as error:
            log.warning("notes %s: a damaged note is dropped: %s", self._path, error)
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("DELETE FROM note WHERE tree = ? AND user = ? AND path = ?", _columns(key))
            return None
        if row[2] < self._age:
            # Written again with the next batch, it is young again.
            self._dirty[key] = note
        return note

    def _opened(self) -> sqlite3.Connection:
        """The database as it is, or laid out where there is none. Raises ``Malformed`` for one of no use."""
        fresh = not self._path.exists()
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = OFF")
            db.execute(f"PRAGMA wal_autocheckpoint = {max(8, min(1000, self._pages // 4))}")
            db.execute(f"PRAGMA max_page_count = {self._pages}")
            if fresh:
                db.executescript(_SCHEMA)
                db.execute("INSERT INTO meta VALUES ('server', ?)", (self._server,))
            self._check(db)
            db.execute("INSERT OR REPLACE INTO meta VALUES ('open', ?)", (os.getpid(),))
            self._age = db.execute("SELECT COALESCE(MAX(age), 0) FROM note").fetchone()[0]
        except BaseException:
            db.close()
            raise
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        application, version = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        meta = dict(db.execute("SELECT key, value FROM meta"))
        if (application, version) != (APPLICATION, FORMAT):
            raise Malformed("another format")
        if meta.get("server") != self._server:
            raise Malformed(f"name mismatch: they belong to {meta.get('server')}, not {self._server}")
        if "open" in meta and (problem := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise Malformed(f"damaged: {problem}")

    def _renew(self, error: Exception) -> None:
        """Begins anew; where that fails, too, notes stay in memory."""
        log.warning("notes %s: %s; made anew", self._path, error)
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None
        try:
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self._path}{suffix}")
            self._db = self._opened()
        except (sqlite3.Error, Malformed, OSError) as again:
            log.warning("notes %s: kept in memory only: %s", self._path, again)


def _columns(key: Key) -> tuple[bytes, ...]:
    """A key as bytes: names may hold what is no Unicode."""
    return tuple(text.encode("utf-8", "surrogateescape") for text in key)


def _checksum(key: Key, what: bytes) -> bytes:
    hasher = blake3("\0".join((*key, "")).encode("utf-8", "surrogateescape"))
    hasher.update(what)
    return hasher.digest(16)
