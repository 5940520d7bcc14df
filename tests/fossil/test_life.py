"""A long life: random work of several fids, snapshots, archives, evictions, crashes and restarts, against a model.

The model is plain dictionaries: a tree of names, and what was in them when each snapshot was taken. Every step comes
from one seed; ``NINEGRID_SEED`` runs another one, ``NINEGRID_STEPS`` more of them.
"""

from __future__ import annotations

import copy
import os
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from contracts.served_file import OWNER
from fakes.flaky_venti import FlakyVenti
from fakes.ninep_client import Raw, connected
from fossil.archive.eviction import Evictor
from fossil.archive.restored import restore
from fossil.past.history import ARCHIVE, SNAPSHOT
from fossil.server.check import Check, Finding
from fossil.server.service import open_fossil
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.stat import Stat
from venti.vac import label

STEPS = int(os.environ.get("NINEGRID_STEPS", "400"))
SEEDS = [int(os.environ["NINEGRID_SEED"])] if "NINEGRID_SEED" in os.environ else [1, 2, 3]
NAMES = "abcdef"
LARGEST = 150_000

Tree = dict[str, Any]
"""Names to bytes, or to another tree."""


class Open:
    """A fid that stays open over several steps, and the content that it must see."""

    def __init__(self, fid: int, names: tuple[str, ...], content: bytearray) -> None:
        self.fid = fid
        self.names = names
        self.content = content


class Life:
    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.generation = 0
        self.source = random.Random(seed)
        self.venti = FlakyVenti()
        self.tree: Tree = {}
        self.past: dict[tuple[str, str], Tree] = {}
        self.opens: list[Open] = []
        self.archived = False

    @property
    def place(self) -> Path:
        return self.folder / f"{self.generation}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with (
            open_fossil(self.place, owner=OWNER, open_store=self.venti.connect, clock=trio.current_time) as self.fossil,
            connected(self.fossil.tree, OWNER) as self.raw,
            connected(self.fossil.tree, OWNER, aname="main") as self.above,
        ):
            self.opens = []
            yield

    # The model

    def at(self, names: tuple[str, ...], tree: Tree | None = None) -> Any:
        found: Any = self.tree if tree is None else tree
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def pick(self) -> tuple[str, ...]:
        """A path that may or may not be there, its directory always."""
        names: list[str] = []
        at: Any = self.tree
        while True:
            name = self.source.choice(NAMES)
            names.append(name)
            if isinstance(at.get(name), dict) and self.source.random() < 0.7:
                at = at[name]
                continue
            return tuple(names)

    def flat(self, tree: Tree, prefix: str = "") -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for name, inner in tree.items():
            found[prefix + name] = None if isinstance(inner, dict) else bytes(inner)
            if isinstance(inner, dict):
                found |= self.flat(inner, f"{prefix}{name}/")
        return found

    async def look(self, raw: Raw, *names: str) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for entry in await raw.list(*names):
            if entry.name == "adm" and entry.uid == "adm":
                continue
            below = (*names, entry.name)
            if entry.mode & st.DMDIR:
                found["/".join(below)] = None
                found |= await self.look(raw, *below)
            else:
                data = await self.content(raw, below)
                assert len(data) == entry.length
                found["/".join(below)] = data
        return found

    async def content(self, raw: Raw, names: tuple[str, ...]) -> bytes:
        fid = await raw.open(*names)
        data = await self.all(raw, fid)
        await raw.ask(m.Tclunk(fid))
        return data

    async def all(self, raw: Raw, fid: int) -> bytes:
        data = b""
        while True:
            reply = await raw.ask(m.Tread(fid, len(data), 8192))
            if not len(reply.data):
                return data
            data += bytes(reply.data)

    # Steps

    async def create(self) -> None:
        names = self.pick()
        if self.at(names) is not None:
            return
        if self.source.random() < 0.3 and len(names) < 4:
            await self.raw.made(*names, perm=st.DMDIR | 0o755)
            self.at(names[:-1])[names[-1]] = {}
        else:
            fid = await self.raw.create(*names)
            self.at(names[:-1])[names[-1]] = content = bytearray()
            self.opens.append(Open(fid, names, content))

    async def open(self) -> None:
        names = self.pick()
        content = self.at(names)
        if isinstance(content, bytearray) and len(self.opens) < 8:
            self.opens.append(Open(await self.raw.open(*names, mode=m.ORDWR), names, content))

    async def close(self) -> None:
        if self.opens:
            opened = self.opens.pop(self.source.randrange(len(self.opens)))
            await self.raw.ask(m.Tclunk(opened.fid))

    async def write(self) -> None:
        if not self.opens:
            return
        opened = self.source.choice(self.opens)
        at = self.source.randrange(len(opened.content) + 2000)
        data = self.source.randbytes(self.source.choice((1, 100, 3000, 8000)))
        if at + len(data) > LARGEST:
            return
        assert (await self.raw.ask(m.Twrite(opened.fid, at, data))).count == len(data)
        opened.content.extend(bytes(max(0, at - len(opened.content))))
        opened.content[at : at + len(data)] = data

    async def read(self) -> None:
        if self.opens:
            opened = self.source.choice(self.opens)
            assert await self.all(self.raw, opened.fid) == opened.content

    async def cut(self) -> None:
        names = self.pick()
        content = self.at(names)
        if isinstance(content, bytearray):
            length = self.source.randrange(len(content) + 3000)
            await self.raw.ask(m.Twstat(await self.raw.walk(*names), Stat(length=length)))
            content.extend(bytes(max(0, length - len(content))))
            del content[length:]

    async def remove(self) -> None:
        names = self.pick()
        found = self.at(names)
        if found is None or found == {} or isinstance(found, bytearray):
            if found is not None:
                await self.raw.ask(m.Tremove(await self.raw.walk(*names)))
                del self.at(names[:-1])[names[-1]]
        else:
            refused = await self.raw.refused(m.Tremove(await self.raw.walk(*names)))
            assert refused == "directory is not empty"

    async def rename(self) -> None:
        names, name = self.pick(), self.source.choice(NAMES)
        folder = self.at(names[:-1])
        if self.at(names) is not None and name not in folder:
            await self.raw.ask(m.Twstat(await self.raw.walk(*names), Stat(name=name)))
            folder[name] = folder.pop(names[-1])

    async def snapshot(self) -> None:
        taken = self.fossil.history.take(SNAPSHOT)
        self.past[SNAPSHOT, taken.name] = copy.deepcopy(self.tree)

    async def archive(self) -> None:
        taken = self.fossil.history.take(ARCHIVE)
        self.past[ARCHIVE, taken.name] = copy.deepcopy(self.tree)
        if self.source.random() < 0.8:
            await self.fossil.archiver.idle()
            self.archived = True

    async def forget(self) -> None:
        self.fossil.history.expire(1 << 40)
        self.past = {key: tree for key, tree in self.past.items() if key[0] == ARCHIVE}
        for _ in range(self.source.randrange(20)):
            self.fossil.history.sweep()

    async def evict(self) -> None:
        fossil = self.fossil
        await Evictor(fossil.system, fossil.history, 50_000, fossil.archiver.wake, fossil.away.has).evict()
        await self.fossil.settle()
        # Where nothing could go an archive was made, so that something can.
        for each in self.fossil.history.all(ARCHIVE):
            self.past.setdefault((ARCHIVE, each.name), copy.deepcopy(self.tree))

    async def settle(self) -> None:
        await self.fossil.settle()

    async def look_back(self) -> None:
        if self.past:
            kind, name = key = self.source.choice(sorted(self.past))
            prefix = f"{kind}/{name}/"
            found = await self.look(self.above, kind, *name.split("/"))
            assert {path.removeprefix(prefix): data for path, data in found.items()} == self.flat(self.past[key])

    async def check(self) -> None:
        found: list[Finding] = []
        await Check(self.fossil, found.append).run()
        assert list(map(str, found)) == []

    async def everything(self) -> None:
        assert await self.look(self.raw) == self.flat(self.tree)

    # Ends

    async def crash(self) -> None:
        """The process ends without a word; the next one finds what the operating system has."""
        async with self.fossil._settling:
            # A copy of the files is what they are at one moment as long as nobody moves pages between them.
            shutil.copytree(self.place, self.folder / f"{self.generation + 1}")
        self.generation += 1

    async def lose(self) -> None:
        """The disk is lost, and the newest archive is begun with."""
        await self.fossil.archiver.idle()
        newest = self.fossil.history.last()
        self.generation += 1
        await restore(self.place, self.venti.store, label.parse(newest.score or ""))
        self.past = {key: tree for key, tree in self.past.items() if key[0] == ARCHIVE}
        self.tree = copy.deepcopy(self.past[ARCHIVE, newest.name])


WEIGHTS = {
    "create": 12,
    "open": 8,
    "close": 8,
    "write": 25,
    "read": 10,
    "cut": 5,
    "remove": 6,
    "rename": 5,
    "snapshot": 3,
    "archive": 2,
    "forget": 1,
    "evict": 3,
    "settle": 2,
    "look_back": 4,
    "check": 1,
    "everything": 2,
}


@pytest.mark.parametrize("seed", SEEDS)
async def test_life(tmp_path: Path, autojump_clock: MockClock, seed: int) -> None:
    life = Life(tmp_path, seed)
    source, left = life.source, STEPS
    while left:
        async with life.running():
            await life.everything()
            for _ in range(min(left, source.randrange(50, 200))):
                left -= 1
                await getattr(life, source.choices(list(WEIGHTS), list(WEIGHTS.values()))[0])()
            await life.everything()
            await life.check()
            end = source.choice(("restart", "crash", "crash", "lose"))
            if end == "crash":
                await life.crash()
            elif end == "lose" and life.archived:
                await life.lose()
    async with life.running():
        await life.everything()
        for _ in range(3):
            await life.look_back()
