"""Directories of the served tree that are nowhere stored. Source: fossil(4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, cast
from zlib import crc32

from fossil.filesystem import ROOT
from fossil.history import ARCHIVE, SNAPSHOT
from fossil.livefile import LiveFile
from fossil.pastfile import PastFile
from fossil.storedfile import BATCH
from ninep import stat as st
from ninep.errors import FileNotFound, PermissionDenied
from ninep.files import File
from ninep.qid import QTDIR, Qid
from ninep.stat import Stat

if TYPE_CHECKING:
    from fossil.served import FossilTree

TOP = 1
"""The path of the root above the three trees."""
PATHS = {ARCHIVE: 3, SNAPSHOT: 4}


class Above(File):
    """A directory that is nowhere stored: the root above the trees, and years and days of the past."""

    def __init__(self, tree: FossilTree, user: str, names: tuple[str, ...]) -> None:
        self._tree = tree
        self._user = user
        self._names = names
        path = TOP if not names else PATHS[names[0]] if len(names) == 1 else 1 << 61 | crc32("/".join(names).encode())
        self.qid = Qid(QTDIR, 0, path)
        self._listing: Iterator[str] = iter(())

    def clone(self) -> File:
        """A second view."""
        return Above(self._tree, self._user, self._names)

    def _inside(self) -> list[str]:
        """The names in this directory."""
        if not self._names:
            return ["active", ARCHIVE, SNAPSHOT]
        kind, *prefix = self._names
        depth = len(prefix)
        found = (snapshot.name.split("/") for snapshot in self._tree.history.all(kind))
        return list(dict.fromkeys(parts[depth] for parts in found if parts[:depth] == prefix))

    def step(self, name: str) -> File:
        """A tree, a year, a day, or a moment."""
        if name == "..":
            return self._tree.above(self._user, self._names[:-1])
        if name not in self._inside():
            raise FileNotFound
        names = (*self._names, name)
        if names == ("active",):
            system = self._tree.system
            return LiveFile(self._tree, system.node(ROOT), self._user)
        whole = "/".join(names[1:])
        for snapshot in self._tree.history.all(names[0]):
            if snapshot.name == whole and whole:
                past = self._tree.history.past(snapshot.epoch)
                return PastFile(self._tree, past, past.root, self._user, names)
        return self._tree.above(self._user, names)

    def open(self, mode: int) -> None:
        """Everybody may look."""

    def list(self, rewind: bool) -> Sequence[Stat]:
        """The entries."""
        if rewind:
            self._listing = iter(self._inside())
        return [cast("Stat", self.step(name).stat())._replace(name=name) for name in islice(self._listing, BATCH)]

    def stat(self) -> Stat:
        """An entry as the original's: owned by adm, readable by all."""
        now = self._tree.system.now()
        name = self._names[-1] if self._names else "/"
        return Stat(0, 0, self.qid, st.DMDIR | 0o555, now, now, 0, name, "adm", "adm", "adm")

    def remove(self) -> None:
        """It cannot be removed."""
        raise PermissionDenied
