"""The file system over 9P: the live tree, and the past below ``/snapshot`` and ``/archive``. Source: fossil(4)."""

from __future__ import annotations

import trio

from fossil.above import Above
from fossil.errors import FossilError
from fossil.filesystem import FileSystem
from fossil.history import History
from ninep.errors import FileError, InputOutput
from ninep.files import File, FileTree
from ninep.wire.dialect import Maybe

NAME = "main"
"""The one file system's name."""


class FossilTree(FileTree):
    """What fossil serves. ``permissions`` false lets everybody do everything, as ``open -P`` does."""

    def __init__(self, system: FileSystem, history: History, *, permissions: bool = True) -> None:
        self.system = system
        self.history = history
        self.permissions = permissions

    def attach(self, uname: str, aname: str, *, local: bool = False) -> Maybe[File]:
        """The live tree for ``main/active`` or no name, ``main/archive``, ``main/snapshot``, or ``main`` above them."""
        name, _, rest = aname.partition("/")
        if aname and name != NAME:
            raise FileError(f"fsys: '{name}' not found")
        user = uname or "none"
        if not aname:
            rest = "active"
        top = self.above(user, ())
        return top.step(rest) if rest else top

    def above(self, user: str, names: tuple[str, ...]) -> Above:
        """The directory of these names, which lies above all that is stored."""
        return Above(self, user, names)

    def commit(self) -> Maybe[None]:
        """See ``FileTree``."""
        if self.system.dirty:
            if self.system.durable:
                return self._commit_durably()
            try:
                self.system.commit()
            except FossilError as error:
                raise InputOutput from error
        return None

    async def _commit_durably(self) -> None:
        """The data is on the disk before the database says that it is there, and that before the answer leaves."""
        system = self.system
        try:
            while system.dirty:
                tail = system.log.tail
                await trio.to_thread.run_sync(system.log.sync)
                if tail == system.log.tail:
                    system.commit()
        except OSError as error:
            system.stop(f"fdatasync failed: {error.strerror}")
            raise InputOutput from error
        except FossilError as error:
            raise InputOutput from error
