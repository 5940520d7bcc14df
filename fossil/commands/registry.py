"""The table of console commands. A decorator enters a function into it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypeAlias

from fossil.console.words import Given, Usage
from fossil.server.fileserver import FileServer
from fossil.server.fsys import Fsys


class Speaker(Protocol):
    """Who gives a command.

    Attributes:
        server: to which server.
    """

    @property
    def server(self) -> FileServer: ...

    async def execute(self, line: str) -> str:
        """Does another line, and returns what it prints. Raises ``ConsoleRefused``."""


ServerFunction: TypeAlias = Callable[[Speaker, Given], Awaitable[str]]
"""Does a command and returns the text to print, which may be a ``Report``; raises FossilError to refuse."""
FsysFunction: TypeAlias = Callable[[Speaker, Fsys, Given], Awaitable[str]]
"""The same for one file system."""

ANY = 1 << 30
"""As many words as somebody likes."""


class ServerCommand(NamedTuple):
    """A command to the whole server.

    Attributes:
        vital: whether a server whose start-up configuration fails at it should not start.
    """

    name: str
    usage: Usage
    run: ServerFunction
    vital: bool


class FsysCommand(NamedTuple):
    """A command to one file system.

    Attributes:
        closed: whether it may be given to one that is not open.
        halted: whether it may be given to one that is halted.
        all: whether ``fsys all`` may give it to each.
        vital: see ``ServerCommand``.
    """

    name: str
    usage: Usage
    run: FsysFunction
    closed: bool
    halted: bool
    all: bool
    vital: bool


SERVER: dict[str, ServerCommand] = {}
FSYS: dict[str, FsysCommand] = {}


def server_command(
    text: str, *, flags: str = "", valued: str = "", least: int = 0, most: int = 0, vital: bool = False
) -> Callable[[ServerFunction], ServerFunction]:
    """Enters a function under the first word of its usage. Its docstring is what ``help`` prints."""

    def enter(run: ServerFunction) -> ServerFunction:
        name = text.split()[0]
        SERVER[name] = ServerCommand(name, Usage(text, flags, valued, least, most), run, vital)
        return run

    return enter


def fsys_command(
    text: str,
    *,
    flags: str = "",
    valued: str = "",
    least: int = 0,
    most: int = 0,
    closed: bool = False,
    halted: bool = False,
    all: bool = True,
    vital: bool = False,
) -> Callable[[FsysFunction], FsysFunction]:
    """The same for a command to one file system."""

    def enter(run: FsysFunction) -> FsysFunction:
        name = text.split()[0]
        usage = Usage(f"[fsys name] {text}", flags, valued, least, most)
        FSYS[name] = FsysCommand(name, usage, run, closed, halted, all, vital)
        return run

    return enter
