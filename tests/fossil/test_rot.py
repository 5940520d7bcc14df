"""Bytes of the database that change on the disk: what a client gets is right or an error, and ``check`` tells of it."""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from contracts.served_file import OWNER
from fossil.errors import DamagedData, FossilError
from fossil.live.filesystem import ROOT
from fossil.metadata.tables import ALIVE, ARCHIVED, EXTENT, NAME, NODE, SETTING, SNAPSHOT, Table
from fossil.past.history import ARCHIVE
from fossil.past.views import View, waited
from fossil.server.check import Check, Finding
from fossil.server.service import Fossil, open_fossil
from ninep.protocol.stat import DMDIR
from venti.stores.memory import MemoryStore

pytestmark = pytest.mark.expects_errors
PAGE = 4096
CLOCK = 1_796_098_798.5
FOLDERS, FILES = 5, 60


class Kept:
    """A file system on the disk, its archive in memory, and what both have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryStore()
        self.live: dict[tuple[str, str], bytes] = {}
        self.past: dict[tuple[str, str], bytes] = {}
        self.epoch = 0

    @asynccontextmanager
    async def venti(self) -> AsyncIterator[MemoryStore]:
        yield self.store

    @asynccontextmanager
    async def opened(self, folder: Path | None = None) -> AsyncIterator[Fossil]:
        async with open_fossil(
            folder or self.folder, owner=OWNER, open_store=self.venti, clock=lambda: CLOCK
        ) as fossil:
            yield fossil

    async def make(self) -> None:
        source = random.Random(1)
        async with self.opened() as fossil:
            system = fossil.system
            folders = [system.create(system.node(ROOT), f"d{n}", DMDIR | 0o755, OWNER, OWNER) for n in range(FOLDERS)]
            for n in range(FILES):
                data = source.randbytes(source.choice((0, 100, 4000, 20_000)))
                node = system.create(folders[n % FOLDERS], f"f{n}", 0o644, OWNER, OWNER)
                system.write(node, 0, data, OWNER)
                self.live[f"d{n % FOLDERS}", f"f{n}"] = data
                system.commit()
            self.epoch = fossil.history.take(ARCHIVE).epoch
            await fossil.archiver.idle()
            self.past = dict(self.live)
            for n in range(0, FILES, 3):
                node = system.child(folders[n % FOLDERS], f"f{n}")  # type: ignore[assignment]
                data = source.randbytes(3000)
                system.truncate(node, 0, OWNER, counts=True)
                system.write(node, 0, data, OWNER)
                self.live[f"d{n % FOLDERS}", f"f{n}"] = data
                system.commit()

    async def errors(self, fossil: Fossil) -> int:
        """Reads every file, now and in the archive: it has what it had, or cannot be read. How many cannot."""
        views: list[tuple[View, dict[tuple[str, str], bytes]]] = [(fossil.system, self.live)]
        views.append((fossil.history.past(self.epoch), self.past))
        count = 0
        for view, files in views:
            for names, data in files.items():
                try:
                    node = view.node(ROOT)
                    for name in names:
                        found = view.child(node, name)  # type: ignore[arg-type]
                        assert found is not None, f"{names} is said not to exist"
                        node = found
                    assert await waited(view.read(node, 0, node.length)) == data, names  # type: ignore[arg-type]
                except FossilError:
                    count += 1
        return count


async def check(fossil: Fossil, *, repair: bool = False) -> list[Finding]:
    found: list[Finding] = []
    await Check(fossil, found.append, repair=repair).run()
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    found = Kept(tmp_path_factory.mktemp("rot") / "made")
    trio.run(found.make)
    return found


@pytest.fixture
def kept(made: Kept, tmp_path: Path) -> Kept:
    copy = Kept(tmp_path / "kept")
    shutil.copytree(made.folder, copy.folder)
    copy.store, copy.live, copy.past, copy.epoch = made.store, made.live, made.past, made.epoch
    return copy


def changed(path: Path, source: random.Random, size: int) -> str:
    """Changes one bit, one byte or many of them anywhere in a file."""
    data = bytearray(path.read_bytes())
    at = source.randrange(len(data))
    if size:
        data[at : at + size] = source.randbytes(min(size, len(data) - at))
    else:
        data[at] ^= 1 << source.randrange(8)
    path.write_bytes(data)
    return f"{size} bytes at {at}"


@pytest.mark.parametrize("size", [0, 1, 60])
async def test_anywhere(kept: Kept, tmp_path: Path, size: int) -> None:
    source, healed = random.Random(size), 0
    for number in range(12):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(kept.folder, copy)
        what = f"{number}: {changed(copy / 'metadata', source, size)}"
        async with kept.opened(copy) as fossil:
            lost = await kept.errors(fossil)
            found = await check(fossil)
            assert found or not lost, what
            await check(fossil, repair=True)
            assert await kept.errors(fossil) <= lost, what
            healed += not await kept.errors(fossil)
    if size < 2:
        assert healed > 9


def spoil(fossil: Fossil, table: Table, where: str, **values: object) -> None:
    """Changes values of a row and not its checksum."""
    settings = ", ".join(f"{column}=?" for column in values)
    count = fossil.system.database.execute(f"UPDATE {table.name} SET {settings} WHERE {where}", tuple(values.values()))
    assert count.rowcount == 1


FILE = "(SELECT path FROM node WHERE name='f7')"
ROWS: list[tuple[Table, str, dict[str, object]]] = [
    (NODE, "name='f7'", {"length": 3 << 40}),
    (NODE, "name='f7'", {"uid": "\u00e9\u00e9\u00e9\u00e9", "gid": "xx"}),
    (NODE, "name='f7'", {"mode": b"none"}),
    (NODE, "name='f7'", {"died": 1}),
    (NAME, "name='f7'", {"child": 12345678}),
    (NAME, "name='f7'", {"died": 7}),
    (NAME, "name='f7'", {"name": "other"}),
    (EXTENT, f"path={FILE}", {"place": 0, "skip": 7}),
    (EXTENT, f"path={FILE}", {"digest": bytes(32)}),
    (EXTENT, f"path={FILE}", {"died": 1}),
    (EXTENT, f"path={FILE}", {"length": 5}),
    (EXTENT, f"path={FILE}", {"start": 4096 << 8}),
]


@pytest.mark.parametrize(("table", "where", "values"), ROWS)
async def test_rows(kept: Kept, table: Table, where: str, values: dict[str, object]) -> None:
    """A row that is not what it was is no answer; what can be told of it, by itself or an archive, is brought back."""
    async with kept.opened() as fossil:
        spoil(fossil, table, where, **values)
    async with kept.opened() as fossil:
        await kept.errors(fossil)
        assert await check(fossil)
        await check(fossil, repair=True)
        await kept.errors(fossil)
        if table is not NODE:
            assert await check(fossil) == []
            assert await kept.errors(fossil) == 0


GONE = [
    ("DELETE FROM name WHERE name='f7'", True),
    (f"DELETE FROM extent WHERE path={FILE}", True),
    ("DELETE FROM node WHERE name='f7'", False),
    ("DELETE FROM snapshot", False),
]


@pytest.mark.parametrize(("statement", "healed"), GONE)
async def test_rows_that_vanish(kept: Kept, statement: str, healed: bool) -> None:
    async with kept.opened() as fossil:
        fossil.system.database.execute(statement)
    async with kept.opened() as fossil:
        if "snapshot" not in statement:
            assert await kept.errors(fossil) == 2
        assert await check(fossil)
        await check(fossil, repair=True)
        if healed:
            assert await check(fossil) == []
            assert await kept.errors(fossil) == 0


async def test_a_name_that_is_lost_is_missed_in_a_listing(kept: Kept) -> None:
    async with kept.opened() as fossil:
        fossil.system.database.execute("DELETE FROM name WHERE name='f7'")
    async with kept.opened() as fossil:
        system = fossil.system
        folder = system.child(system.node(ROOT), "d2")
        assert folder is not None
        with pytest.raises(DamagedData, match="had 12 names"):
            system.children(folder)
        with pytest.raises(DamagedData):
            system.child(folder, "other")
        assert system.child(folder, "f12") is not None


async def test_settings_are_derived(kept: Kept) -> None:
    """Epoch and paths are told by what was made; no path is used twice, and no epoch."""
    async with kept.opened() as fossil:
        epoch, path = fossil.system.epoch, fossil.system.next_path
        fossil.system.database.execute("DELETE FROM setting")
    async with kept.opened() as fossil:
        system = fossil.system
        assert system.epoch >= epoch
        assert system.next_path >= path
        assert await kept.errors(fossil) == 0
        system.create(system.node(ROOT), "new", 0o644, OWNER, OWNER)
        system.commit()
        fossil.history.take(ARCHIVE)
        await fossil.archiver.idle()
        assert await check(fossil) == []


async def test_nothing_is_swept_while_a_snapshot_is_lost(kept: Kept) -> None:
    async with kept.opened() as fossil:
        system, history = fossil.system, fossil.history
        gone = history.take("snapshot")
        system.remove(system.child(system.child(system.node(ROOT), "d2"), "f7"), OWNER)  # type: ignore[arg-type]
        system.commit()
        history.take("snapshot")
        spoil(fossil, SNAPSHOT, f"epoch={kept.epoch}", time=1, name="other")
        history.forget([gone.epoch])
        assert not history.sweep()
        assert await check(fossil)
        (count,) = system.database.execute(f"SELECT count(*) FROM node WHERE name='f7' AND died<{ALIVE}").fetchone()
        assert count == 1


async def test_what_was_noted_of_an_archive_is_done_again(kept: Kept) -> None:
    async with kept.opened() as fossil:
        (first,) = fossil.system.database.execute("SELECT min(path) FROM archived").fetchone()
        spoil(fossil, ARCHIVED, f"path={first} AND changed=1", entries=bytes(80))
        fossil.history.take(ARCHIVE)
        await fossil.archiver.idle()
        found: list[Finding] = []
        await Check(fossil, found.append, archives=True).run()
        assert all("archived" in each.what for each in found)


@pytest.mark.parametrize("spoiled", ["bit", "zeros"])
async def test_the_first_page_is_brought_back(kept: Kept, spoiled: str) -> None:
    path = kept.folder / "metadata"
    data = bytearray(path.read_bytes())
    if spoiled == "zeros":
        data[:PAGE] = bytes(PAGE)
    else:
        data[data.index(b"CREATE TABLE extent")] ^= 1
    path.write_bytes(data)
    async with kept.opened() as fossil:
        assert await kept.errors(fossil) == 0
        assert await check(fossil) == []


def test_one_byte_is_told_by_the_checksum() -> None:
    source = random.Random(3)
    row = NODE.row((300, 2, 16, "na\u00efve", 7, 0o640, 10**18, -1, 10**18, 70_000, 70_000, "a", "b", "c", 2, b"x"), 12)
    assert NODE.verified(row)
    for at, value in enumerate(row):
        if isinstance(value, int):
            width = max(1, (value.bit_length() + 8) // 8)
            data = bytearray(value.to_bytes(width, "big", signed=True))
            data[source.randrange(width)] ^= 1 << source.randrange(8)
            other: object = int.from_bytes(data, "big", signed=True)
        elif isinstance(value, bytes):
            other = b"y"
        else:
            other = f"{value[:-1]}~"  # type: ignore[index]
        spoilt = (*row[:at], other, *row[at + 1 :])
        assert not NODE.verified(spoilt)
        assert NODE.mended(spoilt) == row, at
    assert NODE.mended((*row[:3], "other", *row[4:8], 0, *row[9:])) is None
    assert not SETTING.verified(("epoch", "text", 5))
