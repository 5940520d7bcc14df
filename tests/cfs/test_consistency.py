"""Several clients, somebody who writes behind the cache's back, links that break, caches restarted and damaged.

The model is close-to-open. Of each file it has every content that it ever had. A reader has a floor: the oldest of them
that he may still see. It is set by his open, and raised by every change that goes through the cache. Each byte that is
read must be that of a content from the floor on.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cfs.errors import StaleFile
from cfs.upstream import upstream
from fakes.ninep_client import Raw, connected
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError
from ninep.protocol.stat import Stat
from ninep.ram.tree import RamTree
from programs.behind_cache import MIB, Grid, grid
from programs.in_thread import InThread

OWNER = "glenda"
NAMES = ("a", "b", "c")
CLIENTS = 3
MOST_READERS = 6
PAGE = 4096
LENGTHS = some.sampled_from([1, 10, 4096, 65_536, 65_537, 150_000])
OFFSETS = some.sampled_from([0, 1, 4095, 65_536, 100_000])


class File:
    """One file: every content that it had, the last one current."""

    def __init__(self, content: bytes) -> None:
        self.contents = [content]

    @property
    def now(self) -> bytes:
        return self.contents[-1]

    def write(self, offset: int, data: bytes) -> None:
        old = self.now.ljust(offset, b"\0")
        self.contents.append(old[:offset] + data + old[offset + len(data) :])

    def cut(self, length: int) -> None:
        self.contents.append(self.now[:length].ljust(length, b"\0"))


class Reader:
    """An open file of one client."""

    def __init__(self, client: int, fid: int, file: File, name: str) -> None:
        self.client = client
        self.fid = fid
        self.file = file
        self.name = name
        self.floor = len(file.contents) - 1

    def check(self, offset: int, count: int, data: bytes) -> None:
        allowed = [content[offset : offset + count] for content in self.file.contents[self.floor :]]
        if data in allowed:
            return
        assert len(data) <= max(map(len, allowed)), (offset, count, len(data), [len(one) for one in allowed])
        assert len(data) >= min(map(len, allowed)), (offset, count, len(data), [len(one) for one in allowed])
        for place, byte in enumerate(data):
            assert any(place < len(one) and one[place] == byte for one in allowed), (offset + place, byte)


class World:
    """The file server, a way to it past the cache, the cache, and its clients."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tree = RamTree(OWNER, mode=0o777)
        self.direct: Raw
        self.grid: Grid
        self.clients: list[Raw] = []
        self._up = trio.Event()
        self._down = trio.Event()

    async def run(self) -> None:
        """The cache, one after the other in the same directory. All of it in one task, as nurseries want it."""
        while True:
            async with AsyncExitStack() as stack:
                self.grid = await stack.enter_async_context(grid(self.tree, self.directory, size=2 * MIB))
                self.clients = [await stack.enter_async_context(self.grid.client()) for _ in range(CLIENTS)]
                self._up.set()
                await self._down.wait()
                self._down = trio.Event()

    async def start(self) -> None:
        await self._up.wait()

    async def restart(self) -> None:
        self._up = trio.Event()
        self._down.set()
        await self._up.wait()


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    one = World(directory)
    async with connected(one.tree, OWNER, msize=MIB) as one.direct, trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await one.start()
        yield one
        nursery.cancel_scope.cancel()


class Consistency(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory()
        self.thread = InThread(lambda: world(Path(self.scratch.name)))
        self.world = self.thread.thing
        self.files: dict[str, File] = {}
        self.readers: list[Reader] = []
        self.stamp = 0

    def teardown(self) -> None:
        self.thread.close()
        self.scratch.cleanup()

    def data(self, length: int) -> bytes:
        self.stamp = self.stamp % 251 + 1
        return bytes([self.stamp]) * length

    def changed_through_the_cache(self, file: File) -> None:
        for reader in self.readers:
            if reader.file is file:
                reader.floor = len(file.contents) - 1

    async def written(self, raw: Raw, name: str, offset: int, data: bytes, mode: int = m.OWRITE) -> None:
        fid = await raw.open(name, mode=mode)
        assert (await raw.ask(m.Twrite(fid, offset, data))).count == len(data)
        await raw.ask(m.Tclunk(fid))

    @initialize()
    def some_files(self) -> None:
        for name in NAMES:
            content = self.data(100_000)
            self.thread.call(lambda name, content: self.world.direct.made(name, data=content), name, content)
            self.files[name] = File(content)

    # Behind the cache's back

    @rule(name=some.sampled_from(NAMES), offset=OFFSETS, length=LENGTHS)
    def write_behind(self, name: str, offset: int, length: int) -> None:
        data = self.data(length)
        self.files[name].write(offset, data)
        self.thread.call(self.written, self.world.direct, name, offset, data)

    @rule(name=some.sampled_from(NAMES), length=LENGTHS)
    def cut_behind(self, name: str, length: int) -> None:
        async def cut() -> None:
            raw = self.world.direct
            await raw.ask(m.Twstat(await raw.walk(name), Stat(length=length)))

        self.files[name].cut(length)
        self.thread.call(cut)

    @rule(name=some.sampled_from(NAMES), length=LENGTHS)
    def replace_behind(self, name: str, length: int) -> None:
        data = self.data(length)

        async def replace() -> None:
            raw = self.world.direct
            await raw.ask(m.Tremove(await raw.walk(name)))
            await raw.made(name, data=data)

        self.thread.call(replace)
        self.files[name] = File(data)

    # Through the cache

    @rule(client=some.integers(0, CLIENTS - 1), name=some.sampled_from(NAMES), offset=OFFSETS, length=LENGTHS)
    def write(self, client: int, name: str, offset: int, length: int) -> None:
        data = self.data(length)
        self.files[name].write(offset, data)
        self.thread.call(self.written, self.world.clients[client], name, offset, data)
        self.changed_through_the_cache(self.files[name])

    @rule(client=some.integers(0, CLIENTS - 1), name=some.sampled_from(NAMES), length=LENGTHS)
    def truncate_and_write(self, client: int, name: str, length: int) -> None:
        data = self.data(length)
        self.files[name].cut(0)
        self.files[name].write(0, data)
        self.thread.call(self.written, self.world.clients[client], name, 0, data, m.OWRITE | m.OTRUNC)
        self.changed_through_the_cache(self.files[name])

    @rule(client=some.integers(0, CLIENTS - 1), name=some.sampled_from(NAMES))
    def read_all(self, client: int, name: str) -> None:
        """A new open sees what is there now and nothing else."""
        assert self.thread.call(self.world.clients[client].content, name) == self.files[name].now

    @rule(client=some.integers(0, CLIENTS - 1), name=some.sampled_from(NAMES))
    def look(self, client: int, name: str) -> None:
        assert self.thread.call(self.world.clients[client].stat, name).length == len(self.files[name].now)
        listed = self.thread.call(self.world.clients[client].list)
        assert {entry.name: entry.length for entry in listed} == {
            name: len(file.now) for name, file in self.files.items()
        }

    @rule(client=some.integers(0, CLIENTS - 1), name=some.sampled_from(NAMES))
    def open(self, client: int, name: str) -> None:
        fid = self.thread.call(self.world.clients[client].open, name)
        if len(self.readers) == MOST_READERS:
            self.close(0)
        self.readers.append(Reader(client, fid, self.files[name], name))

    @precondition(lambda self: self.readers)
    @rule(offset=OFFSETS, count=LENGTHS)
    def read(self, offset: int, count: int) -> None:
        """All who have a file open."""
        for reader in self.readers:
            try:
                data = self.thread.call(self.world.clients[reader.client].read, reader.fid, offset, count)
            except FileError:
                # Removed, or the link broke and another file is there now.
                if self.files[reader.name] is reader.file:
                    raise
            else:
                reader.check(offset, count, data)

    @precondition(lambda self: self.readers)
    @rule(which=some.integers(0, 99))
    def ask_for_attributes(self, which: int) -> None:
        """Whoever asks sees from then on what he was told of."""
        reader = self.readers[which % len(self.readers)]

        async def asked() -> int:
            stat = (await self.world.clients[reader.client].ask(m.Tstat(reader.fid))).stat
            return int(stat.length)

        try:
            assert self.thread.call(asked) == len(reader.file.now)
        except FileError:
            assert self.files[reader.name] is not reader.file
        else:
            reader.floor = len(reader.file.contents) - 1

    @precondition(lambda self: self.readers)
    @rule(which=some.integers(0, 99))
    def close(self, which: int) -> None:
        reader = self.readers.pop(which % len(self.readers))
        self.thread.call(self.world.clients[reader.client].ask, m.Tclunk(reader.fid))

    # What goes wrong

    @rule()
    def cut_the_links(self) -> None:
        self.thread.call(self.world.grid.cut)

    @rule()
    def restart_the_cache(self) -> None:
        self.readers.clear()
        self.thread.call(self.world.restart)

    @rule(bit=some.integers(0, 8 * PAGE - 1))
    def damage(self, bit: int) -> None:
        """All that is there is written out, and then a bit flips in every page of it."""
        self.thread.call(self.flush)
        for path in Path(self.scratch.name).glob("*.data"):
            data = bytearray(path.read_bytes())
            for page in range(0, len(data) - bit // 8, PAGE):
                data[page + bit // 8] ^= 1 << bit % 8
            path.write_bytes(data)
        self.thread.call(self.forget_what_was_checked)

    async def forget_what_was_checked(self) -> None:
        self.world.grid.store._checker.recent.clear()

    async def flush(self) -> None:
        await self.world.grid.written_out()

    @rule()
    def write_out(self) -> None:
        self.thread.call(self.flush)

    @invariant()
    def within_the_bound(self) -> None:
        assert self.world.grid.store.statistics.used <= 2 * MIB


@pytest.fixture(autouse=True)
def quick_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(upstream, "LONGEST_PAUSE", 0.01)


Consistency.TestCase.settings = settings(max_examples=15, stateful_step_count=40)


class TestConsistency(Consistency.TestCase):
    pass


def test_a_stale_fid_says_so() -> None:
    assert StaleFile.text == "file has been removed"
