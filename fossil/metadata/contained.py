"""What a file or directory contains, from its rows; its own row counts them, so a lost one is noticed. Pure.

Where a page of the database is damaged a query can find a sound row that it did not ask for, so the keys are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fossil.data.extents import Extent
from fossil.errors import DamagedData
from fossil.metadata.node import Node
from ninep.protocol.stat import DMDIR

_new = tuple.__new__


def names(node: Node, rows: Sequence[Sequence[Any]]) -> dict[str, tuple[int, int]]:
    """Name to (path, epoch of the name's row) of a directory; the rows are of ``tables.NAME``.

    Raises:
        DamagedData: there are more or fewer than there were.
    """
    path = node.path
    found = {row[1]: (row[3], row[2]) for row in rows if row[0] == path}
    counted(node, len(found))
    return found


def counted(node: Node, count: int) -> None:
    """Raises ``DamagedData`` unless a directory has so many names."""
    if count != node.holds and node.holds >= 0:
        raise DamagedData(f"directory {node.path:x} had {node.holds} names, the database has {count}")


def extents(node: Node, rows: Sequence[Sequence[Any]]) -> list[Extent]:
    """The extents of a file; the rows are of ``tables.EXTENT``, sorted.

    Raises:
        DamagedData: they are more or fewer bytes than there were.
    """
    of, found, size = node.path, [], 0
    for path, start, born, length, place, skip, stored, digest, _, _ in rows:
        if path == of:
            found.append(_new(Extent, (start, length, place, skip, stored, digest, born)))
            size += length
    if node.mode & DMDIR:
        return found
    if size != node.holds and node.holds >= 0:
        raise DamagedData(f"file {node.path:x} had extents of {node.holds} bytes, the database has {size}")
    return found
