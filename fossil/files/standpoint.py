"""What the files that one client sees share: the trees, and the rules of the way it came by."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter

from fossil.files.rules import Rules
from fossil.live.filesystem import FileSystem
from fossil.live.ids import FossilIds
from fossil.live.users import Users
from fossil.past.history import ARCHIVE, SNAPSHOT, History
from fossil.past.shelf import Shelf, Shelved, shelved
from ninep.protocol.errors import FileNotFound
from ninep.protocol.ids import Ids
from ninep.server.files import File, FileTree
from ninep.server.host_ids import HostIds


class Standpoint(FileTree):
    """One file system under the rules of one way to it.

    Attributes:
        system: the live tree.
        history: its snapshots.
        rules: what clients may do.
        name: what attach names and the console call it.
        makers: files, by path and user, that were made by the requests of Unix and are open since.
    """

    def __init__(self, system: FileSystem, history: History, *, rules: Rules, name: str) -> None:
        self.system = system
        self.history = history
        self.rules = rules
        self.name = name
        self.makers: Counter[tuple[int, str]] = Counter()
        self._shelf = Shelf()
        self._shelf_state: object = None
        self._host_ids = HostIds()
        self._ids: tuple[Users, FossilIds] | None = None

    @property
    def ids(self) -> Ids:
        """Which numbers users have: the table's, else those of their accounts on this machine."""
        users = self.system.users
        if self._ids is None or self._ids[0] is not users:
            self._ids = (users, FossilIds(users, self._host_ids))
        return self._ids[1]

    @abstractmethod
    def above(self, user: str, names: tuple[str, ...]) -> File:
        """A user's view of the directory of these names, which lies above all that is stored."""

    def shelf(self, names: tuple[str, ...]) -> Shelf:
        """What is in such a directory now. Raises ``FileNotFound``."""
        state = self.history.state()
        if state != self._shelf_state:
            found = (Shelved(*snapshot[:4]) for snapshot in self.history.every())
            self._shelf = shelved((ARCHIVE, SNAPSHOT), found)
            self._shelf_state = state
        shelf: Shelf | int | None = self._shelf
        for name in names:
            shelf = shelf.names.get(name) if isinstance(shelf, Shelf) else None
        if not isinstance(shelf, Shelf):
            raise FileNotFound
        return shelf
