"""File systems made from archives: of ours, of the original's, and of any vac tree."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import CoroutineType

import pytest
import trio
from trio.testing import MockClock

from contracts.served_file import OWNER
from fakes.flaky_venti import FlakyVenti
from fakes.ninep_client import Raw, connected
from fakes.recorded_archives import archives, store
from fossil.__main__ import main
from fossil.archive import restored
from fossil.archive.restored import restore
from fossil.errors import DataInUse
from fossil.live.filesystem import ROOT
from fossil.past.history import ARCHIVE
from fossil.past.qidspace import offset_of
from fossil.server.service import Fossil, open_fossil
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from venti.blocks.errors import BlockNotFound, DamagedArchive
from venti.blocks.score import Score
from venti.vac import label
from venti.vac.direntry import DirEntry
from venti.vac.reader import VacFile
from venti.vac.writer import VacWriter

CONTENT = random.Random(3).randbytes(100_000)


@asynccontextmanager
async def opened(path: Path, venti: FlakyVenti) -> AsyncIterator[Fossil]:
    async with open_fossil(path, owner=OWNER, open_store=venti.connect, clock=trio.current_time) as fossil:
        yield fossil


@asynccontextmanager
async def client(fossil: Fossil, aname: str = "") -> AsyncIterator[Raw]:
    async with connected(fossil.tree, OWNER, aname=aname) as raw:
        yield raw


async def archive(fossil: Fossil) -> str:
    fossil.history.take(ARCHIVE)
    await fossil.archiver.idle()
    return fossil.history.last().score or ""


async def original(path: Path, venti: FlakyVenti) -> str:
    """A file system with two archives; the score of the second."""
    async with opened(path, venti) as fossil, client(fossil) as raw:
        await raw.made("dir", perm=st.DMDIR | 0o775)
        await raw.made("dir", "file", data=b"first")
        await raw.made("dir", "gone", data=b"gone")
        await raw.made("dir", "sub", perm=st.DMDIR | 0o775)
        fid = await raw.create("dir", "sub", "large")
        for at in range(0, len(CONTENT), 5000):
            await raw.ask(m.Twrite(fid, at, CONTENT[at : at + 5000]))
        await raw.made("log", data=b"line\n", perm=st.DMAPPEND | 0o664)
        await raw.made("empty")
        await archive(fossil)
        await raw.ask(m.Tremove(await raw.walk("dir", "gone")))
        await raw.ask(m.Twrite(await raw.open("dir", "file", mode=m.OWRITE), 0, b"second"))
        return await archive(fossil)


async def test_tree_and_past_are_there_and_stay_in_venti(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    score = await original(tmp_path / "old", venti)
    found = await restore(tmp_path / "new", venti.store, label.parse(score))
    assert found.archives == 2
    async with opened(tmp_path / "new", venti) as fossil:
        assert fossil.history.last().score == score
        days = [each.name for each in fossil.history.all(ARCHIVE)]
        async with client(fossil, "main") as raw:
            assert await raw.content("active", "dir", "file") == b"second"
            old = ["archive", *days[0].split("/")]
            assert await raw.content(*old, "dir", "file") == b"first"
            assert await raw.content(*old, "dir", "gone") == b"gone"
            assert {entry.name for entry in await raw.list("active", "dir")} == {"file", "sub"}
            assert {entry.name for entry in await raw.list(*old, "dir")} == {"file", "sub", "gone"}
            assert await raw.content("active", "empty") == b""
            assert (await raw.stat("active", "log")).mode == st.DMAPPEND | 0o664
            assert (tmp_path / "new" / "data").stat().st_size < 1000
            assert await raw.content("active", "dir", "sub", "large") == CONTENT
            reads = venti.reads
            assert await raw.content("archive", *days[1].split("/"), "dir", "sub", "large") == CONTENT
            assert venti.reads - reads < 10


async def test_qids(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Files keep their paths; versions go up by a leap; new files get paths that no file had."""
    venti = FlakyVenti()
    score = await original(tmp_path / "old", venti)
    async with opened(tmp_path / "old", venti) as fossil, client(fossil) as raw:
        before = (await raw.stat("dir", "file")).qid
        await raw.made("after the archive")
        lost = (await raw.stat("after the archive")).qid
    await restore(tmp_path / "new", venti.store, label.parse(score))
    async with opened(tmp_path / "new", venti) as fossil, client(fossil) as raw:
        now = (await raw.stat("dir", "file")).qid
        assert now.path == before.path
        assert now.version > before.version + 1000
        await raw.made("new")
        assert (await raw.stat("new")).qid.path > lost.path + 1000


async def test_it_can_be_changed_and_archived_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    score = await original(tmp_path / "old", venti)
    await restore(tmp_path / "new", venti.store, label.parse(score))
    async with opened(tmp_path / "new", venti) as fossil:
        async with client(fossil) as raw:
            fid = await raw.open("dir", "sub", "large", mode=m.OWRITE)
            await raw.ask(m.Twrite(fid, 60_000, b"changed"))
            await raw.made("dir", "sub", "new", data=b"new")
            assert await raw.refused(m.Tremove(await raw.walk("dir"))) == "directory is not empty"
        before = venti.written
        third = await archive(fossil)
        assert venti.written - before < 90
    changed = CONTENT[:60_000] + b"changed" + CONTENT[60_007:]
    await restore(tmp_path / "again", venti.store, label.parse(third))
    async with opened(tmp_path / "again", venti) as fossil, client(fossil, "main") as raw:
        days = [each.name for each in fossil.history.all(ARCHIVE)]
        scores = [each.score for each in fossil.history.all(ARCHIVE)]
        assert len(days) == 3
        assert scores[1:] == [score, third]
        assert await raw.content("active", "dir", "sub", "large") == changed
        assert await raw.content("archive", *days[0].split("/"), "dir", "sub", "large") == CONTENT
        assert await raw.content("archive", *days[0].split("/"), "dir", "file") == b"first"


async def test_while_venti_is_away(tmp_path: Path, autojump_clock: MockClock) -> None:
    """What has been looked at is there; the rest is an error that ends when venti is back."""
    venti = FlakyVenti()
    score = await original(tmp_path / "old", venti)
    await restore(tmp_path / "new", venti.store, label.parse(score))
    async with opened(tmp_path / "new", venti) as fossil, client(fossil) as raw:
        assert await raw.content("dir", "file") == b"second"
        sub = await raw.walk("dir", "sub")
        venti.away = True
        assert await raw.content("dir", "file") == b"second"
        for _ in range(3):
            assert len((await raw.ask(m.Twalk(0, raw.fid(), ["dir", "sub", "large"]))).wqids) == 2
            assert (
                await raw.refused(m.Twalk(sub, raw.fid(), ["large"]))
                == "i/o error: /dir/sub is in venti, which does not answer"
            )
        await raw.made("dir", "meanwhile", data=b"written")
        assert await raw.content("dir", "meanwhile") == b"written"
        venti.away = False
        await trio.sleep(120)
        assert await raw.content("dir", "sub", "large") == CONTENT


async def test_a_snapshot_of_what_was_never_looked_at(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    score = await original(tmp_path / "old", venti)
    await restore(tmp_path / "new", venti.store, label.parse(score))
    async with opened(tmp_path / "new", venti) as fossil:
        taken = fossil.history.take(ARCHIVE)
        async with client(fossil) as raw:
            await raw.ask(m.Twrite(await raw.open("dir", "file", mode=m.OWRITE), 0, b"third!"))
        async with client(fossil, "main") as raw:
            assert await raw.content("archive", *taken.name.split("/"), "dir", "file") == b"second"
            assert await raw.content("active", "dir", "file") == b"third!"


async def test_many_ask_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path / "old", venti) as fossil:
        system = fossil.system
        for n in range(1500):
            node = system.create(system.node(ROOT), f"f{n:04}", 0o644, OWNER, OWNER)
            system.write(node, 0, b"%d" % n, OWNER)
        score = await archive(fossil)
    await restore(tmp_path / "new", venti.store, label.parse(score))
    async with opened(tmp_path / "new", venti) as fossil, client(fossil) as raw:
        reads = venti.reads
        calls = [raw.client.begin(m.Twalk(0, raw.fid(), [f"f{n:04}"])) for n in range(0, 1500, 10)]
        for call in calls:
            assert len((await raw.client.wait(call)).wqids) == 1
        assert venti.reads - reads < 100
        assert len(await raw.list()) == 1501


async def test_any_vac_tree(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Without the shape of a fossil, and with one id for two files: paths are new ones."""
    venti = FlakyVenti()
    writer = VacWriter(venti.store)
    top = writer.directory()
    for name, data in (("a", b"alpha"), ("b", b"beta"), ("odd\udcff", b"odd")):
        tree = writer.tree()
        await tree.write(data)
        await top.add_file(DirEntry(name, 0o644, qid=1, uid="glenda", mtime=5), await tree.finish())
    score = await writer.finish(DirEntry("", 0o755 | 1 << 15), await top.finish())
    await restore(tmp_path / "new", venti.store, score)
    async with opened(tmp_path / "new", venti) as fossil, client(fossil) as raw:
        assert [await raw.content(name) for name in ("a", "b", "odd\\xff")] == [b"alpha", b"beta", b"odd"]
        assert len({(await raw.stat(name)).qid.path for name in ("a", "b", "odd\\xff")}) == 3
        assert fossil.history.all(ARCHIVE) == []


async def test_what_cannot_be_restored(tmp_path: Path) -> None:
    venti = FlakyVenti()
    with pytest.raises(BlockNotFound):
        await restore(tmp_path / "new", venti.store, Score(b"x" * 20))
    assert not (tmp_path / "new").exists()
    score = await original(tmp_path / "old", venti)
    with pytest.raises(DataInUse, match="choose another"):
        await restore(tmp_path / "old", venti.store, label.parse(score))
    with pytest.raises((DamagedArchive, BlockNotFound)):
        await restore(tmp_path / "new", venti.store, Score.of(b"text"))


@pytest.mark.parametrize("name", ["fossil1", "fossil2"])
async def test_the_originals_archives(tmp_path: Path, autojump_clock: MockClock, name: str) -> None:
    """Recorded from the C fossil: every file of the live tree and of each day, by its SHA-256."""
    known = next(each for each in archives() if each["name"] == name)
    venti = FlakyVenti()
    venti.store = store()
    await restore(tmp_path, venti.store, label.parse(known["vac"]))
    async with opened(tmp_path, venti) as fossil, client(fossil, "main") as raw:
        checked = 0
        for file in known["files"]:
            names = file["path"].split("/")
            if names[0] == "snapshot" or (names[0] == "archive" and len(names) < 4):
                continue
            stat = await raw.stat(*names)
            if stat.mode & st.DMDIR:
                continue
            assert stat.length == file["size"], names
            assert hashlib.sha256(await raw.content(*names)).hexdigest() == file["sha256"], names
            day = "/".join(names[1:3]) if names[0] == "archive" else ""
            taken = fossil.history.find(ARCHIVE, day)
            moved = offset_of(taken.epoch) if taken is not None else 0
            assert (stat.qid.path, stat.mtime) == (file["qid"] + moved, file["mtime"])
            checked += 1
        assert checked >= 6


def test_format_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the archive embedded in the same directory, where the live file system was lost."""

    async def make() -> str:
        async with open_fossil(tmp_path, owner=OWNER) as fossil:
            system = fossil.system
            node = system.create(system.node(ROOT), "file", 0o644, OWNER, OWNER)
            system.write(node, 0, b"saved", OWNER)
            return await archive(fossil)

    async def look() -> bytes:
        async with open_fossil(tmp_path, owner=OWNER) as fossil:
            system = fossil.system
            node = system.child(system.node(ROOT), "file")
            assert node is not None
            data = system.read(node, 0, 100)
            return bytes(await data if isinstance(data, CoroutineType) else data)

    score = trio.run(make)
    command = ["format", "--data", str(tmp_path), "--from", score]
    assert main(command) == 1
    assert "has a file system already" in capsys.readouterr().err
    for name in ("metadata", "data", "settled"):
        (tmp_path / name).unlink()
    assert main([*command[:-1], "vac:1234"]) == 1
    assert "40 hexadecimal digits" in capsys.readouterr().err
    assert main([*command[:-1], "vac:" + "0" * 40]) == 5
    assert "no block with score" in capsys.readouterr().err
    assert main(command) == 0
    assert "1 archives; its table of users is here" in capsys.readouterr().out
    assert trio.run(look) == b"saved"
    assert main(["format", "--data", str(tmp_path / "empty")]) == 0
    assert (tmp_path / "empty" / "metadata").exists()


async def test_one_that_was_interrupted_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is left of it is taken for a file system, and it can be made again."""
    venti, folder, left = FlakyVenti(), tmp_path / "new", tmp_path / "left"
    score = label.parse(await original(tmp_path / "old", venti))
    spans = restored._spans

    def interrupted(trees: Sequence[VacFile]) -> list[tuple[int, int, VacFile]]:
        shutil.copytree(folder, left)
        return spans(trees)

    with monkeypatch.context() as patch:
        patch.setattr(restored, "_spans", interrupted)
        await restore(folder, venti.store, score)
    assert not (left / "metadata").exists()
    await restore(left, venti.store, score)
    for path in (folder, left):
        async with opened(path, venti) as fossil, client(fossil) as raw:
            assert await raw.content("dir", "file") == b"second"
        assert not [entry.name for entry in path.iterdir() if "metadata." in entry.name]
