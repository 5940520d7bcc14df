"""The tables of the database, and the checksum of each row. Pure.

A row's checksum covers the table, the key and all values, so a row that turns up in the place of another one is found
as well. The epoch of death is added to it: a row can be closed without being read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from zlib import crc32

import msgpack

ALIVE = 1 << 62
"""The epoch of death of what lives."""

SPREAD = 0x10101
"""By what an epoch of death is multiplied: one byte of it that changes is not one byte of the sum."""

_pack: Callable[[object], bytes] = msgpack.Packer(autoreset=True, unicode_errors="surrogateescape").pack


class Table:
    """One table: its columns, and how its rows are summed.

    Attributes:
        name: in SQL.
        columns: of a row, without ``died`` and ``sum``, in the order in which they are summed.
        width: how many they are.
        key: how many of them, the first ones, are its key.
        dies: whether its rows have a ``died``.
        selected: what to select for ``verified``: ``columns``, ``died`` where there is one, ``sum``.
        select: what selects that, to be followed by which rows.
    """

    def __init__(self, name: str, columns: str, *, key: int, dies: bool = False) -> None:
        self.name = name
        self.columns = columns
        self.width = columns.count(",") + 1
        self.key = key
        self.dies = dies
        self.selected = f"{columns}{', died' if dies else ''}, sum"
        self.select = f"SELECT {self.selected} FROM {name} "
        self._seed = crc32(name.encode())

    def sum(self, values: Sequence[object], died: int = ALIVE) -> int:
        """The checksum of a row with these values of ``columns``."""
        total = crc32(_pack(values), self._seed)
        return total if died == ALIVE else total + (died + 1) * SPREAD

    def summed(self, rows: Sequence[Sequence[object]]) -> list[list[object]]:
        """Rows of what lives, each with its checksum behind it."""
        pack, seed = _pack, self._seed
        # A list with one more is made in two thirds of the time that a tuple takes.
        return [[*row, crc32(pack(row), seed)] for row in rows]

    def all_verified(self, rows: Sequence[Sequence[object]]) -> bool:
        """Whether all of these rows of ``selected`` are rows of what lives, and as they were written."""
        pack, seed, width = _pack, self._seed, self.width
        try:
            if self.dies:
                for row in rows:
                    if crc32(pack(row[:width]), seed) != row[-1] or row[-2] != ALIVE:
                        return False
            else:
                for row in rows:
                    if crc32(pack(row[:width]), seed) != row[-1]:
                        return False
        except (TypeError, ValueError, OverflowError):
            return False
        return True

    def verified(self, row: Sequence[object]) -> bool:
        """Whether a row of ``selected`` is as it was written."""
        values = row[: self.width]
        try:
            total = crc32(_pack(values), self._seed)
            died = row[-2] if self.dies else ALIVE
            if died != ALIVE:
                total += (died + 1) * SPREAD  # type: ignore[operator] # What is none raises TypeError.
        except (TypeError, ValueError, OverflowError):
            # Damage has made another type of a value.
            return False
        return total == row[-1]

    def mended(self, row: Sequence[object]) -> tuple[object, ...] | None:
        """The row as it was before one byte of it changed; None if more did.

        A checksum that some other row has with one byte changed is less likely than one in 50,000.
        """
        values, total = row[: self.width], row[-1]
        died = row[-2] if self.dies else ALIVE
        if not isinstance(died, int) or not isinstance(total, int):
            return None
        wanted = total if died == ALIVE else total - (died + 1) * SPREAD
        if (found := self._changed(values, wanted)) is not None:
            return (*found, died, total) if self.dies else (*found, total)
        try:
            computed = self.sum(values)
        except (TypeError, ValueError, OverflowError):
            return None
        was = ALIVE if total == computed else (total - computed) // SPREAD - 1
        if self.dies and was in set(_near(died)) and self.sum(values, was) == total:
            return (*values, was, total)
        right = self.sum(values, died)
        return (*row[:-1], right) if right in set(_near(total)) else None

    def _changed(self, values: Sequence[object], wanted: int) -> tuple[object, ...] | None:
        pack, seed = _pack, self._seed
        for at, value in enumerate(values):
            before, after = values[:at], values[at + 1 :]
            for other in _near(value):
                found = (*before, other, *after)
                try:
                    if crc32(pack(found), seed) == wanted:
                        return found
                except (TypeError, OverflowError):
                    break
        return None

    @cached_property
    def insert(self) -> str:
        """Puts a row in the place of the one with its key: values of ``columns``, ``died`` where there is one, sum."""
        count = self.width + 1 + self.dies
        return f"INSERT OR REPLACE INTO {self.name} ({self.selected}) VALUES ({', '.join('?' * count)})"

    def row(self, values: Sequence[object], died: int = ALIVE) -> tuple[object, ...]:
        """What ``insert`` takes."""
        total = self.sum(values, died)
        return (*values, died, total) if self.dies else (*values, total)


NODE = Table(
    "node",
    "path, born, parent, name, version, mode, atime, mtime, ctime, length, holds, uid, gid, muid, changed, links",
    key=2,
    dies=True,
)
NAME = Table("name", "parent, name, born, child", key=3, dies=True)
EXTENT = Table("extent", "path, start, born, length, place, skip, stored, digest", key=3, dies=True)
SNAPSHOT = Table("snapshot", "epoch, time, kind, name, score, shown, top", key=1)
SETTING = Table("setting", "name, value", key=1)
ARCHIVED = Table("archived", "path, changed, entries", key=2)
SOURCE = Table("source", "id, entry", key=1)
FETCHED = Table("fetched", "source, number, place, stored, digest", key=2)
UNLISTED = Table("unlisted", "path, born, entries", key=2, dies=True)
VENTI = Table("venti", "name, value", key=1)
"""What is known of the venti that answered last."""
ALL = (NODE, NAME, EXTENT, SNAPSHOT, SETTING, ARCHIVED, SOURCE, FETCHED, UNLISTED, VENTI)

IN_EPOCH = "born<=? AND died>?"
"""Selects what is seen at the end of an epoch, which is given twice."""
IN_SPAN = "born<? AND died>?"
"""Selects what is seen in some epoch of a span; given the epoch that follows the span, then its first one."""

TABLES = f"""
CREATE TABLE setting (name TEXT PRIMARY KEY, value, sum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE node (
    path INTEGER NOT NULL, born INTEGER NOT NULL, died INTEGER NOT NULL DEFAULT {ALIVE},
    parent INTEGER NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, mode INTEGER NOT NULL,
    atime INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL,
    length INTEGER NOT NULL, holds INTEGER NOT NULL,
    uid TEXT NOT NULL, gid TEXT NOT NULL, muid TEXT NOT NULL, changed INTEGER NOT NULL, links BLOB,
    sum INTEGER NOT NULL, PRIMARY KEY (path, born)) WITHOUT ROWID;
CREATE TABLE name (
    parent INTEGER NOT NULL, name TEXT NOT NULL, born INTEGER NOT NULL, died INTEGER NOT NULL DEFAULT {ALIVE},
    child INTEGER NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (parent, name, born)) WITHOUT ROWID;
CREATE TABLE extent (
    path INTEGER NOT NULL, start INTEGER NOT NULL, born INTEGER NOT NULL, died INTEGER NOT NULL DEFAULT {ALIVE},
    length INTEGER NOT NULL, place INTEGER NOT NULL, skip INTEGER NOT NULL, stored INTEGER NOT NULL,
    digest BLOB NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (path, start, born)) WITHOUT ROWID;
CREATE TABLE snapshot (
    epoch INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, score TEXT,
    shown INTEGER NOT NULL, top INTEGER NOT NULL, sum INTEGER NOT NULL);
CREATE TABLE archived (
    path INTEGER NOT NULL, changed INTEGER NOT NULL, entries BLOB NOT NULL, sum INTEGER NOT NULL,
    PRIMARY KEY (path, changed)) WITHOUT ROWID;
CREATE TABLE source (id INTEGER PRIMARY KEY, entry BLOB NOT NULL UNIQUE, sum INTEGER NOT NULL);
CREATE TABLE fetched (
    source INTEGER NOT NULL, number INTEGER NOT NULL, place INTEGER NOT NULL, stored INTEGER NOT NULL,
    digest BLOB NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (source, number)) WITHOUT ROWID;
CREATE TABLE unlisted (
    path INTEGER NOT NULL, born INTEGER NOT NULL, died INTEGER NOT NULL, entries BLOB NOT NULL,
    sum INTEGER NOT NULL, PRIMARY KEY (path, born)) WITHOUT ROWID;
CREATE TABLE venti (name TEXT PRIMARY KEY, value TEXT, sum INTEGER NOT NULL) WITHOUT ROWID;
"""

INDEXES = f"""
CREATE INDEX extent_place ON extent (place);
CREATE INDEX node_died ON node (died) WHERE died < {ALIVE};
CREATE INDEX name_died ON name (died) WHERE died < {ALIVE};
CREATE INDEX extent_died ON extent (died) WHERE died < {ALIVE};
CREATE UNIQUE INDEX snapshot_name ON snapshot (kind, name);
CREATE UNIQUE INDEX fetched_place ON fetched (place);
CREATE INDEX unlisted_died ON unlisted (died);
"""


def _near(value: object) -> Iterator[object]:
    """What a value may have been before one byte of it changed: of an integer in any width that the database has."""
    if isinstance(value, int):
        for size in (1, 2, 3, 4, 6, 8):
            if -1 << 8 * size - 1 <= value < 1 << 8 * size - 1:
                for data in _changed_bytes(value.to_bytes(size, "big", signed=True)):
                    yield int.from_bytes(data, "big", signed=True)
    elif isinstance(value, bytes):
        yield from _changed_bytes(value)
    elif isinstance(value, str):
        for data in _changed_bytes(value.encode("utf-8", "surrogateescape")):
            with suppress(UnicodeDecodeError):
                yield data.decode()


def _changed_bytes(data: bytes) -> Iterator[bytes]:
    for at, byte in enumerate(data):
        before, after = data[:at], data[at + 1 :]
        for other in range(256):
            if other != byte:
                yield b"%s%c%s" % (before, other, after)
