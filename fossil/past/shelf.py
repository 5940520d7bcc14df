"""The names of snapshots, arranged as directories: ``2026/1123``. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32


class Shelved(NamedTuple):
    """A snapshot, as far as its place in the tree goes.

    Attributes:
        epoch: which one it is.
        time: when it was taken, in seconds since 1970.
        kind: ``snapshot`` or ``archive``, the directory at the top.
        name: below that, such as ``2026/1123/1830``.
    """

    epoch: int
    time: int
    kind: str
    name: str


class Shelf:
    """A directory of snapshots and of further such directories.

    Attributes:
        names: what it contains, the oldest first: another ``Shelf`` or the epoch of a snapshot.
        time: when the newest snapshot in it was taken, in seconds since 1970; 0 if there is none.
        version: another number whenever it contains something else.
    """

    __slots__ = ("names", "time", "version")

    def __init__(self) -> None:
        self.names: dict[str, Shelf | int] = {}
        self.time = 0
        self.version = 0

    def _put(self, names: list[str], snapshot: Shelved) -> None:
        self.time = max(self.time, snapshot.time)
        self.version = crc32(f"{snapshot.epoch} {snapshot.name}".encode(), self.version)
        first, *rest = names
        if not rest:
            self.names[first] = snapshot.epoch
            return
        inner = self.names.get(first)
        if not isinstance(inner, Shelf):
            inner = self.names[first] = Shelf()
        inner._put(rest, snapshot)


def shelved(kinds: Iterable[str], snapshots: Iterable[Shelved]) -> Shelf:
    """The directory above those of the ``kinds``, with all ``snapshots``, which come oldest first."""
    top = Shelf()
    for kind in kinds:
        top.names[kind] = Shelf()
    for snapshot in snapshots:
        top._put([snapshot.kind, *snapshot.name.split("/")], snapshot)
    return top
