"""A tree whose files answer when they are told to, for tests of waiting, flushing and taking turns."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ninep.protocol.errors import FileError
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat
from ninep.server.files import File, FileTree, Walked


class SlowTree(FileTree):
    """``let(what)`` opens a gate, ``shut(what)`` closes it again; what ``failing`` names raises once it is let through.

    A clone has a gate only if it was mentioned.
    """

    def __init__(self, *opened: str, failing: Sequence[str] = ()) -> None:
        self.log: list[str] = []
        self.gates: dict[str, trio.Event] = {}
        self.failing = set(failing)
        self.views = 0
        for what in opened:
            self.let(what)

    def let(self, *whats: str) -> None:
        for what in whats:
            self.gates.setdefault(what, trio.Event()).set()

    def shut(self, what: str) -> None:
        self.gates[what] = trio.Event()

    async def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        if aname == "slow":
            await self.wait("attach")
        return Slow(self, directory=True)

    async def wait(self, what: str) -> None:
        self.log.append(what)
        try:
            await self.gates.setdefault(what, trio.Event()).wait()
        except trio.Cancelled:
            self.log.append(f"{what} cancelled")
            raise
        self.log.append(f"{what} done")
        if what in self.failing:
            raise FileError(f"{what} failed")


class Slow(File):
    """A directory, if it is the root; every name in it is a file, but ``short`` ends a walk."""

    def __init__(self, tree: SlowTree, *, directory: bool, name: str = "/") -> None:
        self.tree = tree
        self.name = name
        self.qid = Qid(0x80 if directory else 0, 0, int(directory))
        tree.views += 1

    async def clone(self) -> File:
        if "clone" in self.tree.gates:
            await self.tree.wait("clone")
        return Slow(self.tree, directory=bool(self.qid.type), name=self.name)

    async def walk(self, names: Sequence[str]) -> Walked:
        await self.tree.wait("walk")
        if names[0] == "short":
            return Walked([Qid(0, 0, 0)], None)
        if names[0] == "nowhere":
            return Walked([], None)
        return Walked([Qid(0, 0, 0)] * len(names), Slow(self.tree, directory=False, name=names[-1]))

    async def open(self, mode: int) -> None:
        await self.tree.wait("open")

    async def create(self, name: str, perm: int, mode: int) -> File:
        await self.tree.wait("create")
        return Slow(self.tree, directory=False, name=name)

    async def read(self, offset: int, count: int) -> bytes:
        await self.tree.wait(f"read {offset}")
        return b"data"

    async def write(self, offset: int, data: object) -> int:
        await self.tree.wait(f"write {offset}")
        return len(bytes(data))

    async def list(self, rewind: bool) -> list[Stat]:
        await self.tree.wait("list")
        return [Stat(0, 0, self.qid, 0, 0, 0, 0, "entry")] if rewind else []

    async def stat(self) -> Stat:
        await self.tree.wait("stat")
        return Stat(name=self.name)

    async def wstat(self, changes: Stat) -> None:
        await self.tree.wait("wstat")

    async def remove(self) -> None:
        try:
            await self.tree.wait("remove")
        finally:
            self.tree.views -= 1

    async def clunk(self) -> None:
        try:
            await self.tree.wait("clunk")
        finally:
            self.tree.views -= 1
