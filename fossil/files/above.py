"""The directories above the trees: the root, ``/snapshot``, ``/archive``, their years and days. None is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import cast

from fossil.files.pastfile import PastFile
from fossil.files.standpoint import Standpoint
from fossil.files.storedfile import BATCH
from fossil.files.unixfile import UnixFile
from fossil.live.filesystem import ROOT
from fossil.past.qidspace import shelf_path
from fossil.past.shelf import Shelf
from ninep.protocol import stat as st
from ninep.protocol.attributes import Statfs
from ninep.protocol.errors import FileNotFound, PermissionDenied, ReadOnly
from ninep.protocol.ids import Ids
from ninep.protocol.messages import ORCLOSE
from ninep.protocol.qid import QTDIR, Qid
from ninep.protocol.stat import Stat
from ninep.server.files import File

ACTIVE = "active"


class Above(File):
    """A view of such a directory; ``names`` lead to it from the root."""

    qid: Qid

    def __init__(self, tree: Standpoint, user: str, names: tuple[str, ...], shelf: Shelf) -> None:
        self._tree = tree
        self._user = user
        self._names = names
        self._shelf = shelf
        self.qid = Qid(QTDIR, shelf.version, shelf_path(names))
        self._listing: Iterator[str] = iter(())

    @property
    def ids(self) -> Ids:
        """The tree's."""
        return self._tree.ids

    def statfs(self) -> Statfs:
        """The room of the disk."""
        return self._tree.system.room.statfs()

    def _look(self) -> None:
        """Learns what is here now."""
        try:
            shelf = self._tree.shelf(self._names)
        except FileNotFound:
            shelf = Shelf()
        if shelf is not self._shelf:
            self._shelf = shelf
            self.qid = self.qid._replace(version=shelf.version)

    def clone(self) -> File:
        """A second view."""
        return self._tree.above(self._user, self._names)

    def step(self, name: str) -> File:
        """A tree, a year, a day, or a moment."""
        tree = self._tree
        if name == "..":
            return tree.above(self._user, self._names[:-1])
        names = (*self._names, name)
        if names == (ACTIVE,):
            return UnixFile(tree, tree.system.node(ROOT), self._user, below=True)
        self._look()
        found = self._shelf.names.get(name)
        if found is None:
            raise FileNotFound
        if isinstance(found, Shelf):
            return Above(tree, self._user, names, found)
        past = tree.history.past(found)
        return PastFile(tree, past, past.root, self._user, names)

    def open(self, mode: int) -> None:
        """Everybody may look."""
        if mode & ORCLOSE:
            raise PermissionDenied

    def create(self, name: str, perm: int, mode: int) -> File:
        """Only taking a snapshot makes anything here."""
        raise ReadOnly("file is read only")

    def list(self, rewind: bool) -> Sequence[Stat]:
        """The entries."""
        if rewind:
            self._look()
            self._listing = iter(self._shelf.names if self._names else (ACTIVE, *self._shelf.names))
        found: list[Stat] = []
        for name in islice(self._listing, BATCH):
            try:
                found.append(cast("Stat", self.step(name).stat())._replace(name=name))
            except FileNotFound:
                # It was dropped since the rewind.
                continue
        return found

    def stat(self) -> Stat:
        """An entry as the original's: owned by adm, readable by all, as old as the newest snapshot in it."""
        self._look()
        name = self._names[-1] if self._names else "/"
        time = st.nearest(self._shelf.time)
        return Stat(0, 0, self.qid, st.DMDIR | 0o555, time, time, 0, name, "adm", "adm", "adm")

    def wstat(self, changes: Stat) -> None:
        """Nothing about it can be changed."""
        if not changes.touches_nothing:
            raise ReadOnly("file is read only")

    def remove(self) -> None:
        """It cannot be removed."""
        raise PermissionDenied
