r"""The index of a cache: which extents there are, and where. An SQLite database in WAL mode.

It is never waited for: ``synchronous`` is off. After ``kill -9`` it holds everything committed; after power loss it may
hold anything, which costs a refetch at most, because every extent's checksum covers what its row says (``layout``). An
index that was not closed is looked through when it is opened; the store replaces one that cannot be used.

===== ========= ==========================================================================
table column    meaning
===== ========= ==========================================================================
meta  key       ``server``, ``nonce``, ``open`` (there while a process uses the cache)
\      value     text or bytes
file  id        number of the file in this index, never used again
\      tree      attach name
\      path      qid path, as a signed number
\      number    qid version
\      mtime     seconds since 1970
\      length    bytes
\      pin       ``pin.id``, 0 if nothing holds it
pin   id        number of the pin, never used again
\      tree      attach name
\      path      names from the root on, with ``/`` between them
extent file      ``file.id``
\      start     first byte in the file
\      length    bytes
\      segment   number of the segment
\      place     first byte in the segment, a multiple of 4096
\      age       when it was last used, see ``ages``
\      sum       checksum, 16 bytes
===== ========= ==========================================================================

``PRAGMA user_version`` is the number of the format, ``PRAGMA application_id`` is ``APPLICATION``.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cfs.disk.layout import FORMAT, INDEX, PAGE, PINNED, Version, pages
from cfs.disk.row import Place, Row

APPLICATION = 0x39636673
"""The text ``9cfs``, as a big-endian number."""
MANY = 64
"""Most extents that are given up at a time."""

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {FORMAT};
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE file(id INTEGER PRIMARY KEY AUTOINCREMENT, tree TEXT NOT NULL, path INTEGER NOT NULL,
    number INTEGER NOT NULL, mtime INTEGER NOT NULL, length INTEGER NOT NULL, pin INTEGER NOT NULL, UNIQUE(tree, path));
CREATE TABLE pin(id INTEGER PRIMARY KEY AUTOINCREMENT, tree TEXT NOT NULL, path BLOB NOT NULL);
CREATE TABLE extent(file INTEGER NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL, segment INTEGER NOT NULL,
    place INTEGER NOT NULL, age INTEGER NOT NULL, sum BLOB NOT NULL, PRIMARY KEY(file, start)) WITHOUT ROWID;
CREATE INDEX extent_age ON extent(age, segment, place);
"""
_BY_SEGMENT = "CREATE INDEX IF NOT EXISTS extent_segment ON extent(segment, place)"


class Found(NamedTuple):
    """A file that is in the index: its number there, the pin that holds it, the version of which something is held."""

    number: int
    pin: int
    version: Version


class Unusable(Exception):
    """The index cannot be used; the text says why. ``foreign`` tells that it is in order but somebody else's."""

    def __init__(self, text: str, *, foreign: bool = False) -> None:
        super().__init__(text)
        self.foreign = foreign


class Index:
    """The open index. Every method may raise ``sqlite3.Error``."""

    def __init__(self, directory: Path, bound: int) -> None:
        """Opens or makes the file; ``check`` or ``create`` must follow."""
        self._path = directory / INDEX
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {max(16, min(1000, bound // PAGE // 64))}")
        except BaseException:
            self._db.close()
            raise
        self.nonce = b""

    def create(self, server: str) -> None:
        """Lays out an empty index for a server's data."""
        self._db.executescript(_SCHEMA)
        self.nonce = os.urandom(32)
        self._db.executemany("INSERT INTO meta VALUES (?, ?)", [("server", server), ("nonce", self.nonce)])

    def check(self, server: str) -> bool:
        """Whether the last user closed it; from now on it counts as open.

        Raises:
            Unusable: it is damaged, of another format, or of another server.
        """
        try:
            application, version = (
                self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
            if application != APPLICATION:
                raise Unusable("its index is not one of a cache")
            if version != FORMAT:
                raise Unusable(f"its format is {version}, not {FORMAT}", foreign=True)
            meta = dict(self._db.execute("SELECT key, value FROM meta"))
            if meta.get("server") != server:
                raise Unusable(f"it belongs to {meta.get('server')}, not {server}", foreign=True)
            nonce = meta.get("nonce")
            if type(nonce) is not bytes or len(nonce) != 32:
                raise Unusable("its index is damaged")
            clean = "open" not in meta
            if not clean and (problem := self._db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise Unusable(f"its index is damaged: {problem}")
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('open', ?)", (os.getpid(),))
            # Caches were made without it once.
            self._db.execute(_BY_SEGMENT)
        except sqlite3.Error as error:
            raise Unusable(f"its index is damaged: {error}") from error
        self.nonce = nonce
        return clean

    def commit(self) -> None:
        """Ends the transaction that the last change began; nothing to do is no error."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Forgets all changes since the last commit."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def close(self, *, clean: bool) -> None:
        """Closes the index; ``clean`` says that it need not be looked through when it is opened again."""
        try:
            if clean:
                self.commit()
                self._db.execute("DELETE FROM meta WHERE key = 'open'")
        finally:
            self._db.close()

    @property
    def size(self) -> int:
        """Bytes that the index takes on disk."""
        total = 0
        for suffix in ("", "-wal", "-shm"):
            try:
                total += os.stat(f"{self._path}{suffix}").st_size
            except FileNotFoundError:
                continue
        return total

    def find(self, tree: str, path: int) -> Found | None:
        """A file of which something is held."""
        row = self._db.execute(
            "SELECT id, pin, number, mtime, length FROM file WHERE tree = ? AND path = ?", (tree, _signed(path))
        ).fetchone()
        return Found(row[0], row[1], Version(*row[2:])) if row else None

    def new_file(self, tree: str, path: int, version: Version, pin: int) -> int:
        """Enters a file of which nothing is held, and returns its number."""
        self._begin()
        number = self._db.execute(
            "INSERT INTO file(tree, path, number, mtime, length, pin) VALUES (?, ?, ?, ?, ?, ?)",
            (tree, _signed(path), *version, pin),
        ).lastrowid
        assert number is not None
        return number

    def ranges(self, file: int) -> list[tuple[int, int]]:
        """Start and length of all extents of a file."""
        return self._db.execute("SELECT start, length FROM extent WHERE file = ? ORDER BY start", (file,)).fetchall()

    def rows(self, file: int, start: int, end: int) -> list[Row]:
        """The extents that begin in a range, in order."""
        found = self._db.execute(
            "SELECT start, segment, place, length, age, sum FROM extent WHERE file = ? AND start >= ? AND start < ?"
            " ORDER BY start",
            (file, start, end),
        ).fetchall()
        return [Row(row[0], Place(row[1], row[2], row[3]), row[4], row[5]) for row in found]

    def insert(self, rows: Iterable[tuple[int, Row]]) -> None:
        """Enters extents, each with its file's number."""
        self._begin()
        self._db.executemany(
            "INSERT INTO extent(file, start, segment, place, length, age, sum) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(file, row.start, *row.place, row.age, row.sum) for file, row in rows],
        )

    def in_segment(self, segment: int, most: int) -> list[tuple[int, Row]]:
        """Some extents of a segment, each with its file's number."""
        found = self._db.execute(
            "SELECT file, start, segment, place, length, age, sum FROM extent WHERE segment = ? ORDER BY place LIMIT ?",
            (segment, most),
        ).fetchall()
        return [(row[0], Row(row[1], Place(*row[2:5]), *row[5:])) for row in found]

    def move(self, file: int, row: Row, to: Place) -> bool:
        """Says that an extent is at another place; whether it still was where ``row`` says."""
        self._begin()
        moved = self._db.execute(
            "UPDATE extent SET segment = ?, place = ? WHERE file = ? AND start = ? AND segment = ? AND place = ?",
            (to.segment, to.offset, file, row.start, row.place.segment, row.place.offset),
        )
        return moved.rowcount > 0

    def touch(self, age: int, extents: Iterable[tuple[int, int]]) -> None:
        """Notes a use of extents, each named by its file's number and its start."""
        self._begin()
        self._db.executemany(
            "UPDATE extent SET age = ? WHERE file = ? AND start = ?", [(age, *extent) for extent in extents]
        )

    def oldest(self, size: int) -> list[tuple[int, int, Place]]:
        """Those used longest ago and not pinned, of ``size`` bytes together, but not many: file, start, place."""
        found = []
        for row in self._db.execute(
            "SELECT file, start, segment, place, length FROM extent WHERE age < ? ORDER BY age, segment, place LIMIT ?",
            (PINNED, MANY),
        ).fetchall():
            found.append((row[0], row[1], Place(*row[2:])))
            size -= pages(row[4])
            if size <= 0:
                break
        return found

    def delete(self, extents: Iterable[tuple[int, int]]) -> None:
        """Forgets extents, each named by its file's number and its start."""
        self._begin()
        self._db.executemany("DELETE FROM extent WHERE file = ? AND start = ?", extents)

    def delete_empty(self, files: Iterable[int]) -> None:
        """Forgets those of the files of which no extent is left."""
        self._begin()
        self._db.executemany(
            "DELETE FROM file WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM extent WHERE file = ?1)",
            [(file,) for file in files],
        )

    def delete_file(self, file: int) -> list[tuple[int, Place]]:
        """Forgets a file and all its extents; returns the start and place of each."""
        self._begin()
        found = self._db.execute("SELECT start, segment, place, length FROM extent WHERE file = ?", (file,)).fetchall()
        self._db.execute("DELETE FROM extent WHERE file = ?", (file,))
        self._db.execute("DELETE FROM file WHERE id = ?", (file,))
        return [(row[0], Place(*row[1:])) for row in found]

    def latest_age(self) -> int:
        """The greatest age that any extent has."""
        return int(self._db.execute("SELECT COALESCE(MAX(age), 0) FROM extent WHERE age < ?", (PINNED,)).fetchone()[0])

    def pins(self) -> list[tuple[int, str, str]]:
        """Number, attach name and path of each pin."""
        found = self._db.execute("SELECT id, tree, path FROM pin").fetchall()
        return [(row[0], row[1], row[2].decode("utf-8", "surrogateescape")) for row in found]

    def new_pin(self, tree: str, path: str) -> int:
        """Enters a pin, and returns its number."""
        self._begin()
        number = self._db.execute(
            "INSERT INTO pin(tree, path) VALUES (?, ?)", (tree, path.encode("utf-8", "surrogateescape"))
        ).lastrowid
        self.commit()
        assert number is not None
        return number

    def delete_pin(self, pin: int, age: int) -> None:
        """Removes a pin; the extents that it held are of ``age`` from now on."""
        self._begin()
        self._db.execute("UPDATE extent SET age = ? WHERE file IN (SELECT id FROM file WHERE pin = ?)", (age, pin))
        self._db.execute("UPDATE file SET pin = 0 WHERE pin = ?", (pin,))
        self._db.execute("DELETE FROM pin WHERE id = ?", (pin,))
        self.commit()

    def pin_file(self, file: int, pin: int, age: int) -> None:
        """Says which pin holds a file; its extents are of ``age`` from now on."""
        self._begin()
        self._db.execute("UPDATE file SET pin = ? WHERE id = ?", (pin, file))
        self._db.execute("UPDATE extent SET age = ? WHERE file = ?", (age, file))

    def filling(self) -> list[tuple[int, int]]:
        """Each segment with extents and their bytes, in whole pages."""
        return self._db.execute(
            f"SELECT segment, SUM((length + {PAGE - 1}) / {PAGE} * {PAGE}) FROM extent GROUP BY segment"
        ).fetchall()

    def places(self) -> list[Place]:
        """All places in the order of the segments."""
        found = self._db.execute("SELECT segment, place, length FROM extent ORDER BY segment, place")
        return [Place(*row) for row in found]

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")


def _signed(number: int) -> int:
    """SQLite's integers have 64 bits and a sign."""
    return number - (1 << 64) if number >> 63 else number
