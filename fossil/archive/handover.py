"""Marks pieces of the data log as archived: rows refer to the file in venti instead, so the piece can be freed."""

from __future__ import annotations

from typing import NamedTuple

from fossil.archive.listing import source_of
from fossil.live.filesystem import FileSystem
from fossil.metadata import lookup
from fossil.metadata.tables import ARCHIVED, EXTENT, IN_SPAN


class Row(NamedTuple):
    """An extent that refers to a piece.

    Attributes:
        path, start, born: which one.
        length: bytes of it.
        entry: the tree of the file in an archive that has these bytes, or None if no archive does.
    """

    path: int
    start: int
    born: int
    length: int
    entry: bytes | None


def rows_of(system: FileSystem, place: int) -> list[Row]:
    """All extents that refer to the piece at ``place``, as far as they have been committed."""
    found = []
    for path, start, born, length, *_, died, _ in lookup.extents_of_piece(system.database, place):
        found.append(Row(path, start, born, length, archived_entry(system, path, born, died)))
    return found


def archived_entry(system: FileSystem, path: int, born: int, died: int) -> bytes | None:
    """The tree in an archive of a file as it was in one of the epochs from ``born`` to before ``died``, if any."""
    database = system.database
    # An archive of any epoch in which the file was as it was in one epoch of the extent has its bytes.
    row = database.sound(
        ARCHIVED,
        f"WHERE path=? AND changed IN (SELECT changed FROM node WHERE path=? AND {IN_SPAN}) LIMIT 1",
        (path, path, died, born),
    )
    return bytes(row[2]) if row is not None and len(row[2]) == 40 else None


def hand_over(system: FileSystem, place: int, rows: list[Row]) -> None:
    """Lets those of the rows that are in an archive refer to it. Within a transaction that then commits."""
    database = system.database
    for row in rows:
        if row.entry is None:
            continue
        source = source_of(system, row.entry)
        for found in database.sound_rows(
            EXTENT, "WHERE path=? AND start=? AND born=?", (row.path, row.start, row.born)
        ):
            *values, _, skip, stored, _, died, _ = found
            database.put(EXTENT, (*values, -source, skip, stored, b""), died)
        node = system.loaded(row.path)
        if node is not None and node.extents is not None:
            node.extents = [
                extent._replace(place=-source, digest=b"")
                if extent.place == place and extent.start == row.start
                else extent
                for extent in node.extents
            ]
    system.content.moved += 1
