"""Bytes in memory within a bound; the least recently used go first. Pure."""

from __future__ import annotations

from collections import OrderedDict

from ninep.wire.dialect import Buffer

Key = tuple[int, int]


class Recent:
    """Checked extents, by number of the file and start."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._size = 0
        self._kept: OrderedDict[Key, Buffer] = OrderedDict()

    def get(self, key: Key) -> Buffer | None:
        """The bytes, if they are still there."""
        data = self._kept.get(key)
        if data is not None:
            self._kept.move_to_end(key)
        return data

    def put(self, key: Key, data: Buffer) -> None:
        """Keeps bytes at the cost of others."""
        self.forget(key)
        self._kept[key] = data
        self._size += len(data)
        while self._size > self._bound:
            self._size -= len(self._kept.popitem(last=False)[1])

    def forget(self, key: Key) -> None:
        """Drops the bytes, if they are there."""
        data = self._kept.pop(key, None)
        if data is not None:
            self._size -= len(data)

    def clear(self) -> None:
        """Drops everything."""
        self._kept.clear()
        self._size = 0
