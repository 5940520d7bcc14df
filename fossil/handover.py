"""Handing pieces of the data log over to venti: rows that refer to a piece refer to the archived file instead."""

from __future__ import annotations

from typing import NamedTuple

from fossil.filesystem import FileSystem
from fossil.listing import source_of


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
    run = system.database.execute
    found = []
    for path, start, born, died, length in run(
        "SELECT path, start, born, died, length FROM extent WHERE place=?", (place,)
    ).fetchall():
        # An archive of any epoch in which the file was as it was in one epoch of the extent has its bytes.
        row = run(
            "SELECT a.entries FROM node AS n JOIN archived AS a ON a.path=n.path AND a.changed=n.changed "
            "WHERE n.path=? AND n.born<? AND n.died>? LIMIT 1",
            (path, died, born),
        ).fetchone()
        entry = bytes(row[0]) if row is not None and len(row[0]) == 40 else None
        found.append(Row(path, start, born, length, entry))
    return found


def hand_over(system: FileSystem, place: int, rows: list[Row]) -> None:
    """Lets those of the rows that are in an archive refer to it. Within a transaction that then commits."""
    run = system.database.execute
    for row in rows:
        if row.entry is None:
            continue
        source = source_of(system, row.entry)
        run(
            "UPDATE extent SET place=?, digest=? WHERE path=? AND start=? AND born=?",
            (-source, b"", row.path, row.start, row.born),
        )
        node = system.loaded(row.path)
        if node is not None and node.extents is not None:
            node.extents = [
                extent._replace(place=-source, digest=b"")
                if extent.place == place and extent.start == row.start
                else extent
                for extent in node.extents
            ]
    system.content.moved += 1
