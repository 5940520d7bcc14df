"""Pinned paths: the files below them are not evicted."""

from __future__ import annotations

from collections.abc import Iterator

from cfs.disk.index import Index
from cfs.disk.store import Store

NONE = 0
"""The number of no pin."""


class Pins:
    """The pins of a cache, kept in its index."""

    def __init__(self, store: Store) -> None:
        self._store = store
        none: list[tuple[int, str, str]] = []
        self._numbers = {(tree, path): number for number, tree, path in store.consult(Index.pins, none)}

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(sorted(self._numbers))

    def of(self, aname: str, names: tuple[str, ...]) -> int:
        """The number of the pin that holds a place, ``NONE`` if none does."""
        if not self._numbers:
            return NONE
        for end in range(len(names) + 1):
            number = self._numbers.get((aname, "/".join(names[:end])))
            if number is not None:
                return number
        return NONE

    def add(self, aname: str, path: str) -> None:
        """Pins what is read of a path and below from now on; what is held already, when it is opened next."""
        if (aname, path) not in self._numbers:
            self._numbers[aname, path] = self._store.consult(lambda index: index.new_pin(aname, path), NONE)

    def remove(self, aname: str, path: str) -> bool:
        """Lets a path go; False if it was not pinned."""
        number = self._numbers.pop((aname, path), NONE)
        if number:
            self._store.unpin(number)
        return bool(number)
