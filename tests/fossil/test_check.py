"""Checks: nothing is found where nothing is wrong, every kind of damage is, and what venti has is repaired."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from contracts.served_file import OWNER
from fakes.flaky_venti import FlakyVenti
from fakes.ninep_client import connected
from fossil.__main__ import main
from fossil.archive.eviction import Evictor
from fossil.live.filesystem import ROOT, FileSystem
from fossil.metadata.tables import ALIVE, ALL
from fossil.past.history import ARCHIVE, SNAPSHOT
from fossil.server.check import Check, Finding
from fossil.server.service import Fossil, open_fossil
from ninep.protocol import messages as m
from ninep.protocol.errors import InputOutput
from ninep.protocol.stat import DMDIR


@asynccontextmanager
async def opened(path: Path, venti: FlakyVenti) -> AsyncIterator[Fossil]:
    async with open_fossil(path, owner=OWNER, open_store=venti.connect, clock=trio.current_time) as fossil:
        yield fossil


async def check(fossil: Fossil, *, repair: bool = False, archives: bool = False) -> list[Finding]:
    found: list[Finding] = []
    work = Check(fossil, found.append, repair=repair, archives=archives)
    checked = await work.run()
    assert checked.damaged == sum(not each.repaired for each in found)
    return found


async def fill(fossil: Fossil) -> None:
    """Files, changes, snapshots and archives; some data is in venti alone."""
    system, source = fossil.system, random.Random(1)
    folder = system.create(system.node(ROOT), "dir", DMDIR | 0o755, OWNER, OWNER)
    for n in range(30):
        node = system.create(folder, f"file{n}", 0o644, OWNER, OWNER)
        system.write(node, 0, source.randbytes(source.randrange(1, 100_000)), OWNER)
        if n % 7 == 3:
            fossil.history.take(SNAPSHOT)
        if n % 9 == 5:
            fossil.history.take(ARCHIVE)
            await fossil.archiver.idle()
        if n % 5 == 4:
            system.remove(node, OWNER)
            system.commit()
            continue
        if n % 4 == 2:
            system.write(node, source.randrange(50_000), b"patch" * 100, OWNER)
            system.truncate(node, source.randrange(60_000), OWNER, counts=True)
        if n % 6 == 1:
            system.rename(node, f"renamed{n}", OWNER)
        system.commit()
    await Evictor(system, fossil.history, 500_000, fossil.archiver.wake, fossil.away.has).evict()
    await fossil.settle()


async def test_nothing_is_wrong(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil:
        await fill(fossil)
        assert list(map(str, await check(fossil, archives=True))) == []
        fossil.history.expire(1 << 40)
        while fossil.history.sweep():
            pass
        assert list(map(str, await check(fossil, archives=True))) == []
    async with opened(tmp_path, venti) as fossil:
        assert await check(fossil, repair=True, archives=True) == []


ROWS = [
    ("DELETE FROM node WHERE name='file0'", "/active/dir: the name 'file0' leads to nothing"),
    ("DELETE FROM name WHERE name='file0'", "/active/dir/file0: is in no directory"),
    ("UPDATE extent SET length=length+70000 WHERE path=(SELECT path FROM node WHERE name='file0')", "cannot be"),
    (
        "INSERT INTO extent SELECT path, start+1, born, died, 1, place, skip, stored, digest, 0 FROM extent "
        "WHERE path=(SELECT path FROM node WHERE name='file0') AND start=0",
        "two extents have the byte at 1",
    ),
    ("UPDATE extent SET path=99999 WHERE path=(SELECT path FROM node WHERE name='file0')", "does not exist"),
]


def tamper(system: FileSystem, *statements: str) -> None:
    """Changes rows, and gives them the checksums that they have then."""
    for statement in statements:
        system.database.execute(statement)
    for table in ALL:
        for row in system.database.execute(f"SELECT {table.selected} FROM {table.name}").fetchall():
            system.database.put(table, row[: table.width], row[-2] if table.dies else ALIVE)


@pytest.mark.parametrize(("statement", "text"), ROWS)
async def test_rows(tmp_path: Path, autojump_clock: MockClock, statement: str, text: str) -> None:
    async with opened(tmp_path, FlakyVenti()) as fossil:
        system = fossil.system
        folder = system.create(system.node(ROOT), "dir", DMDIR | 0o755, OWNER, OWNER)
        node = system.create(folder, "file0", 0o644, OWNER, OWNER)
        system.write(node, 0, b"content" * 100, OWNER)
        system.commit()
        assert await check(fossil) == []
        tamper(system, statement)
        assert any(text in str(each) for each in await check(fossil)), await check(fossil)


async def test_damage_is_named_and_repaired_from_venti(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    safe, lost = random.Random(2).randbytes(150_000), random.Random(3).randbytes(5000)
    async with opened(tmp_path, venti) as fossil:
        system = fossil.system
        folder = system.create(system.node(ROOT), "dir", DMDIR | 0o755, OWNER, OWNER)
        system.write(system.create(folder, "safe", 0o644, OWNER, OWNER), 0, safe, OWNER)
        fossil.history.take(ARCHIVE)
        await fossil.archiver.idle()
        system.write(system.create(folder, "lost", 0o644, OWNER, OWNER), 0, lost, OWNER)
        system.commit()
    with (tmp_path / "data").open("r+b") as file:
        data = file.read()
        for content in (safe[70_000:70_100], lost[:100]):
            file.seek(data.index(content))
            file.write(b"damage")
    async with opened(tmp_path, venti) as fossil:
        found = await check(fossil)
        what = {each.where: each.what for each in found}
        assert set(what) == {"/active/dir/safe", "/active/dir/lost"}
        assert "bytes 65536 to 131071 are damaged" in what["/active/dir/safe"]
        assert "it is in no archive" in what["/active/dir/lost"]
        venti.away = True
        assert not any(each.repaired for each in await check(fossil, repair=True))
        venti.away = False
        await trio.sleep(60)
        found = await check(fossil, repair=True)
        assert {each.where: each.repaired for each in found} == {"/active/dir/safe": True, "/active/dir/lost": False}
        assert [each.where for each in await check(fossil)] == ["/active/dir/lost"]
        async with connected(fossil.tree, OWNER) as raw:
            assert await raw.content("dir", "safe") == safe


async def test_room_that_nothing_uses(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Pieces whose rows went and whose room was not given back, because the program ended in between."""
    async with opened(tmp_path, FlakyVenti()) as fossil:
        system = fossil.system
        for n in range(10):
            node = system.create(system.node(ROOT), f"{n}", 0o644, OWNER, OWNER)
            system.write(node, 0, b"x" * 60_000, OWNER)
        system.commit()
        tamper(
            system,
            "DELETE FROM extent WHERE path IN (SELECT path FROM node WHERE name IN ('3', '9'))",
            "UPDATE node SET holds=0 WHERE name IN ('3', '9')",
        )
    async with opened(tmp_path, FlakyVenti()) as fossil:
        work = Check(fossil, lambda _: None, repair=True)
        before = fossil.system.log.file.used()
        assert (await work.run()).unused > 100_000
        assert fossil.system.log.file.used() < before - 100_000
        assert (await Check(fossil, lambda _: None).run()).unused == 0


async def test_a_missing_block_in_venti(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil:
        await fill(fossil)
        fossil.history.take(ARCHIVE)
        await fossil.archiver.idle()
        blocks = venti.store._blocks
        del blocks[next(key for key, data in blocks.items() if len(data) == 8192 and key[1] == 13)]
        found = await check(fossil, archives=True)
        assert found
        assert all("missing" in each.what and "/dir/" in each.where for each in found)


async def test_while_everything_changes(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil:
        await fill(fossil)
        system, source = fossil.system, random.Random(4)
        folder = system.child(system.node(ROOT), "dir")
        assert folder is not None

        async def change() -> None:
            number = 0
            while True:
                number += 1
                node = system.create(folder, f"new{number}", 0o644, OWNER, OWNER)
                system.write(node, 0, source.randbytes(source.randrange(1, 70_000)), OWNER)
                if number % 3 == 0:
                    system.remove(node, OWNER)
                if number % 50 == 0:
                    fossil.history.take(SNAPSHOT)
                    fossil.history.expire(1 << 40)
                system.commit()
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(change)
            for _ in range(5):
                assert list(map(str, await check(fossil))) == []
                await fossil.settle()
            nursery.cancel_scope.cancel()


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def make() -> None:
        async with open_fossil(tmp_path, owner=OWNER) as fossil:
            system = fossil.system
            system.write(system.create(system.node(ROOT), "file", 0o644, OWNER, OWNER), 0, b"precious" * 1000, OWNER)
            fossil.history.take(ARCHIVE)
            await fossil.archiver.idle()

    assert main(["check", "--data", str(tmp_path)]) == 5
    assert "has no file system" in capsys.readouterr().err
    trio.run(make)
    assert main(["check", "--data", str(tmp_path), "--archives"]) == 0
    assert "no damage" in capsys.readouterr().out
    with (tmp_path / "data").open("r+b") as file:
        file.seek(file.read().index(b"precious") + 5)
        file.write(b"!")
    assert main(["check", "--data", str(tmp_path)]) == 4
    assert "/active/file: bytes 0 to 7999 are damaged" in capsys.readouterr().out
    assert main(["check", "--data", str(tmp_path), "--repair"]) == 0
    assert "(repaired)" in capsys.readouterr().out
    assert main(["check", "--data", str(tmp_path)]) == 0


def page_with(path: Path, text: bytes) -> int:
    """Where the page of a database begins that has these bytes."""
    return path.read_bytes().index(text) // 4096 * 4096


@pytest.mark.expects_errors
async def test_damage_in_the_database_is_told_and_nobody_is_served_from_it(tmp_path: Path) -> None:
    """What other pages have is served all the same."""
    async with open_fossil(tmp_path, owner=OWNER) as fossil, connected(fossil.tree, OWNER) as raw:
        for n in range(400):
            await raw.made(f"file{n:03}", data=b"%03d" % n * 200)
        await fossil.settle()
        digests = dict(fossil.system.database.execute("SELECT path, digest FROM extent").fetchall())
        damaged = (await raw.stat("file200")).qid.path
        assert await check(fossil) == []
    with (tmp_path / "metadata").open("r+b") as file:
        file.seek(page_with(tmp_path / "metadata", digests[damaged]))
        file.write(bytes(4096))
    async with open_fossil(tmp_path, owner=OWNER) as fossil, connected(fossil.tree, OWNER) as raw:
        with pytest.raises(InputOutput, match="/file200 is damaged"):
            await raw.content("file200")
        assert await raw.content("file399") == b"399" * 200
        found = await check(fossil)
        assert any(each.where == "the database" and "malformed" in each.what for each in found)
        assert any("restore it from a copy, or begin anew" in each.what for each in found)


@pytest.mark.expects_errors
async def test_a_root_that_is_damaged_is_an_error_of_its_clients(tmp_path: Path) -> None:
    async with open_fossil(tmp_path, owner=OWNER) as fossil:
        await fossil.settle()
    with (tmp_path / "metadata").open("r+b") as file:
        # The root's owner and group stand side by side in its row.
        file.seek(page_with(tmp_path / "metadata", OWNER.encode() * 2))
        file.write(bytes(4096))
    async with open_fossil(tmp_path, owner=OWNER) as fossil, connected(fossil.tree, OWNER, attach=False) as raw:
        assert await raw.refused(m.Tattach(0, m.NOFID, OWNER, "")) == "i/o error: / is damaged"


@pytest.mark.expects_errors
async def test_a_row_that_is_not_where_it_belongs_is_found(tmp_path: Path) -> None:
    async with open_fossil(tmp_path, owner=OWNER) as fossil:
        for n in range(10):
            node = fossil.system.create(fossil.system.node(ROOT), f"file{n}", 0o644, OWNER, OWNER)
            fossil.system.write(node, 0, b"some text", OWNER)
        digest = fossil.system.database.execute("SELECT digest FROM extent WHERE path=?", (node.path,)).fetchone
        fossil.system.commit()
        await fossil.settle()
        (row,) = digest() or fossil.system.database.execute("SELECT digest FROM extent").fetchone()
    data = bytearray((tmp_path / "metadata").read_bytes())
    # The key of a row comes first, and its path is one byte of it here.
    at = data.index(row) - 9
    while data[at] != node.path:
        at -= 1
    data[at] += 64
    (tmp_path / "metadata").write_bytes(data)
    async with open_fossil(tmp_path, owner=OWNER) as fossil:
        assert any("is damaged" in each.what for each in await check(fossil))


@pytest.mark.expects_errors
@pytest.mark.parametrize("start", [0, 4096])
def test_a_database_that_cannot_be_opened(tmp_path: Path, start: int, capsys: pytest.CaptureFixture[str]) -> None:
    trio.run(made, tmp_path)
    with (tmp_path / "metadata").open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * 40_000)
    assert main(["check", "--data", str(tmp_path)]) == 4
    said = capsys.readouterr().err
    assert f"{tmp_path}/metadata" in said
    assert "restore it from a copy" in said
    assert "Traceback" not in said


async def made(path: Path) -> None:
    async with open_fossil(path, owner=OWNER):
        pass
