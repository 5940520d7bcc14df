"""``check``: whichever block of a real archive is lost, it is named with the path of a file that needs it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import cache

import pytest

from fakes import recorded_archives
from programs.venti_program import serving, venti
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, DamagedBlock, VentiError
from venti.blocks.score import ZERO_SCORE, Score
from venti.stores.memory import MemoryStore
from venti.trees.root import Root
from venti.vac import mode as modes
from venti.vac.check import ArchiveFault, Checker
from venti.vac.direntry import DirEntry
from venti.vac.reader import VacFile, open_archive
from venti.vac.writer import VacWriter

HEART = Score.parse("44" * 20)


@cache
def archive() -> MemoryStore:
    return recorded_archives.store()


def score_of(name: str) -> Score:
    return next(
        Score.parse(row["vac"].removeprefix("vac:")) for row in recorded_archives.archives() if row["name"] == name
    )


class Broken(MemoryStore):
    """The recorded blocks, without some and with others damaged."""

    def __init__(self, lost: set[Score], damaged: set[Score] = frozenset()) -> None:
        super().__init__()
        self.lost = lost
        self.damaged = damaged
        self.asked: list[tuple[Score, BlockType]] = []

    def read_nowait(self, score: Score, type: BlockType, limit: int) -> bytes:
        self.asked.append((score, type))
        if score in self.lost:
            raise BlockNotFound(score, type)
        if score in self.damaged:
            raise DamagedBlock(score, "arena 7 offset 64")
        return archive().read_nowait(score, type, limit)


class Forgetful(MemoryStore):
    def forget(self, score: Score) -> None:
        self._blocks = {key: data for key, data in self._blocks.items() if key[0] != score}


async def faults_of(store: MemoryStore, name: str, *, previous: bool = False) -> list[ArchiveFault]:
    faults: list[ArchiveFault] = []
    await Checker(store, faults.append, previous=previous).run(score_of(name))
    return faults


async def read_everything(store: MemoryStore, top: Score, path: str) -> None:
    """Opens the archive, and reads a file or lists a directory in it."""
    file = await (await open_archive(store, top)).walk([part for part in path.split("/") if part])
    if file.info.directory:
        for child in await file.files():
            assert child.entry
    else:
        await file.read(0, file.size)


async def walk(directory: VacFile) -> AsyncIterator[VacFile]:
    for file in await directory.files():
        yield file
        if file.info.directory:
            async for inner in walk(file):
                yield inner


@pytest.mark.parametrize("name", [row["name"] for row in recorded_archives.archives()])
async def test_whole_archives(name: str) -> None:
    assert await faults_of(archive(), name) == []
    assert await faults_of(archive(), name, previous=True) == []


async def test_counts() -> None:
    row = next(row for row in recorded_archives.archives() if row["name"] == "full")
    checker = Checker(archive(), print)
    await checker.run(score_of("full"))
    directories = [file for file in row["files"] if file["mode"] & 0x8000]
    assert checker.files == len(row["files"]) - len(directories)
    assert checker.directories == len(directories) + (0 if any(f["path"] in ("", "/") for f in directories) else 1)


@pytest.mark.parametrize("name", ["full", "b512", "special", "arch2", "merged", "fossil2"])
async def test_any_lost_block_is_named_with_a_file_that_needs_it(name: str) -> None:
    probe = Broken(set())
    await faults_of(probe, name)
    blocks = list(dict.fromkeys(probe.asked))
    top = score_of(name)
    for score, type in blocks[1 :: max(1, len(blocks) // 40)]:
        if score == ZERO_SCORE:
            continue
        store = Broken({score}, set()) if type.depth else Broken(set(), {score})
        faults = await faults_of(store, name)
        named = [fault for fault in faults if fault.score == score]
        assert named, (score, type)
        assert named[0].problem == ("missing" if type.depth else "damaged")
        path = named[0].path
        with pytest.raises(VentiError):
            await read_everything(store, top, path)


async def test_one_lost_leaf_of_a_directory_hides_neither_the_others_nor_their_blocks() -> None:
    """The names of some files are lost; blocks that are lost in those files are found all the same."""
    opened = await open_archive(archive(), score_of("full"))
    directory = next(file for file in await opened.top.files() if file.info.directory)
    while (inner := [file for file in await directory.files() if file.info.directory]) and directory.meta.depth == 0:
        directory = inner[0]
    names = await directory.files()
    victim = next(file for file in names if not file.info.directory and file.size)
    store = Broken({directory.meta.score, victim.entry.score})
    faults = await faults_of(store, "full")
    assert {fault.score for fault in faults} == store.lost
    assert any("its name is lost" in fault.path for fault in faults)


async def test_files_that_share_a_tree_but_not_its_length() -> None:
    """What counts of a shared pointer block depends on the size of the file."""
    store = Forgetful()
    writer = VacWriter(store, block_size=512)
    tree = writer.tree()
    await tree.write(b"".join(bytes([n]) * 512 for n in range(1, 40)))
    entry = await tree.finish()
    top = writer.directory()
    await top.add_file(DirEntry("a", 0o644), entry._replace(size=512 * 30))
    await top.add_file(DirEntry("b", 0o644), entry)
    score = await writer.finish(DirEntry("/", modes.DIRECTORY | 0o755), await top.finish())
    checker = Checker(store, print)
    await checker.run(score)
    assert len(store) <= checker.blocks
    store.forget(Score.of(bytes([38]) * 512))
    faults: list[ArchiveFault] = []
    await Checker(store, faults.append).run(score)
    assert [fault.path for fault in faults] == ["b"]


async def test_what_is_no_archive() -> None:
    store = MemoryStore()
    score = await store.write(BlockType.ROOT, b"x" * 300)
    faults: list[ArchiveFault] = []
    await Checker(store, faults.append).run(score)
    assert [fault.problem for fault in faults] == ["malformed"]
    with pytest.raises(BlockNotFound):
        await Checker(store, faults.append).run(HEART)


async def test_directory_of_nonsense() -> None:
    store = MemoryStore()
    block = await store.write(BlockType.DIR, b"\1" * 120)
    score = await store.write(BlockType.ROOT, Root("", "vac", block, 8192).pack())
    faults: list[ArchiveFault] = []
    await Checker(store, faults.append).run(score)
    assert faults
    assert faults[0].problem == "malformed"


async def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    top = score_of("full")
    opened = await open_archive(archive(), top)
    files = [file async for file in walk(opened.top) if not file.info.directory and file.entry.depth]
    file = next(file for file in files if file.entry.score != ZERO_SCORE)
    path = file.path
    lost = file.entry.score
    async with serving(archive()) as address:
        assert await venti("check", "-h", address, f"vac:{top}") == 0
        assert capsys.readouterr().out.endswith(" bytes: nothing wrong\n")
        assert await venti("check", "-h", address, "--json", top) == 0
        assert json.loads(capsys.readouterr().out)["faults"] == []
        assert await venti("check", "-h", address, HEART) == 5
        assert "no block with score 4444" in capsys.readouterr().err
    async with serving(Broken({lost})) as address:
        assert await venti("check", "-h", address, f"vac:{top}") == 4
        out = capsys.readouterr().out
        assert f"{path}: missing block {lost}/{int(file.entry.type)}\n" in out
        assert out.endswith(": 1 missing\n")
    async with serving(Broken(set(), {lost})) as address:
        assert await venti("check", "-h", address, "--json", top) == 4
        (fault,) = json.loads(capsys.readouterr().out)["faults"]
        assert (fault["path"], fault["score"], fault["problem"]) == (path, str(lost), "damaged")


async def test_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    for words, code in [
        (["-h", "tcp!127.0.0.1!1", HEART], 3),
        (["-h", "tcp!127.0.0.1!1", "vac:123"], 2),
        (["-h", "tcp!127.0.0.1!1", f"dog:{HEART}"], 2),
        (["-h", "what ever", HEART], 2),
    ]:
        assert await venti("check", *words) == code, words
        err = capsys.readouterr().err
        assert err.startswith("venti: ")
        assert err.count("\n") == 1
