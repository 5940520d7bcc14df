"""A file system in a directory, without the background work of a server, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from contracts.served_file import OWNER
from fakes.ninep_client import Raw, connected
from fossil.files.attach import FossilTree
from fossil.files.rules import STRICT, Rules
from fossil.live.filesystem import FileSystem
from fossil.past.history import History


class Opened:
    """A file system in a directory, with its history and its tree."""

    def __init__(self, path: Path, *, rules: Rules = STRICT, owner: str = OWNER, durable: bool = False) -> None:
        self.system = FileSystem(path, owner=owner, durable=durable)
        self.history = History(self.system)
        self.tree = FossilTree(self.system, self.history, rules=rules)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.system.close()


class Emptied(FossilTree):
    """Without the directory that a fresh file system has."""

    def __init__(self, opened: Opened) -> None:
        super().__init__(opened.system, opened.history)
        system = opened.system
        adm = system.child(system.node(2), "adm")
        assert adm is not None
        users = system.child(adm, "users")
        assert users is not None
        system.remove(users, OWNER)
        system.remove(adm, OWNER)


@asynccontextmanager
async def client(opened: Opened, user: str = OWNER, aname: str = "") -> AsyncIterator[Raw]:
    async with connected(opened.tree, user, aname=aname) as raw:
        yield raw
