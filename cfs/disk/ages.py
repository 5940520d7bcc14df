"""Recency in coarse steps (ages): a use is recorded only once an age, so reading costs no writes."""

from __future__ import annotations

from typing import Final

from cfs.disk.index import Index
from cfs.disk.layout import AGES
from cfs.disk.row import Row

Key = tuple[int, int]
"""An extent: its file's number, and its start."""


class Ages:
    """The present age, and the extents used in it that are still entered under an older one."""

    def __init__(self, bound: int) -> None:
        """Begins for a cache with a bound of so many bytes."""
        self._share: Final = bound // AGES
        self._stored = 0
        self._touched: dict[Key, None] = {}
        self.present = 0

    def __bool__(self) -> bool:
        """Whether there is anything for the index to know."""
        return bool(self._touched)

    def stored(self, size: int) -> None:
        """So many bytes were stored more."""
        self._stored += size
        if self._stored >= self._share:
            self.present += 1
            self._stored = 0

    def touch(self, key: Key, row: Row) -> Row | None:
        """Notes a use of an extent; returns the row as it is now if that is news."""
        if row.age >= self.present:
            return None
        self._touched[key] = None
        return row._replace(age=self.present)

    def forget(self, key: Key) -> None:
        """The extent is gone."""
        self._touched.pop(key, None)

    def clear(self) -> None:
        """All extents are gone."""
        self._touched.clear()

    def enter(self, index: Index) -> None:
        """Tells the index which extents were used."""
        if self._touched:
            index.touch(self.present, self._touched)
            self._touched.clear()
