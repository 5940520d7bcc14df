"""The file system over 9P: the live tree, and the past below ``/snapshot`` and ``/archive``. Source: fossil(4)."""

from __future__ import annotations

import logging
from typing import cast

import trio

from fossil.errors import DamagedData, FossilError
from fossil.files.above import ACTIVE, Above
from fossil.files.rules import STRICT, Rules
from fossil.files.standpoint import Standpoint
from fossil.files.unixfile import UnixFile
from fossil.live.filesystem import ROOT, FileSystem
from fossil.live.users import NOBODY
from fossil.past.history import History
from ninep.protocol.errors import FileError, FileNotFound, InputOutput
from ninep.server.files import File
from ninep.wire.dialect import Maybe

log = logging.getLogger(__name__)

NAME = "main"
"""The name of the file system that an empty attach name means."""


class FossilTree(Standpoint):
    """One file system as it is served, under the rules of one way to it."""

    def __init__(self, system: FileSystem, history: History, *, rules: Rules = STRICT, name: str = NAME) -> None:
        super().__init__(system, history, rules=rules, name=name)

    def attach(self, uname: str, aname: str, *, local: bool = False) -> Maybe[File]:
        """The live tree for ``main/active`` or no name, ``main`` or ``/`` above all trees, or any directory below that.

        An attach name shows a place and is no jail: ``..`` leads out of it, as in the original, to the root of the
        live tree where no name or ``main/active`` was asked for, and above the trees otherwise.
        """
        name, _, rest = aname.partition("/")
        if name not in ("", self.name):
            raise FileError(f"fsys: '{name}' not found")
        if not aname or rest == ACTIVE:
            try:
                return UnixFile(self, self.system.node(ROOT), uname or NOBODY)
            except DamagedData as error:
                log.error("the root is damaged: %s", error)
                raise InputOutput("i/o error: / is damaged") from error
        file: File = self.above(uname or NOBODY, ())
        for element in rest.split("/") if rest else ():
            if element in ("", ".", ".."):
                raise FileNotFound
            file = cast("File", file.step(element))
        return file

    def above(self, user: str, names: tuple[str, ...]) -> Above:
        """The directory of these names, which lies above all that is stored."""
        return Above(self, user, names, self.shelf(names))

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
            while True:
                system.writer.flush()
                tail = system.log.tail
                await trio.to_thread.run_sync(system.log.sync)
                if tail == system.log.tail:
                    # Others may have tried before: what they could not write is no more dirty, nor is it lasting.
                    system.commit()
                    return
        except OSError as error:
            system.stop(f"fdatasync failed: {error.strerror}")
            raise InputOutput from error
        except FossilError as error:
            raise InputOutput from error
