"""The file system over 9P: the live tree, and the past below ``/snapshot`` and ``/archive``. Source: fossil(4)."""

from __future__ import annotations

from collections import Counter
from typing import cast

import trio

from fossil.above import ACTIVE, Above
from fossil.errors import FossilError
from fossil.filesystem import ROOT, FileSystem
from fossil.history import ARCHIVE, SNAPSHOT, History
from fossil.ids import FossilIds
from fossil.rules import STRICT, Rules
from fossil.shelf import Shelf, Shelved, shelved
from fossil.unixfile import UnixFile
from fossil.users import NOBODY, Users
from ninep.errors import FileError, FileNotFound, InputOutput
from ninep.files import File, FileTree
from ninep.host_ids import HostIds
from ninep.ids import Ids
from ninep.wire.dialect import Maybe

SHOWN = f"kind IN ('{ARCHIVE}', '{SNAPSHOT}')"
NAME = "main"
"""The name of the file system that an empty attach name means."""


class FossilTree(FileTree):
    """One file system as it is served, under the rules of one way to it."""

    def __init__(self, system: FileSystem, history: History, *, rules: Rules = STRICT, name: str = NAME) -> None:
        self.system = system
        self.history = history
        self.rules = rules
        self.name = name
        self.makers: Counter[tuple[int, str]] = Counter()
        """Files, by path and user, that were made by the requests of Unix and are open since."""
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

    def attach(self, uname: str, aname: str, *, local: bool = False) -> Maybe[File]:
        """The live tree for ``main/active`` or no name, ``main`` above all trees, or any directory below that.

        An attach name shows a place and is no jail: ``..`` leads out of it, as in the original, to the root of the
        live tree where no name or ``main/active`` was asked for, and above the trees otherwise.
        """
        name, slash, rest = aname.partition("/")
        if not name and slash:
            raise FileNotFound
        if aname and name != self.name:
            raise FileError(f"fsys: '{name}' not found")
        if not aname or rest == ACTIVE:
            return UnixFile(self, self.system.node(ROOT), uname or NOBODY)
        file: File = self.above(uname or NOBODY, ())
        for element in rest.split("/") if rest else ():
            if element in ("", ".", ".."):
                raise FileNotFound
            file = cast("File", file.step(element))
        return file

    def above(self, user: str, names: tuple[str, ...]) -> Above:
        """The directory of these names, which lies above all that is stored."""
        return Above(self, user, names, self.shelf(names))

    def shelf(self, names: tuple[str, ...]) -> Shelf:
        """What is in such a directory now. Raises ``FileNotFound``."""
        database = self.system.database
        state = database.execute(f"SELECT count(*), max(epoch), total(epoch) FROM snapshot WHERE {SHOWN}").fetchone()
        if state != self._shelf_state:
            rows = database.execute(f"SELECT epoch, time, kind, name FROM snapshot WHERE {SHOWN} ORDER BY epoch")
            self._shelf = shelved((ARCHIVE, SNAPSHOT), (Shelved(*row) for row in rows))
            self._shelf_state = state
        shelf: Shelf | int | None = self._shelf
        for name in names:
            shelf = shelf.names.get(name) if isinstance(shelf, Shelf) else None
        if not isinstance(shelf, Shelf):
            raise FileNotFound
        return shelf

    def commit(self) -> Maybe[None]:
        """See ``FileTree``."""
        if self.system.dirty:
            if self.system.durable:
                return self._commit_durably()
            try:
                self.system.record()
            except FossilError as error:
                raise InputOutput from error
        return None

    def rest(self) -> None:
        """See ``FileTree``."""
        self.system.rest()

    async def _commit_durably(self) -> None:
        """The data is on the disk before the database says that it is there, and that before the answer leaves."""
        system = self.system
        try:
            while system.dirty:
                system.writer.flush()
                tail = system.log.tail
                await trio.to_thread.run_sync(system.log.sync)
                if tail == system.log.tail:
                    system.commit()
        except OSError as error:
            system.stop(f"fdatasync failed: {error.strerror}")
            raise InputOutput from error
        except FossilError as error:
            raise InputOutput from error
