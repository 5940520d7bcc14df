"""Archives of ours: read back, written incrementally, refused where they cannot be."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import StoreFull
from venti.blocks.score import ZERO_SCORE, Score
from venti.stores.memory import MemoryStore
from venti.stores.write_behind import write_behind
from venti.trees.entry import Entry
from venti.vac import mode as modes
from venti.vac.direntry import DirEntry, QidSpace
from venti.vac.reader import VacFile, VacReader, open_archive
from venti.vac.writer import DirectoryTrees, VacWriter

Tree = dict[str, "bytes | Tree"]


class CountingStore(MemoryStore):
    """Counts what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.synced = 0

    async def write(self, type: BlockType, data: Buffer) -> Score:
        self.written += 1
        return await super().write(type, data)

    async def sync(self) -> None:
        self.synced += 1


async def put(writer: VacWriter, tree: Tree) -> DirectoryTrees:
    directory = writer.directory()
    for name in sorted(tree, key=lambda name: name.encode("utf-8", "surrogateescape")):
        content = tree[name]
        if isinstance(content, bytes):
            contents = writer.tree()
            await contents.write(content)
            await directory.add_file(DirEntry(name, 0o644, qid=1, uid="glenda", mtime=5), await contents.finish())
        else:
            await directory.add_directory(DirEntry(name, modes.DIRECTORY | 0o755), await put(writer, content))
    return await directory.finish()


TOP = DirEntry("root", modes.DIRECTORY | 0o555, uid="adm", qid_space=QidSpace(0, 9))


async def archived(store: MemoryStore, tree: Tree, *, block_size: int = 8192) -> VacReader:
    writer = VacWriter(store, block_size=block_size)
    return await open_archive(store, await writer.finish(TOP, await put(writer, tree)))


async def content(directory: VacFile) -> Tree:
    return {
        file.info.name: await content(file) if file.info.directory else await file.read(0, file.size)
        for file in await directory.files()
    }


def names() -> st.SearchStrategy[str]:
    texts = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=12)
    return texts.filter(lambda name: name not in (".", "..") and _fits(name))


def _fits(name: str) -> bool:
    try:
        return bool(name.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return False


trees = st.recursive(
    st.dictionaries(names(), st.binary(max_size=40), max_size=6),
    lambda inner: st.dictionaries(names(), st.one_of(st.binary(max_size=3000), inner), max_size=6),
    max_leaves=8,
)


@given(trees, st.sampled_from([512, 8192]))
@settings(max_examples=60)
def test_trees_come_back(tree: Tree, block_size: int) -> None:
    async def check() -> None:
        archive = await archived(MemoryStore(), tree, block_size=block_size)
        assert await content(archive.top) == tree

    trio.run(check)


async def test_long_directories_are_read_piece_by_piece_and_by_name() -> None:
    tree: Tree = {f"file{number:05}": b"%d" % number for number in range(3000)}
    archive = await archived(MemoryStore(), tree)
    listing = archive.top.listing()
    pieces = []
    while piece := await listing.next():
        pieces.append(piece)
    assert len(pieces) > 1
    assert [file.info.name for piece in pieces for file in piece] == sorted(tree)
    found = await archive.walk(["file02999"])
    assert await found.read(0, 10) == b"2999"
    assert await archive.top.step("file03000") is None


async def test_what_the_top_says() -> None:
    store = CountingStore()
    writer = VacWriter(store)
    first = await writer.finish(TOP, await put(writer, {}))
    second = await writer.finish(TOP, await put(writer, {"a": b"b"}), name="fossil", previous=first)
    archive = await open_archive(store, second)
    assert (archive.root.name, archive.root.previous) == ("fossil", first)
    assert archive.top.info == TOP._replace(meta_entry=1)
    assert (await open_archive(store, first)).root.previous is None
    assert await (await open_archive(store, first)).top.files() == []
    assert store.synced == 2


async def test_attributes_come_back() -> None:
    store = MemoryStore()
    writer = VacWriter(store)
    info = DirEntry(
        "caf\udce9",
        modes.APPEND | modes.SETUID | 0o640,
        qid=2**40,
        uid="glenda",
        gid="sys",
        mid="bootes",
        mtime=2**32 - 1,
        mcount=7,
        ctime=1,
        atime=2,
    )
    top = writer.directory()
    await top.add_file(info, await writer.tree().finish())
    archive = await open_archive(store, await writer.finish(TOP, await top.finish()))
    (file,) = await archive.top.files()
    assert file.info == info
    assert (file.size, file.qid, file.entry.score) == (0, 2**40, ZERO_SCORE)


async def test_what_did_not_change_costs_one_entry() -> None:
    store = CountingStore()
    old = await archived(store, {"big": {f"{n:04}": bytes([n % 251]) * 9000 for n in range(300)}, "one": b"1" * 20000})
    store.written = 0
    writer = VacWriter(store)
    top = writer.directory()
    kept = await old.walk(["big"])
    await top.add_directory(kept.info, DirectoryTrees(kept.entry, kept.meta))
    changed = writer.tree()
    await changed.write(b"new")
    await top.add_file(DirEntry("new", 0o600), await changed.finish())
    one = await old.walk(["one"])
    await top.add_file(one.info, one.entry)
    score = await writer.finish(TOP, await top.finish(), previous=old.score)
    # The new file, the top's two streams, the top's own description, the block of three entries, the root.
    assert store.written == 6
    new = await open_archive(store, score)
    assert await content(new.top) == await content(old.top) | {"new": b"new"}


async def test_the_same_tree_makes_the_same_score() -> None:
    tree: Tree = {"a": b"1", "b": {"c": b"2" * 100000}}
    assert (await archived(MemoryStore(), tree)).score == (await archived(MemoryStore(), tree)).score


async def test_qids_are_shifted_by_the_own_offset_and_all_above() -> None:
    store = MemoryStore()
    writer = VacWriter(store)
    inner = writer.directory()
    await inner.add_file(DirEntry("file", 0o644, qid=3), await writer.tree().finish())
    middle = writer.directory()
    info = DirEntry("dir", modes.DIRECTORY | 0o755, qid=2, qid_space=QidSpace(1000, 10))
    await middle.add_directory(info, await inner.finish())
    top = writer.directory()
    await top.add_directory(info._replace(qid_space=QidSpace(100, 10)), await middle.finish())
    archive = await open_archive(store, await writer.finish(TOP, await top.finish()))
    assert (await archive.walk(["dir"])).qid == 102
    assert (await archive.walk(["dir", "dir"])).qid == 1102
    assert (await archive.walk(["dir", "dir", "file"])).qid == 1103


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0b"])
async def test_names_that_are_no_names(name: str) -> None:
    writer = VacWriter(MemoryStore())
    with pytest.raises(ValueError, match="cannot be the name"):
        await writer.directory().add_file(DirEntry(name, 0o644), await writer.tree().finish())


@pytest.mark.parametrize(("first", "second"), [("b", "a"), ("a", "a"), ("\uffff", "é"), ("ab", "a")])
async def test_names_out_of_order(first: str, second: str) -> None:
    writer = VacWriter(MemoryStore())
    directory = writer.directory()
    empty = await writer.tree().finish()
    await directory.add_file(DirEntry(first, 0o644), empty)
    with pytest.raises(ValueError, match="or twice"):
        await directory.add_file(DirEntry(second, 0o644), empty)


async def test_files_and_directories_are_not_mixed_up() -> None:
    writer = VacWriter(MemoryStore())
    empty = await writer.tree().finish()
    trees = await writer.directory().finish()
    with pytest.raises(ValueError, match="directory"):
        await writer.directory().add_file(DirEntry("a", modes.DIRECTORY), empty)
    with pytest.raises(ValueError, match="directory"):
        await writer.directory().add_file(DirEntry("a", 0o644), trees.entries)
    with pytest.raises(ValueError, match="mixed up"):
        await writer.directory().add_directory(
            DirEntry("a", modes.DIRECTORY), DirectoryTrees(trees.meta, trees.entries)
        )


async def test_a_name_that_fits_no_block() -> None:
    writer = VacWriter(MemoryStore(), block_size=512)
    with pytest.raises(ValueError, match="too long"):
        await writer.directory().add_file(DirEntry("n" * 500, 0o644), await writer.tree().finish())


@pytest.mark.parametrize("size", [0, 511, 57345])
def test_block_sizes_that_cannot_be(size: int) -> None:
    with pytest.raises(ValueError, match="512 to 57344"):
        VacWriter(MemoryStore(), block_size=size)


async def test_a_full_store_makes_no_archive() -> None:
    class Full(MemoryStore):
        async def write(self, type: BlockType, data: Buffer) -> Score:
            if len(self) >= 50:
                raise StoreFull
            return await super().write(type, data)

    store = Full()

    async def write() -> None:
        async with write_behind(store, window=4) as behind:
            writer = VacWriter(behind)
            tree = await put(writer, {f"{n:03}": b"%d" % n for n in range(100)})
            await writer.finish(TOP, tree)

    with pytest.raises(StoreFull):
        await write()
    assert not any(kind == BlockType.ROOT.wire for _, kind in store._blocks)


async def test_generations_of_kept_entries_are_kept() -> None:
    store = MemoryStore()
    writer = VacWriter(store)
    tree = writer.tree()
    await tree.write(b"seven")
    entry: Entry = (await tree.finish())._replace(generation=7)
    top = writer.directory()
    await top.add_file(DirEntry("a", 0o644), entry)
    archive = await open_archive(store, await writer.finish(TOP, await top.finish()))
    assert (await archive.walk(["a"])).entry == entry
