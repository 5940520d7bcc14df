"""One file at one version, as far as the cache knows it."""

from __future__ import annotations

from cfs.extents import Extents
from cfs.layout import Version, identity


class StoredFile:
    """What is held of a file. Given out by ``Store.file``, given back by ``Store.release``.

    Attributes:
        tree: attach name.
        path: qid path.
        version: whose bytes these are.
        what: their identity in checksums.
        number: the file's number in the index, or None while it has no extent there.
        pin: the number of the pin that holds it, 0 if none does.
        present: the ranges that can be read, from memory or disk.
        dead: the file was dropped, or another version took its place: nothing is present and nothing can be added.
        users: how often it was given out and not given back.
        waiting: pieces in memory that are not on disk yet.
    """

    __slots__ = ("dead", "number", "path", "pin", "present", "tree", "users", "version", "waiting", "what")

    def __init__(self, tree: str, path: int, version: Version, number: int | None, present: Extents) -> None:
        self.tree = tree
        self.path = path
        self.version = version
        self.what = identity(tree, path, version)
        self.number = number
        self.present = present
        self.dead = False
        self.pin = 0
        self.users = 0
        self.waiting = 0

    def __repr__(self) -> str:
        return f"<StoredFile {self.tree!r} {self.path:#x} {self.version}{' dead' if self.dead else ''}>"

    def die(self) -> None:
        """Empties the file for good."""
        self.dead = True
        self.number = None
        self.present.clear()
