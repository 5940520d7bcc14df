"""No command says that all is well of what is not: their exit codes against what readers then meet."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from programs.venti_program import serving, venti
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import DamagedArchive, VentiError
from venti.blocks.score import ZERO_SCORE, Score
from venti.log.opening import open_disk_store
from venti.stores.memory import MemoryStore
from venti.trees.entry import Entry
from venti.trees.root import Root
from venti.trees.truncate import truncate
from venti.upkeep.scrub import Journal
from venti.vac import label
from venti.vac.check import ArchiveFault, Checker
from venti.vac.direntry import DirEntry, safe_name
from venti.vac.metablock import MetaBlock
from venti.vac.reader import VacFile, open_archive

DATA, DIR = BlockType.DATA, BlockType.DIR
SIZE = 512


class Forge:
    """Makes archives of which any part may be wrong."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    def block(self, type: BlockType, data: bytes) -> Score:
        block = truncate(type, data)
        return self.store.write_nowait(type, block) if len(block) else ZERO_SCORE

    def leaf(self, type: BlockType, data: bytes) -> Entry:
        return Entry(type, len(data), self.block(type, data), SIZE, SIZE)

    def names(self, infos: list[DirEntry]) -> bytes:
        block = MetaBlock(SIZE)
        for info in infos:
            block.add(info.pack())
        return bytes(block.pack()).ljust(SIZE, b"\0")

    def directory(self, infos: list[DirEntry], entries: list[Entry]) -> tuple[Entry, Entry]:
        stream = b"".join(entry.pack() for entry in entries)
        return self.leaf(DIR, stream), self.leaf(DATA, self.names(infos))

    def own(self) -> Entry:
        return self.leaf(DATA, self.names([DirEntry("/", 0x8000 | 0o755, entry=0, meta_entry=1)]))

    def root(self, *top: Entry) -> Score:
        block = self.block(DIR, b"".join(entry.pack() for entry in top))
        return self.store.write_nowait(BlockType.ROOT, Root("", "vac", block, SIZE).pack())


def file(name: str, number: int = 0, **more: int) -> DirEntry:
    return DirEntry(name, 0o644, entry=number, **more)


async def faults(store: MemoryStore, score: Score) -> list[ArchiveFault]:
    found: list[ArchiveFault] = []
    await Checker(store, found.append).run(score)
    return found


async def read_all(store: MemoryStore, score: Score) -> None:
    """As unvac does, with everything that it would refuse."""

    async def walk(directory: VacFile) -> None:
        for one in await directory.files():
            if not safe_name(one.info.name):
                raise DamagedArchive(one.info.name)
            if one.info.directory:
                await walk(one)
            else:
                await one.read(0, min(one.size, 1 << 20))

    await walk((await open_archive(store, score)).top)


def zeros_for_names(forge: Forge) -> Score:
    entries, _ = forge.directory([file("a")], [forge.leaf(DATA, b"a")])
    return forge.root(entries, Entry(DATA, 8192, ZERO_SCORE, SIZE, SIZE), forge.own())


def zeros_for_some_names(forge: Forge) -> Score:
    entries, names = forge.directory([file("a")], [forge.leaf(DATA, b"a")])
    pointers = forge.block(BlockType(1), names.score + ZERO_SCORE)
    return forge.root(entries, Entry(BlockType(1), 2 * SIZE, pointers, SIZE, SIZE), forge.own())


def zeros_for_the_top(forge: Forge) -> Score:
    nothing = Entry(DATA, SIZE, ZERO_SCORE, SIZE, SIZE)
    return forge.root(*forge.directory([file("a")], [forge.leaf(DATA, b"a")]), nothing)


def an_empty_top(forge: Forge) -> Score:
    return forge.root(*forge.directory([file("a")], [forge.leaf(DATA, b"a")]), Entry(DATA, 0, ZERO_SCORE, SIZE, SIZE))


def a_file_at_the_top(forge: Forge) -> Score:
    _entries, names = forge.directory([file("a")], [forge.leaf(DATA, b"a")])
    return forge.root(names, names, forge.own())


def two_at_the_top(forge: Forge) -> Score:
    tops = [DirEntry(name, 0x8000 | 0o755, entry=0, meta_entry=1) for name in "ab"]
    own = forge.leaf(DATA, forge.names(tops))
    return forge.root(*forge.directory([file("a")], [forge.leaf(DATA, b"a")]), own)


def a_hole_that_is_too_deep(forge: Forge) -> Score:
    return forge.root(*forge.directory([file("a")], [Entry(DATA, 1 << 20, ZERO_SCORE, SIZE, SIZE)]), forge.own())


def one_tree_cut_in_two_ways(forge: Forge) -> Score:
    sound = forge.leaf(DATA, b"a" * 400)
    wrong = sound._replace(dsize=256, size=256)
    return forge.root(*forge.directory([file("a"), file("b", 1)], [sound, wrong]), forge.own())


def one_directory_of_two_lengths(forge: Forge) -> Score:
    entries, names = forge.directory([file("a")], [forge.leaf(DATA, b"a")])
    longer = names._replace(size=3 * SIZE, type=BlockType(1))
    pointers = forge.block(BlockType(1), names.score)
    shared = names._replace(type=BlockType(1), score=pointers)
    longer = longer._replace(score=pointers)
    infos = [DirEntry(name, 0x8000 | 0o755, entry=at, meta_entry=at + 1) for name, at in (("x", 0), ("y", 2))]
    return forge.root(*forge.directory(infos, [entries, shared, entries, longer]), forge.own())


def a_name_that_leads_out(forge: Forge) -> Score:
    return forge.root(*forge.directory([file("..")], [forge.leaf(DATA, b"a")]), forge.own())


def an_entry_that_is_none(forge: Forge) -> Score:
    return forge.root(*forge.directory([file("a", 3)], [forge.leaf(DATA, b"a")]), forge.own())


WRONG = [
    zeros_for_names,
    zeros_for_some_names,
    zeros_for_the_top,
    an_empty_top,
    a_file_at_the_top,
    two_at_the_top,
    a_hole_that_is_too_deep,
    one_tree_cut_in_two_ways,
    one_directory_of_two_lengths,
    a_name_that_leads_out,
    an_entry_that_is_none,
]


@pytest.mark.parametrize("make", WRONG, ids=[make.__name__ for make in WRONG])
async def test_an_archive_that_cannot_be_read_is_not_well(make: object) -> None:
    forge = Forge()
    score = make(forge)  # type: ignore[operator]
    with pytest.raises(VentiError):
        await read_all(forge.store, score)
    assert await faults(forge.store, score)
    async with serving(forge.store) as address:
        assert await venti("check", "-h", address, label.text(score)) == 4


async def test_files_without_names_are_not_well() -> None:
    """Whoever reads it meets nothing wrong, and not the file either."""
    forge = Forge()
    entries, _ = forge.directory([file("a")], [forge.leaf(DATA, b"a")])
    score = forge.root(entries, Entry(DATA, 0, ZERO_SCORE, SIZE, SIZE), forge.own())
    await read_all(forge.store, score)
    (fault,) = await faults(forge.store, score)
    assert fault.detail == "1 of its entries have no name"


async def test_a_sound_one_is() -> None:
    forge = Forge()
    score = forge.root(*forge.directory([file("a")], [forge.leaf(DATA, b"a")]), forge.own())
    await read_all(forge.store, score)
    assert await faults(forge.store, score) == []


MUTATIONS = some.lists(some.tuples(some.integers(0, 4), some.integers(0, 600), some.integers(1, 255)), max_size=3)


@settings(max_examples=300)
@given(MUTATIONS)
def test_what_check_finds_nothing_in_can_be_read(mutations: list[tuple[int, int, int]]) -> None:
    """Any byte of any block is another one, and the scores above it say so."""
    import trio

    async def run() -> None:
        forge = Forge()

        def changed(which: int, data: bytes) -> bytes:
            content = bytearray(data)
            for number, at, by in mutations:
                if number == which and content:
                    content[at % len(content)] ^= by
            return bytes(content)

        files = [forge.leaf(DATA, b"a" * 100), forge.leaf(DATA, b"")]
        pointers = forge.block(BlockType(1), changed(4, files[0].score + ZERO_SCORE))
        files.append(Entry(BlockType(1), 2 * SIZE, pointers, SIZE, SIZE))
        stream = changed(0, b"".join(entry.pack() for entry in files))
        names = changed(1, forge.names([file("a"), file("b", 1), file("c", 2)]))
        own = changed(2, forge.names([DirEntry("/", 0x8000 | 0o755, entry=0, meta_entry=1)]))
        three = b"".join(
            entry.pack() for entry in (forge.leaf(DIR, stream), forge.leaf(DATA, names), forge.leaf(DATA, own))
        )
        block = forge.block(DIR, changed(3, three))
        score = forge.store.write_nowait(BlockType.ROOT, Root("", "vac", block, SIZE).pack())
        if not await faults(forge.store, score):
            await read_all(forge.store, score)

    trio.run(run)


# Stores


async def filled(path: Path) -> None:
    async with open_disk_store(path) as store:
        for n in range(5):
            await store.write(DATA, struct.pack(">I", n) * 50)


@pytest.mark.parametrize("command", ["verify", "stats", "scrub", "rebuild-index"])
async def test_a_store_of_a_later_format(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    await filled(tmp_path)
    (tmp_path / "format").write_text("ninegrid venti store 2\n")
    (arena,) = (tmp_path / "arenas").iterdir()
    head = bytearray(arena.read_bytes())
    head[16] = 2
    arena.write_bytes(head)
    assert await venti(command, "--store", tmp_path) == 4
    said = capsys.readouterr()
    assert "does not know: use a newer one" in said.err
    assert said.out == ""


@pytest.mark.expects_errors
async def test_a_damaged_format_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await filled(tmp_path)
    assert await venti("verify", "--store", tmp_path) == 0
    (tmp_path / "format").write_text("ninegrid venti stove 1\n")
    capsys.readouterr()
    assert await venti("verify", "--store", tmp_path) == 4
    assert f"damaged: {tmp_path / 'format'}" in capsys.readouterr().out
    await filled(tmp_path)
    assert await venti("verify", "--store", tmp_path) == 0


async def test_stats_of_a_store_that_a_scrub_found_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await filled(tmp_path)
    assert await venti("stats", "--store", tmp_path) == 0
    journal = Journal(tmp_path / "scrub")
    journal.checked[0], journal.damaged[0] = 1.0, 2
    journal.save()
    assert await venti("stats", "--store", tmp_path) == 4
    assert "damaged  2 blocks" in capsys.readouterr().out
    assert await venti("stats", "--json", "--store", tmp_path) == 4
    assert await venti("scrub", "--status", "--store", tmp_path) == 4
