"""Trees copied from archive to archive: all of it, children first, and quickly where it is there."""

from __future__ import annotations

import json

import pytest
import trio

from fakes import recorded_archives
from ninep.wire.dialect import Buffer
from programs.venti_program import serving, venti
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, DamagedArchive
from venti.blocks.score import ZERO_SCORE, Score
from venti.protocol.messages import LARGEST_BLOCK
from venti.stores.memory import MemoryStore
from venti.trees.copy import Copier
from venti.trees.links import links
from venti.vac.check import Checker

ROWS = {row["name"]: Score.parse(row["vac"].removeprefix("vac:")) for row in recorded_archives.archives()}


class Listening(MemoryStore):
    """Looks at every block that is written whether all that it leads to is there already."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        self.reads += 1
        await trio.lowlevel.checkpoint()
        return self.read_nowait(score, type, limit)

    async def write(self, type: BlockType, data: Buffer) -> Score:
        for link in links(type, bytes(data)):
            self.read_nowait(link.score, link.type, LARGEST_BLOCK)
        await trio.lowlevel.checkpoint()
        return self.write_nowait(type, data)


async def is_whole(store: MemoryStore, score: Score) -> bool:
    checker = Checker(store, lambda fault: None, previous=True)
    await checker.run(score)
    return not checker.faults


@pytest.mark.parametrize("name", ROWS)
async def test_everything_arrives_children_first(name: str) -> None:
    source, destination = recorded_archives.store(), Listening()
    await Copier(source, destination).run(ROWS[name])
    assert await is_whole(destination, ROWS[name])
    again = Copier(source, destination, fast=True)
    await again.run(ROWS[name])
    assert (again.written, again.skipped) == (0, 1)


async def test_a_copy_that_was_interrupted_goes_on() -> None:
    source, destination = recorded_archives.store(), Listening()

    class Full(Exception):
        pass

    def count(size: int) -> None:
        if len(destination) > 200:
            raise Full

    with pytest.raises(Full):
        await Copier(source, destination, progress=count).run(ROWS["full"])
    again = Copier(source, destination, fast=True)
    await again.run(ROWS["full"])
    assert again.written < 300
    assert await is_whole(destination, ROWS["full"])


class Lacking(MemoryStore):
    def __init__(self, lost: Score) -> None:
        super().__init__()
        self._blocks = dict(recorded_archives.store()._blocks)
        self._lost = lost

    def read_nowait(self, score: Score, type: BlockType, limit: int) -> bytes:
        if score == self._lost:
            raise BlockNotFound(score, type)
        return super().read_nowait(score, type, limit)


async def test_a_block_that_the_source_lacks() -> None:
    source = recorded_archives.store()
    probe = Listening()
    await Copier(source, probe).run(ROWS["full"])
    lost = next(Score(score) for score, kind in list(probe._blocks)[50:] if kind == BlockType.DATA.wire)
    destination = MemoryStore()
    with pytest.raises(BlockNotFound):
        await Copier(Lacking(lost), destination).run(ROWS["full"])
    with pytest.raises(BlockNotFound):
        await destination.read(ROWS["full"], BlockType.ROOT, 300)
    rescue = Copier(Lacking(lost), destination, ignore=True)
    await rescue.run(ROWS["full"])
    assert [str(lost) in str(error) for error in rescue.failures] == [True]
    assert len(destination) == len(probe) - 1


async def test_what_is_no_tree() -> None:
    source = MemoryStore()
    score = await source.write(BlockType.ROOT, b"no root")
    with pytest.raises(DamagedArchive):
        await Copier(source, MemoryStore()).run(score)
    rescue = Copier(source, MemoryStore(), ignore=True)
    await rescue.run(score)
    assert (rescue.written, len(rescue.failures)) == (1, 1)


async def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    destination = MemoryStore()
    top = ROWS["fossil2"]
    async with serving(recorded_archives.store()) as there, serving(destination) as here:
        assert await venti("copy", there, here, f"vac:{top}") == 0
        assert capsys.readouterr().out.endswith("bytes written, 0 trees were there\n")
        assert await venti("copy", "-f", "--json", there, here, top) == 0
        assert json.loads(capsys.readouterr().out) == {"written": 0, "skipped": 1, "bytes": 0, "failures": []}
        assert await venti("copy", here, there, "44" * 20) == 5
        assert capsys.readouterr().err == f"venti: no block with score {'44' * 20}/16 exists\n"
        assert await venti("copy", here, "tcp!127.0.0.1!1", top) == 3
        assert capsys.readouterr().err.count("\n") == 1
        assert await venti("copy", here, there, "nonsense") == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert await venti("copy", "-t", "0", here, there, ZERO_SCORE) == 0
    assert await is_whole(destination, top)
