"""Looks up where the bytes of a file are, a whole window of the file for each query of the index."""

from __future__ import annotations

from collections.abc import Callable

from cfs.disk.index import Index
from cfs.disk.row import Row
from cfs.disk.stored import StoredFile

Rows = list[Row]
Consult = Callable[[Callable[[Index], Rows], Rows], Rows]


def rows_of(file: StoredFile, start: int, end: int, consult: Consult) -> Rows:
    """The extents that a range touches, in order; those not yet on disk are not among them."""
    rows = file.rows(start, end)
    number = file.number
    if rows is None and number is not None:
        begin, stop = file.window(start, end)
        file.load_rows(begin, stop, consult(lambda index: index.rows(number, begin, stop), []))
        rows = file.rows(start, end)
    return rows or []
