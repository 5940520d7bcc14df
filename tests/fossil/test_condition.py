"""What status says, and when it says that all is well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from contracts.served_file import OWNER
from fakes.flaky_venti import FlakyVenti
from fakes.ninep_client import connected
from fossil.console.report import Verdict
from fossil.errors import ArchiveAway, FossilError
from fossil.live.filesystem import ROOT
from fossil.past.history import ARCHIVE
from fossil.server.check import Check, Finding
from fossil.server.condition import conditions
from fossil.server.service import Fossil, open_fossil
from ninep.protocol.errors import NinepError
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import ReadOnlyStore, StoreFull
from venti.blocks.score import Score
from venti.stores.memory import MemoryStore


@asynccontextmanager
async def opened(path: Path, venti: FlakyVenti) -> AsyncIterator[Fossil]:
    async with open_fossil(
        path, owner=OWNER, open_store=venti.connect, clock=trio.current_time, where=lambda: "tcp!there!17034"
    ) as fossil:
        yield fossil


async def wrong(fossil: Fossil) -> list[str]:
    return [one.text for one in await conditions(fossil) if one.wrong]


async def test_all_is_well(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil:
        assert [one.text for one in await conditions(fossil)] == [
            "venti tcp!there!17034 answers",
            "nothing has been archived yet: say 'snap -a', and wait until it is written",
        ]
        fossil.history.take(ARCHIVE)
        await fossil.archiver.idle()
        assert await wrong(fossil) == []
        assert any("has what was archived" in one.text for one in await conditions(fossil))


async def test_an_embedded_archive_that_nothing_is_in_is_not_made(tmp_path: Path) -> None:
    async with open_fossil(tmp_path, owner=OWNER) as fossil:
        assert await wrong(fossil) == []
        assert not (tmp_path / "venti").exists()
        fossil.history.take(ARCHIVE)
        await fossil.archiver.idle()
        assert await wrong(fossil) == []


async def test_venti_is_away_and_comes_back(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    venti.away = True
    async with opened(tmp_path, venti) as fossil:
        (line,) = await wrong(fossil)
        assert line.startswith("venti tcp!there!17034 is away: nobody answers")
        fossil.history.take(ARCHIVE)
        await trio.sleep(4000)
        waits, line = await wrong(fossil)
        assert waits == "1 archives wait to be written, the oldest since 66 minutes"
        venti.away = False
        assert await wrong(fossil) == []
        assert not fossil.history.waiting()
        await trio.sleep(100)
        venti.away = True
        assert len(await wrong(fossil)) == 1


async def test_venti_does_not_answer(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil:
        await fossil.archiver.idle()
        venti.mute_after = 0
        fossil.history.take(ARCHIVE)
        fossil.archiver.wake()
        await trio.sleep(1)
        assert any("has not answered for 5 seconds" in line for line in await wrong(fossil))


@pytest.mark.parametrize("error", [StoreFull(), ReadOnlyStore()], ids=["full", "read-only"])
async def test_a_venti_that_takes_nothing(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    venti = FlakyVenti()

    def refuse(type: BlockType, data: bytes) -> Score:
        raise error

    async with opened(tmp_path, venti) as fossil:
        await fossil.archiver.idle()
        monkeypatch.setattr(venti.store, "write_nowait", refuse)
        fossil.history.take(ARCHIVE)
        with pytest.raises(FossilError, match=str(error)):
            await fossil.archiver.idle()
        assert f"archiver: venti tcp!there!17034: {error}" in await wrong(fossil)
        tries = venti.dialled
        await trio.sleep(600)
        # It is not tried in a circle.
        assert venti.dialled - tries < 20
        monkeypatch.undo()
        assert await wrong(fossil) == []


@pytest.mark.expects_errors
async def test_a_venti_that_lost_everything(tmp_path: Path, autojump_clock: MockClock) -> None:
    venti = FlakyVenti()
    async with opened(tmp_path, venti) as fossil:
        fossil.history.take(ARCHIVE)
        await fossil.archiver.idle()
        await trio.sleep(100)
        venti.store = MemoryStore()
        assert any("does not have everything" in line for line in await wrong(fossil))
        await fossil.archiver.idle()
        assert await wrong(fossil) == []


async def test_halted_and_stopped(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with opened(tmp_path, FlakyVenti()) as fossil:
        fossil.system.halted = True
        assert await wrong(fossil) == ["halted"]
        fossil.system.halted = False
        fossil.system.full = True
        assert await wrong(fossil) == ["file system is full: remove files or old snapshots, or make room on the disk"]
        fossil.system.full = False
        assert await wrong(fossil) == []


@pytest.mark.expects_errors
async def test_damage_that_was_met(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with opened(tmp_path, FlakyVenti()) as fossil:
        node = fossil.system.create(fossil.system.node(ROOT), "file", 0o644, OWNER, OWNER)
        fossil.system.write(node, 0, b"sound " * 5000, OWNER)
        fossil.system.commit()
        await fossil.settle()
    place = (tmp_path / "data").read_bytes().index(b"sound ")
    with (tmp_path / "data").open("r+b") as file:
        file.seek(place)
        file.write(b"!")
    async with opened(tmp_path, FlakyVenti()) as fossil:
        assert await wrong(fossil) == []
        async with connected(fossil.tree, OWNER) as raw:
            with pytest.raises(NinepError):
                await raw.content("file")
        (line,) = await wrong(fossil)
        assert line.startswith("damage was met: /file is damaged")


@pytest.mark.expects_errors
async def test_no_word_decides_what_check_ends_with(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A file may have any name; only what was counted is damage, and archives that are away are not well."""
    venti, name = FlakyVenti(), "3 things are damaged"
    async with opened(tmp_path, venti) as fossil:
        node = fossil.system.create(fossil.system.node(ROOT), name, 0o644, OWNER, OWNER)
        fossil.system.write(node, 0, b"sound " * 5000, OWNER)
        fossil.system.commit()
        fossil.history.take(ARCHIVE)
        await fossil.archiver.idle()
        await fossil.settle()
    place = (tmp_path / "data").read_bytes().index(b"sound ")
    with (tmp_path / "data").open("r+b") as file:
        file.seek(place)
        file.write(b"!")
    async with opened(tmp_path, venti) as fossil:
        found: list[Finding] = []
        assert (await Check(fossil, found.append).run()).verdict == Verdict.DAMAGED
        found.clear()
        assert (await Check(fossil, found.append, repair=True).run()).verdict == Verdict.OK
        assert any(name in str(finding) for finding in found)
        assert (await Check(fossil, found.append, archives=True).run()).verdict == Verdict.OK
        await trio.sleep(100)
        venti.away = True
        check = Check(fossil, found.append, archives=True)
        with pytest.raises(ArchiveAway):
            await check.run()
        assert check.checked.verdict == Verdict.AWAY
