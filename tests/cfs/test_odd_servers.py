"""File servers that refuse, whose files are not to be kept, and that do not keep the order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.errors import FileError, UnknownFid
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat
from ninep.ram.tree import RamTree
from ninep.server.files import File, FileTree, Walked
from ninep.wire.dialect import Buffer, Maybe
from ninep.wire.maybe import arrived
from programs.behind_cache import grid
from programs.cached_file import OWNER, whole


async def test_refusals_come_through_word_for_word(tmp_path: Path) -> None:
    class Fussy(File):
        qid = Qid(0x80, 1, 1)

        def open(self, mode: int) -> None:
            raise FileError("not on a Sunday")

        def stat(self) -> Stat:
            raise FileError("ask my lawyer")

        def wstat(self, changes: Stat) -> None:
            raise FileError("don't touch")

        def create(self, name: str, perm: int, mode: int) -> File:
            raise FileError(f"no {name} here")

        def remove(self) -> None:
            raise FileError("over my dead body")

        def clone(self) -> File:
            return Fussy()

        def step(self, name: str) -> File:
            raise FileError(f"{name}? never heard")

    class Tree(FileTree):
        def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
            if aname:
                raise FileError(f"{uname} may not attach {aname}")
            return Fussy()

    async with grid(Tree(), tmp_path) as one, one.client() as raw:
        assert await raw.refused(m.Tattach(5, m.NOFID, "glenda", "main")) == "glenda may not attach main"
        assert await raw.refused(m.Topen(0, m.OREAD)) == "not on a Sunday"
        assert await raw.refused(m.Tstat(0)) == "ask my lawyer"
        assert await raw.refused(m.Twstat(0, Stat(name="x"))) == "don't touch"
        assert await raw.refused(m.Tcreate(0, "x", 0o644, m.OREAD)) == "no x here"
        assert await raw.refused(m.Twalk(0, 5, ["x"])) == "x? never heard"
        assert await raw.refused(m.Tremove(await raw.walk())) == "over my dead body"


class Device(File):
    """Length 0, or version 0, and other bytes each time."""

    def __init__(self, tree: Devices) -> None:
        self.tree = tree
        self.qid = tree.root

    def step(self, name: str) -> File:
        file = Device(self.tree)
        file.qid = self.tree.stats[name].qid
        return file

    def clone(self) -> File:
        return Device(self.tree)

    def open(self, mode: int) -> None:
        pass

    def read(self, offset: int, count: int) -> bytes:
        self.tree.reads += 1
        return b"%d" % self.tree.reads

    def stat(self) -> Stat:
        return next(stat for stat in self.tree.stats.values() if stat.qid == self.qid)


class Devices(FileTree):
    root = Qid(0x80, 1, 1)

    def __init__(self) -> None:
        self.reads = 0
        self.stats = {
            "empty": Stat(0, 0, Qid(0, 5, 2), 0o444, 0, 0, 0, "empty"),
            "unversioned": Stat(0, 0, Qid(0, 0, 3), 0o444, 0, 0, 100, "unversioned"),
            "log": Stat(0, 0, Qid(0x40, 5, 4), st.DMAPPEND | 0o444, 0, 0, 100, "log"),
            "lock": Stat(0, 0, Qid(0x20, 5, 5), st.DMEXCL | 0o444, 0, 0, 100, "lock"),
        }

    def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        return Device(self)


@pytest.mark.parametrize("name", ["empty", "unversioned", "log", "lock"])
async def test_not_kept(tmp_path: Path, name: str) -> None:
    async with grid(Devices(), tmp_path) as one, one.client() as raw:
        for turn in (1, 2):
            fid = await raw.open(name)
            assert await raw.read(fid) == b"%d" % turn
            await raw.ask(m.Tclunk(fid))
        assert one.sent["Tread"] == 2
        assert one.store.statistics.stored == one.store.queued == 0


class Disorderly(RamTree):
    """A server that finds a fid not yet open where a read comes together with the open."""

    refused = 0

    def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        return Hasty(self, super().attach(uname, aname, local=local))


class Hasty(File):
    """Refuses the first read after an open that it was sent together with."""

    def __init__(self, tree: Disorderly, file: File) -> None:
        self._tree = tree
        self._file = file

    @property
    def qid(self) -> Qid:
        return self._file.qid

    async def walk(self, names: Sequence[str]) -> Walked:
        qids, file = await arrived(self._file.walk(names))
        return Walked(qids, None if file is None else Hasty(self._tree, file))

    async def clone(self) -> File:
        return Hasty(self._tree, await arrived(self._file.clone()))

    def open(self, mode: int) -> Maybe[None]:
        return self._file.open(mode)

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        if not self._tree.refused and not self.qid.type:
            self._tree.refused += 1
            raise UnknownFid
        return self._file.read(offset, count)

    def list(self, rewind: bool) -> Maybe[Sequence[Stat]]:
        return self._file.list(rewind)

    def stat(self) -> Maybe[Stat]:
        return self._file.stat()

    def clunk(self) -> Maybe[None]:
        return self._file.clunk()


async def test_a_server_that_does_not_keep_the_order_is_asked_one_thing_after_the_other(tmp_path: Path) -> None:
    tree = Disorderly(OWNER, mode=0o777)
    async with grid(tree, tmp_path) as one, one.client() as raw:
        root = RamTree.attach(tree, OWNER, "")
        for name in ("a", "b"):
            made = await arrived(root.clone())
            new = await arrived(made.create(name, 0o644, m.OWRITE))
            await arrived(new.write(0, b"bytes of " + name.encode()))
            await arrived(new.clunk())
        await raw.list()
        for name in ("a", "b"):
            assert await whole(raw, name) == b"bytes of " + name.encode()
        assert tree.refused == 1
        assert not next(iter(one.cache.clients)).live.in_order
