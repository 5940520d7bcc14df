"""What the database is asked for by name: rows that live, and rows that are seen in an epoch or a span of epochs.

Rows are as ``Table.selected`` has them. What returns unverified rows says so; the others raise ``DamagedRow`` for one
whose checksum is wrong. All raise ``DamagedDatabase`` where SQLite cannot make sense of a page.
"""

from __future__ import annotations

from typing import Any

from fossil.metadata.schema import Database
from fossil.metadata.tables import ALIVE, ARCHIVED, EXTENT, FETCHED, IN_EPOCH, IN_SPAN, NAME, NODE, Table

Row = tuple[Any, ...]
_LIVING_NODE = f"WHERE path=? AND died={ALIVE} ORDER BY born DESC LIMIT 1"
_LIVING_EXTENTS = f"WHERE path=? AND died={ALIVE} ORDER BY start"
_LIVING_NAMES = f"WHERE parent=? AND died={ALIVE}"
_LIVING_NAME = f"{_LIVING_NAMES} AND name=?"
_LIVING_UNLISTED = f"SELECT born FROM unlisted WHERE path=? AND died={ALIVE}"

# What lives


def living_node(database: Database, path: int) -> Row | None:
    """The row of a file of the live tree. Where a page is damaged it may be one of another file."""
    found: Row | None = database.row(NODE, _LIVING_NODE, (path,))
    return found


def living_extents(database: Database, path: int) -> list[Row]:
    """The extents of a file of the live tree, sorted."""
    return database.rows(EXTENT, _LIVING_EXTENTS, (path,))


def living_names(database: Database, directory: int) -> list[Row]:
    """The names in a directory of the live tree."""
    return database.rows(NAME, _LIVING_NAMES, (directory,))


def living_name(database: Database, directory: int, name: str) -> Row | None:
    """One name in a directory of the live tree. Where a page is damaged it may be another one."""
    found: Row | None = database.row(NAME, _LIVING_NAME, (directory, name))
    return found


def living_unlisted(database: Database, directory: int) -> int | None:
    """Since which epoch a directory of the live tree has had the names that are in venti alone; None: they are here."""
    found = database.execute(_LIVING_UNLISTED, (directory,)).fetchone()
    return None if found is None else int(found[0])


# What a check asks


def page(database: Database, table: Table, after: Row, most: int) -> list[Row]:
    """At most so many rows, unverified, in the order of their keys; ``after`` is the key of the last one, or empty."""
    keys = _keys(table)
    beyond = f"WHERE ({keys}) > ({_texts(after)})" if after else ""
    sql = f"SELECT {table.selected} FROM {table.name} {beyond} ORDER BY {keys} LIMIT ?"
    return database.execute(sql, (*_bytes(after), most)).fetchall()


def delete(database: Database, table: Table, row: Row) -> None:
    """Deletes the row with the key of this one, which may be damaged."""
    key = row[: table.key]
    database.execute(f"DELETE FROM {table.name} WHERE ({_keys(table)}) = ({_texts(key)})", _bytes(key))


def count(database: Database, table: Table) -> int:
    """How many rows a table has."""
    return int(database.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0])


def nodes_in_span(database: Database, path: int, born: int, died: int) -> list[Row]:
    """The rows, unverified, of a file in the epochs from ``born`` to before ``died``, oldest first."""
    sql = f"SELECT {NODE.selected} FROM node WHERE path=? AND {IN_SPAN} ORDER BY born"
    return database.execute(sql, (path, died, born)).fetchall()


def extents_in_span(database: Database, path: int, born: int, died: int) -> list[Row]:
    """The extents, unverified, of a file in the epochs from ``born`` to before ``died``."""
    sql = f"SELECT {EXTENT.selected} FROM extent WHERE path=? AND {IN_SPAN}"
    return database.execute(sql, (path, died, born)).fetchall()


def has_node(database: Database, path: int, born: int, died: int) -> bool:
    """Whether there is a file of this path in one of the epochs from ``born`` to before ``died``."""
    sql = f"SELECT 1 FROM node WHERE path=? AND {IN_SPAN}"
    return database.execute(sql, (path, died, born)).fetchone() is not None


def has_name(database: Database, directory: int, name: str, child: int, born: int, died: int) -> bool:
    """Whether a directory has a name of a file in one of the epochs from ``born`` to before ``died``."""
    sql = f"SELECT 1 FROM name WHERE parent=? AND name=? AND child=? AND {IN_SPAN}"
    return database.execute(sql, (directory, name, child, died, born)).fetchone() is not None


def first_place(database: Database, path: int, epoch: int) -> Row | None:
    """(directory, name) of a file at the end of an epoch, unverified."""
    sql = f"SELECT parent, name FROM node WHERE path=? AND {IN_EPOCH}"
    found: Row | None = database.execute(sql, (path, epoch, epoch)).fetchone()
    return found


def count_names(database: Database, directory: int, epoch: int) -> int:
    """How many names a directory has at the end of an epoch."""
    sql = f"SELECT count(*) FROM name WHERE parent=? AND {IN_EPOCH}"
    return int(database.execute(sql, (directory, epoch, epoch)).fetchone()[0])


def size_of_extents(database: Database, path: int, epoch: int) -> int:
    """The bytes that the extents of a file have at the end of an epoch."""
    sql = f"SELECT coalesce(sum(length), 0) FROM extent WHERE path=? AND {IN_EPOCH}"
    return int(database.execute(sql, (path, epoch, epoch)).fetchone()[0])


def death_of_extent(database: Database, path: int, start: int, born: int) -> int | None:
    """The epoch from which an extent is not seen; None where there is no such extent."""
    sql = "SELECT died FROM extent WHERE path=? AND start=? AND born=?"
    found = database.execute(sql, (path, start, born)).fetchone()
    return None if found is None else found[0]


# What venti has


def archived(database: Database, path: int, changed: int) -> bytes | None:
    """The entries in venti of a file or directory as it was since epoch ``changed``; None where the row is damaged."""
    row = database.sound(ARCHIVED, "WHERE path=? AND changed=?", (path, changed))
    return None if row is None else bytes(row[2])


def extents_of_piece(database: Database, place: int) -> list[Row]:
    """The extents, of all files and epochs, that refer to a piece, or to a source by a negative place; sound ones."""
    return database.sound_rows(EXTENT, "WHERE place=?", (place,))


# Pieces of the data log


def pieces(database: Database, after: int, end: int, most: int) -> list[Row]:
    """(place, stored, digest, whether it is a copy of what is in venti) of pieces between two places, unverified."""
    return database.execute(
        "SELECT place, max(stored), digest, 0 FROM extent WHERE place>? AND place<? GROUP BY place, digest "
        "UNION ALL SELECT place, stored, digest, 1 FROM fetched WHERE place>? AND place<? "
        "ORDER BY place LIMIT ?",
        (after, end, after, end, most),
    ).fetchall()


def is_fetched(database: Database, place: int) -> bool:
    """Whether the piece at this place is a copy of what is in venti."""
    return database.execute(f"SELECT 1 FROM {FETCHED.name} WHERE place=?", (place,)).fetchone() is not None


def is_referred_to(database: Database, place: int) -> bool:
    """Whether an extent refers to a piece, or to a source by a negative place."""
    return database.execute("SELECT 1 FROM extent WHERE place=? LIMIT 1", (place,)).fetchone() is not None


def fetched_of(database: Database, source: int) -> list[tuple[int, int]]:
    """(place, stored) of the copies of what is in venti that are of a source; sound ones."""
    return [(place, stored) for _, _, place, stored, *_ in database.sound_rows(FETCHED, "WHERE source=?", (source,))]


def forget_source(database: Database, source: int) -> None:
    """Deletes the rows of a source and of its copies."""
    database.execute("DELETE FROM fetched WHERE source=?", (source,))
    database.execute("DELETE FROM source WHERE id=?", (source,))


def forget_fetched(database: Database, place: int) -> None:
    """Deletes the row of a copy of what is in venti."""
    database.execute(f"DELETE FROM {FETCHED.name} WHERE place=?", (place,))


# Keys, of which a text may be no UTF-8


def _keys(table: Table) -> str:
    return ", ".join(table.columns.split(", ")[: table.key])


def _texts(key: Row) -> str:
    return ", ".join("CAST(? AS TEXT)" if isinstance(value, str) else "?" for value in key)


def _bytes(key: Row) -> list[Any]:
    """What ``_texts`` takes."""
    return [value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value for value in key]
