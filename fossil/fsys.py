"""A file system in the table of a server: configured, and perhaps open."""

from __future__ import annotations

from pathlib import Path

from fossil.errors import ConsoleRefused
from fossil.rules import STRICT, Rules
from fossil.served import FossilTree
from fossil.service import Fossil


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
