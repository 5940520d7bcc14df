"""A file system in the table of a server: configured, and perhaps open."""

from __future__ import annotations

from pathlib import Path

import trio

from fossil.errors import ConsoleRefused
from fossil.files.attach import FossilTree
from fossil.files.rules import STRICT, Rules
from fossil.server.service import Fossil


class Fsys:
    """One of them.

    Attributes:
        name: what attach names and the console call it.
        device: what the configuration said that it is on.
        folder: the directory that this means.
        venti: the address of its archive; None is the server's usual one.
        archiving: whether it was opened with an archive.
        rules: what clients may do.
        fossil: the file system itself; None while it is not open.
        scope: cancelled, it is closed; then ``closed`` is set, and ``trouble`` is why it did not close as it should.
        commands: how many commands are under way that are for it.
        synced: how long the data log was when the console last said sync.
    """

    def __init__(self, name: str, device: str, folder: Path) -> None:
        self.name = name
        self.device = device
        self.folder = folder
        self.venti: str | None = None
        self.archiving = True
        self.rules = STRICT
        self.fossil: Fossil | None = None
        self.scope = trio.CancelScope()
        self.closed = trio.Event()
        self.trouble: Exception | None = None
        self.commands = 0
        self.synced = 0
        self._trees: dict[Rules, FossilTree] = {}

    @property
    def open(self) -> Fossil:
        """The file system. Raises ``ConsoleRefused`` if it is not open."""
        if self.fossil is None:
            raise ConsoleRefused(f"fsys: '{self.name}' not open")
        return self.fossil

    def tree(self, rules: Rules) -> FossilTree:
        """What clients see who come by a way with these rules."""
        tree = self._trees.get(rules)
        if tree is None:
            fossil = self.open
            tree = self._trees[rules] = FossilTree(fossil.system, fossil.history, rules=rules, name=self.name)
        return tree

    async def close(self) -> None:
        """Makes it durable and closes it; nobody may be using it. Raises what that raises, after it is closed."""
        self.fossil, self.synced = None, 0
        self._trees.clear()
        self.scope.cancel()
        with trio.CancelScope(shield=True):
            await self.closed.wait()
        if self.trouble is not None:
            raise self.trouble
