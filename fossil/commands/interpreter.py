"""Understands the command language of the console. Source: fossilcons(8)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fossil.commands import blocks, checking, doors, files, general, past, people, snapshots, systems
from fossil.commands.registry import FSYS, SERVER, FsysCommand
from fossil.console.report import joined
from fossil.console.words import Given, split_words
from fossil.errors import ConsoleRefused, FossilError, Unlisted
from fossil.server.fileserver import ALL, FileServer
from fossil.server.fsys import Fsys
from ninep.net.errors import WireError
from ninep.protocol.errors import NinepError
from venti.blocks.errors import VentiError

MODULES = (blocks, checking, doors, files, general, past, people, snapshots, systems)
"""Importing them enters their commands into the registry."""


class Interpreter:
    """Somebody who gives commands to a server.

    Attributes:
        server: which.
        current: the name of the file system that commands without one are for, if it has been said.
    """

    def __init__(self, server: FileServer, current: str | None = None) -> None:
        self.server = server
        self.current = current

    @property
    def prompt(self) -> str:
        """What stands before a line that somebody types."""
        return f"{self.current or 'prompt'}: "

    async def execute(self, line: str) -> str:
        """Does one line and returns what it prints; a ``Report`` where there is more to say than that it was done.

        Raises:
            ConsoleRefused: it cannot be done; the text says why.
        """
        words = split_words(line)
        if not words:
            return ""
        try:
            return await self._execute(words)
        except ConsoleRefused:
            raise
        except (FossilError, NinepError, VentiError, WireError, OSError) as error:
            raise ConsoleRefused(str(error)) from error

    async def _execute(self, words: Sequence[str]) -> str:
        name, *rest = words
        if name in SERVER:
            command = SERVER[name]
            return await command.run(self, command.usage.parse(rest))
        if name == "fsys":
            return await self._fsys(rest)
        if name not in FSYS:
            raise ConsoleRefused(f"{name}: - eh? (say help)")
        if self.current is None:
            raise ConsoleRefused(f"{name}: no current fsys; say 'fsys NAME', or 'fsys NAME {name}'")
        return await self._for(self.current, words)

    async def _fsys(self, words: Sequence[str]) -> str:
        if not words:
            return "".join(f"\t{name}\n" for name in self.server.table)
        name, *command = words
        if command:
            return await self._for(name, command)
        if name != ALL:
            self.server.fsys(name)
        self.current = name
        return ""

    async def _for(self, name: str, words: Sequence[str]) -> str:
        command = _fsys_command(words[0])
        given = command.usage.parse(words[1:])
        table = self.server.table
        if name == ALL:
            if not command.all:
                raise ConsoleRefused(f"cannot use fsys 'all' with '{command.name}' command")
            return joined([await self._run(command, fsys, given) for fsys in list(table.values())])
        if command.name == "config" and name not in table:
            return await command.run(self, Fsys(name, "", Path()), given)
        return await self._run(command, self.server.fsys(name), given)

    async def _run(self, command: FsysCommand, fsys: Fsys, given: Given) -> str:
        if not command.closed and fsys.open.system.halted and not command.halted:
            raise ConsoleRefused(f"file system {fsys.name} is halted")
        while True:
            fsys.commands += 1
            try:
                return await command.run(self, fsys, given)
            except Unlisted as unlisted:
                # Nothing has been done yet: a directory's names are in venti alone.
                await fsys.open.system.fetch_names(unlisted)
            finally:
                fsys.commands -= 1


def _fsys_command(name: str) -> FsysCommand:
    if name not in FSYS:
        raise ConsoleRefused(f"unknown command - '{name}'")
    return FSYS[name]


class Understood(NamedTuple):
    """A line that could be a command.

    Attributes:
        vital: whether a server that could not do it is not the one that was asked for.
    """

    vital: bool


def understand(line: str) -> Understood:
    """Looks at a line without doing anything, as far as that goes without a server. Raises ``ConsoleRefused``."""
    words = split_words(line)
    if not words:
        return Understood(False)
    name, *rest = words
    if name in SERVER:
        SERVER[name].usage.parse(rest)
        return Understood(SERVER[name].vital)
    if name == "fsys" and len(rest) > 1:
        name, rest = rest[1], rest[2:]
        command = _fsys_command(name)
    elif name == "fsys":
        return Understood(False)
    elif name in FSYS:
        command = FSYS[name]
    else:
        raise ConsoleRefused(f"{name}: - eh? (say help)")
    command.usage.parse(rest)
    return Understood(command.vital)
