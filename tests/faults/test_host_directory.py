"""The same random work on a directory of this machine and on fossil: an fsx for one file, an fsstress for a tree.

``EXERCISES`` in the environment says how many seeds are tried; a failure names its seed and the last steps.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import CoroutineType
from typing import Any

import pytest
import trio

from fossil.files.rules import Rules
from fossil.past.history import SNAPSHOT
from ninep.protocol import messages as m
from ninep.protocol.dialect import NinePDialect
from ninep.protocol.errors import FileError, FileNotFound
from ninep.protocol.stat import DMDIR, Stat, unpack_directory
from ninep.server.session import NinePSession
from programs.opened_fossil import Opened

SEEDS = range(int(os.environ.get("EXERCISES", "4")))
OWNER = "glenda"
LONGEST = 300_000
NAMES = "abcdef"
WEIGHTS = {
    "mkdir": 12,
    "create": 15,
    "open": 12,
    "close": 8,
    "write": 25,
    "read": 15,
    "cut": 5,
    "rename": 12,
    "remove": 14,
    "list": 5,
    "snapshot": 1,
    "forget": 0.3,
    "room": 1,
    "restart": 0.5,
}
Handle = Any


class Host:
    """A directory of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def restart(self) -> None:
        """Has nothing to do."""

    def mkdir(self, path: str) -> None:
        (self.root / path).mkdir()

    def create(self, path: str) -> Handle:
        return os.open(self.root / path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)

    def open(self, path: str, truncate: bool = False) -> Handle:
        return os.open(self.root / path, os.O_RDWR | (os.O_TRUNC if truncate else 0))

    def close(self, handle: Handle) -> None:
        os.close(handle)

    def read(self, handle: Handle, offset: int, count: int) -> bytes:
        return os.pread(handle, count, offset)

    def write(self, handle: Handle, offset: int, data: bytes) -> None:
        assert os.pwrite(handle, data, offset) == len(data)

    def cut(self, handle: Handle, length: int) -> None:
        os.ftruncate(handle, length)

    def size(self, handle: Handle) -> int:
        return os.fstat(handle).st_size

    def rename(self, path: str, name: str) -> None:
        target = (self.root / path).parent / name
        (self.root / path).lstat()
        if target == self.root / path:
            return
        if target.exists():
            raise OSError(errno.EEXIST, "9P2000 replaces nothing")
        (self.root / path).rename(target)

    def remove(self, path: str) -> None:
        where = self.root / path
        where.rmdir() if where.is_dir() else where.unlink()

    def listing(self, path: str) -> set[str]:
        return set(os.listdir(self.root / path))

    def tree(self) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for path in self.root.rglob("*"):
            found[str(path.relative_to(self.root))] = None if path.is_dir() else path.read_bytes()
        return found


class Fossil:
    """The live tree of a fossil, through the messages of one client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.opened = Opened(folder, rules=Rules(permissions=False))
        self.connect()
        self.remove("adm/users")
        self.remove("adm")

    def connect(self, aname: str = "") -> None:
        self.session = NinePSession(self.opened.tree, NinePDialect())
        self.ask(m.Tversion(100_000, "9P2000"))
        self.ask(m.Tattach(0, m.NOFID, OWNER, aname))
        self.next = 0

    def restart(self, *, crash: bool = False) -> None:
        """With ``crash`` on a copy of what is there, as a kill leaves it."""
        after = self.folder.with_name(f"{self.folder.name}+")
        if crash:
            shutil.copytree(self.folder, after)
        self.opened.system.close()
        if crash:
            shutil.rmtree(self.folder)
            self.folder = after
        self.opened = Opened(self.folder, rules=Rules(permissions=False))
        self.connect()

    def ask(self, request: m.Request) -> Any:
        reply = self.session.begin(request)
        if isinstance(reply, CoroutineType):
            reply = trio.run(_awaited, reply)
        assert self.session.commit() is None
        return reply

    def walk(self, path: str) -> int:
        names = [name for name in path.split("/") if name]
        self.next += 1
        if len(self.ask(m.Twalk(0, self.next, names)).wqids) < len(names):
            raise FileNotFound
        return self.next

    def mkdir(self, path: str) -> None:
        self.close(self._made(path, DMDIR | 0o755, m.OREAD))

    def create(self, path: str) -> Handle:
        return self._made(path, 0o644, m.ORDWR)

    def _made(self, path: str, perm: int, mode: int) -> int:
        above, _, name = path.rpartition("/")
        fid = self.walk(above)
        try:
            self.ask(m.Tcreate(fid, name, perm, mode))
        except FileError:
            self.close(fid)
            raise
        return fid

    def open(self, path: str, truncate: bool = False) -> Handle:
        fid = self.walk(path)
        try:
            self.ask(m.Topen(fid, m.ORDWR | (m.OTRUNC if truncate else 0)))
        except FileError:
            self.close(fid)
            raise
        return fid

    def close(self, handle: Handle) -> None:
        self.ask(m.Tclunk(handle))

    def read(self, handle: Handle, offset: int, count: int) -> bytes:
        whole = b""
        while count > len(whole) and (
            data := bytes(self.ask(m.Tread(handle, offset + len(whole), min(count - len(whole), 60_000))).data)
        ):
            whole += data
        return whole

    def write(self, handle: Handle, offset: int, data: bytes) -> None:
        for at in range(0, len(data), 50_000):
            piece = data[at : at + 50_000]
            assert self.ask(m.Twrite(handle, offset + at, piece)).count == len(piece)

    def cut(self, handle: Handle, length: int) -> None:
        self.ask(m.Twstat(handle, Stat(length=length)))

    def size(self, handle: Handle) -> int:
        return int(self.ask(m.Tstat(handle)).stat.length)

    def rename(self, path: str, name: str) -> None:
        fid = self.walk(path)
        try:
            self.ask(m.Twstat(fid, Stat(name=name)))
        finally:
            self.close(fid)

    def remove(self, path: str) -> None:
        self.ask(m.Tremove(self.walk(path)))

    def entries(self, path: str) -> list[Stat]:
        fid = self.walk(path)
        try:
            if not self.ask(m.Tstat(fid)).stat.mode & DMDIR:
                raise OSError(errno.ENOTDIR, "not a directory")
            self.ask(m.Topen(fid, m.OREAD))
            return unpack_directory(self.read(fid, 0, 1 << 30))
        finally:
            self.close(fid)

    def listing(self, path: str) -> set[str]:
        return {entry.name for entry in self.entries(path)}

    def tree(self, path: str = "") -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for entry in self.entries(path):
            inner = f"{path}/{entry.name}".lstrip("/")
            if entry.mode & DMDIR:
                found[inner] = None
                found |= self.tree(inner)
            else:
                fid = self.walk(inner)
                self.ask(m.Topen(fid, m.OREAD))
                found[inner] = self.read(fid, 0, 1 << 30)
                self.close(fid)
        return found

    def snapshot(self) -> str:
        taken = self.opened.history.take(SNAPSHOT)
        return f"main/{taken.kind}/{taken.name}"

    def room(self) -> None:
        """Gives back what nobody needs."""
        system = self.opened.system
        while self.opened.history.sweep():
            pass
        system.sync_point.write(system.sync_point.mark())
        system.freed.settle()
        system.freed.release()
        system.log._cache.clear()


async def _awaited(work: Any) -> Any:
    return await work


def outcome(do: Callable[..., Any], *arguments: Any) -> Any:
    """What it returns, or the kind of its refusal. That a name leads through a file is one of no such file."""
    try:
        return "done", do(*arguments)
    except (FileError, OSError) as error:
        return errno.errorcode[errno.ENOENT if error.errno == errno.ENOTDIR else error.errno or 0]


@pytest.mark.parametrize("seed", SEEDS)
def test_one_file(tmp_path: Path, seed: int) -> None:
    """Reads, writes, cuts, several openers, snapshots and restarts; what the snapshots show is kept, too."""
    chance = random.Random(seed)
    host, fossil = Host(tmp_path / "host"), Fossil(tmp_path / "fossil")
    both = (host, fossil)
    handles = [[side.create("file")] for side in both]
    past: list[tuple[str, bytes]] = []
    steps: list[str] = []
    for _ in range(250):
        what = chance.choices(
            ("read", "write", "append", "cut", "open", "truncate", "close", "size", "snapshot", "room", "restart"),
            (30, 30, 10, 8, 4, 1, 4, 5, 2, 2, 1),
        )[0]
        offset, count = chance.randrange(LONGEST), chance.choice((1, 100, 4096, 10_000, 70_000, 150_000))
        number, data = chance.randrange(100), chance.randbytes(count)
        steps = [*steps[-20:], f"{what} {offset} {count}"]
        if what == "snapshot":
            fid = host.open("file")
            past.append((fossil.snapshot(), host.read(fid, 0, LONGEST * 4)))
            host.close(fid)
            continue
        if what == "room":
            fossil.room()
            continue
        if what == "restart":
            fossil.restart(crash=bool(number % 2))
            for handle in handles[0]:
                host.close(handle)
            handles = [[side.open("file")] for side in both]
            continue
        results = []
        for side, mine in zip(both, handles, strict=True):
            handle = mine[number % len(mine)]
            if what == "read":
                results.append(side.read(handle, offset, count))
            elif what == "write":
                side.write(handle, offset, data)
            elif what == "append" and side.size(handle) < LONGEST * 2:
                side.write(handle, side.size(handle), data)
            elif what == "cut":
                side.cut(handle, offset)
            elif what in ("open", "truncate"):
                mine.append(side.open("file", what == "truncate"))
            elif what == "close" and len(mine) > 1:
                side.close(mine.pop(number % len(mine)))
            elif what == "size":
                results.append(side.size(handle))
        assert len(results) < 2 or results[0] == results[1], (seed, steps)
    assert fossil.tree() == host.tree(), (seed, steps)
    fossil.room()
    for name, content in past:
        fossil.connect(name)
        assert fossil.tree()["file"] == content, (seed, name, steps)
    fossil.opened.system.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tree(tmp_path: Path, seed: int) -> None:
    """Made, written, renamed and removed, also while open, with snapshots and restarts in between."""
    chance = random.Random(seed)
    host, fossil = Host(tmp_path / "host"), Fossil(tmp_path / "fossil")
    both = (host, fossil)
    handles: list[tuple[Handle, Handle]] = []
    past: list[tuple[str, dict[str, bytes | None]]] = []
    steps: list[str] = []
    folders = [""]
    for step in range(500):
        what = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        path = f"{chance.choice(folders)}/{chance.choice(NAMES)}".lstrip("/")
        name, number = chance.choice(NAMES), chance.randrange(1000)
        offset, data = chance.randrange(100_000), chance.randbytes(chance.choice((0, 10, 5000, 80_000)))
        steps = [*steps[-20:], f"{step} {what} {path} {name} {number} {offset} {len(data)}"]
        if what in ("write", "read", "cut", "close"):
            if not handles:
                continue
            pair = handles[number % len(handles)]
            results = []
            for side, handle in zip(both, pair, strict=True):
                if what == "write":
                    results.append(outcome(side.write, handle, offset, data))
                elif what == "read":
                    results.append(outcome(side.read, handle, offset, 50_000))
                elif what == "cut":
                    results.append(outcome(side.cut, handle, offset))
                else:
                    side.close(handle)
            if what == "close":
                handles.remove(pair)
        elif what in ("create", "open"):
            results = [outcome(getattr(side, what), path) for side in both]
            if all(isinstance(result, tuple) for result in results):
                handles.append((results[0][1], results[1][1]))
                results = []
        elif what == "snapshot":
            past.append((fossil.snapshot(), host.tree()))
            continue
        elif what == "forget":
            if past:
                gone, _ = past.pop(number % len(past))
                found = fossil.opened.history.find(SNAPSHOT, gone.removeprefix("main/snapshot/"))
                assert found is not None
                fossil.opened.history.forget([found.epoch])
            continue
        elif what == "room":
            fossil.room()
            continue
        elif what == "restart":
            for handle, _ in handles:
                host.close(handle)
            handles = []
            fossil.restart(crash=bool(number % 2))
            continue
        elif what == "rename":
            results = [outcome(side.rename, path, name) for side in both]
        elif what == "list":
            results = [outcome(side.listing, path) for side in both]
        else:
            results = [outcome(getattr(side, what), path) for side in both]
        assert len(results) < 2 or results[0] == results[1], (seed, steps, results)
        folders = ["", *(inner for inner, content in host.tree().items() if content is None and inner.count("/") < 3)]
    assert fossil.tree() == host.tree(), (seed, steps)
    fossil.room()
    for moment, tree in past:
        fossil.connect(moment)
        assert fossil.tree() == tree, (seed, moment)
    fossil.opened.system.close()
