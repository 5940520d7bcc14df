"""Hash trees against a plain byte string: any cut, any holes, any damage."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, DamagedArchive
from venti.blocks.score import ZERO_SCORE, Score
from venti.stores.fetch import fetch
from venti.stores.interface import BlockStore
from venti.stores.memory import MemoryStore
from venti.trees import geometry
from venti.trees.entry import ACTIVE, Entry
from venti.trees.tree import TreeReader, TreeWriter


class CountingStore:
    """A far-away store: every call lets others run. Counts what is under way and what was read and written."""

    def __init__(self) -> None:
        self.blocks = MemoryStore()
        self.running = self.most = self.reads = self.writes = 0

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        self.reads += 1
        self.running += 1
        self.most = max(self.most, self.running)
        await trio.sleep(0.001)
        self.running -= 1
        return await self.blocks.read(score, type, limit)

    async def write(self, type: BlockType, data: Buffer) -> Score:
        assert len(data)
        self.writes += 1
        return await self.blocks.write(type, data)

    async def sync(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


async def written(store: BlockStore, data: bytes, *, dsize: int = 8192, psize: int | None = None) -> Entry:
    writer = TreeWriter(store, dsize=dsize, psize=psize)
    await writer.write(data)
    return await writer.finish()


SMALL = {"dsize": 256, "psize": 260}
"""Thirteen scores a block: trees are deep while they are small."""


@pytest.mark.parametrize(
    ("size", "depth"),
    [(0, 0), (1, 0), (256, 0), (257, 1), (13 * 256, 1), (13 * 256 + 1, 2), (169 * 256, 2), (169 * 256 + 1, 3)],
)
async def test_depth_is_what_the_size_needs(size: int, depth: int) -> None:
    data = bytes(range(1, 252)) * (size // 251 + 1)
    entry = await written(MemoryStore(), data[:size], **SMALL)
    assert (entry.size, entry.depth, entry.type) == (size, depth, depth)
    assert geometry.depth(size, 260, 256) == depth


Piece = tuple[str, int]
pieces = st.lists(
    st.tuples(st.sampled_from(["data", "zeros", "hole"]), st.one_of(st.integers(0, 600), st.integers(0, 20_000))),
    max_size=8,
)


async def appended(writer: TreeWriter, parts: list[Piece]) -> bytes:
    model = bytearray()
    for number, (kind, size) in enumerate(parts):
        if kind == "hole":
            await writer.hole(size)
            model += bytes(size)
        else:
            data = bytes(size) if kind == "zeros" else (bytes(range(number, 251)) * (size // 200 + 1))[:size]
            await writer.write(data)
            model += data
    return bytes(model)


@given(pieces, st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 50_000)), max_size=5))
@settings(max_examples=60)
def test_reader_and_writer_agree_with_a_byte_string(parts: list[Piece], reads: list[tuple[int, int]]) -> None:
    async def check() -> None:
        store = MemoryStore()
        writer = TreeWriter(store, **SMALL)
        model = await appended(writer, parts)
        entry = await writer.finish()
        assert entry.size == len(model)
        assert entry.depth == geometry.depth(len(model), 260, 256)
        # However it was put together, the same bytes have one score.
        assert entry == await written(store, model, **SMALL)
        reader = TreeReader(store, entry)
        assert await reader.read(0, len(model) + 1) == model
        for offset, count in reads:
            assert await reader.read(offset, count) == model[offset : offset + count]
            found = await reader.next_data(min(offset, len(model)))
            expected = next(
                (
                    max(leaf, offset)
                    for leaf in range(offset // 256 * 256, len(model), 256)
                    if any(model[leaf : leaf + 256])
                ),
                len(model),
            )
            assert found == expected

    trio.run(check)


@given(pieces, pieces, st.integers(0, 300))
@settings(max_examples=40)
def test_what_stayed_is_kept_without_reading_it(first: list[Piece], second: list[Piece], leaves: int) -> None:
    async def check() -> None:
        store = MemoryStore()
        writer = TreeWriter(store, **SMALL)
        old = await appended(writer, first)
        reader = TreeReader(store, await writer.finish())
        again = TreeWriter(store, **SMALL)
        kept = min(leaves * 256, len(old) // 256 * 256)
        await again.keep(reader, kept)
        new = old[:kept] + await appended(again, second)
        assert await again.finish() == await written(store, new, **SMALL)

    trio.run(check)


async def test_a_change_in_a_large_tree_touches_only_its_path() -> None:
    store = CountingStore()
    data = bytes((i * 31) % 253 for i in range(500 * 256 + 100))
    old = TreeReader(store, await written(store, data, **SMALL))
    store.writes = store.reads = 0
    writer = TreeWriter(store, **SMALL)
    await writer.keep(old, 200 * 256)
    await writer.write(b"x" * 256)
    await writer.keep(old, len(data) - 201 * 256)
    entry = await writer.finish()
    # The leaf, the pointers above it, and the last ones of the tree again.
    assert store.writes <= 1 + 2 * entry.depth
    assert store.reads <= 8
    changed = data[: 200 * 256] + b"x" * 256 + data[201 * 256 :]
    assert entry == await written(store, changed, **SMALL)


async def test_what_cannot_be_kept() -> None:
    store = MemoryStore()
    old = TreeReader(store, await written(store, b"1" * 1000, **SMALL))
    other = TreeReader(store, await written(store, b"1" * 1000, dsize=512))
    for source, count in ((old, 100), (old, 1001), (other, 512)):
        with pytest.raises(ValueError, match=r"kept|whole leaves"):
            await TreeWriter(store, **SMALL).keep(source, count)
    writer = TreeWriter(store, **SMALL)
    await writer.keep(old, 1000)
    with pytest.raises(ValueError, match="nothing can follow"):
        await writer.write(b"more")


async def test_zeros_are_never_written() -> None:
    store = CountingStore()
    writer = TreeWriter(store)
    await writer.hole(2**44 - 10**6)
    await writer.write(bytes(10**5))
    entry = await writer.finish()
    assert (store.writes, entry.score, entry.depth) == (0, ZERO_SCORE, 4)
    reader = TreeReader(store, entry)
    assert await reader.read(2**43, 100) == bytes(100)
    assert await reader.next_data(0) == entry.size
    assert store.reads == 0


async def test_data_far_inside_a_hole_is_found() -> None:
    store = CountingStore()
    writer = TreeWriter(store)
    await writer.hole(2**40 + 5)
    await writer.write(b"here")
    await writer.hole(2**40)
    reader = TreeReader(store, await writer.finish())
    assert await reader.next_data(0) == 2**40
    assert await reader.read(2**40, 12) == bytes(5) + b"here" + bytes(3)
    assert await reader.next_data(2**40 + 8192) == reader.size
    assert store.reads < 20


async def test_reads_are_many_at_a_time_but_not_more_than_allowed(autojump_clock: trio.testing.MockClock) -> None:
    store = CountingStore()
    data = bytes((i * 31) % 253 for i in range(300_000))
    entry = await written(store, data, **SMALL)
    assert await TreeReader(store, entry, window=16).read(0, 300_000) == data
    assert store.most == 16


async def test_trees_that_are_too_large() -> None:
    with pytest.raises(ValueError, match="more than an entry"):
        await TreeWriter(MemoryStore(), dsize=57344).hole(2**48)
    with pytest.raises(ValueError, match="more than an entry"):
        await TreeWriter(MemoryStore(), dsize=256).hole(2**40)


def damaged(**changes: object) -> Callable[[Entry], Entry]:
    return lambda entry: entry._replace(**changes)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (damaged(flags=0), "not in use"),
        (damaged(size=2**40), "bad depth 2: 1099511627776 bytes need"),
        (damaged(type=BlockType.DATA), "bad depth 0"),
    ],
)
async def test_entries_that_cannot_be(change: Callable[[Entry], Entry], text: str) -> None:
    store = MemoryStore()
    entry = await written(store, b"1" * 10_000, **SMALL)
    with pytest.raises(DamagedArchive, match=text):
        TreeReader(store, change(entry))


async def test_a_block_that_is_larger_than_the_entry_says() -> None:
    store = MemoryStore()
    entry = await written(store, b"1" * 600, dsize=8192)
    reader = TreeReader(store, entry._replace(dsize=512, type=BlockType.DATA, size=500))
    with pytest.raises(DamagedArchive, match="600 bytes stands where at most 512"):
        await reader.read(0, 10)


async def test_a_missing_block_is_an_error_and_not_zeros() -> None:
    store = MemoryStore()
    entry = await written(store, bytes(range(1, 251)) * 400, **SMALL)
    for key in list(store._blocks)[::50]:
        del store._blocks[key]
    with pytest.raises(BlockNotFound):
        await TreeReader(store, entry).read(0, entry.size)


async def test_more_levels_than_needed_are_fine() -> None:
    store = MemoryStore()
    entry = await written(store, b"leaf", **SMALL)
    for depth in range(1, 8):
        score = await store.write(BlockType(depth), entry.score)
        entry = entry._replace(type=BlockType(depth), score=score)
        reader = TreeReader(store, entry)
        assert await reader.read(0, 100) == b"leaf"
        assert await reader.next_data(0) == 0


async def test_twenty_zero_bytes_are_a_hole_too() -> None:
    store = MemoryStore()
    leaf = await store.write(BlockType.DATA, b"x" * 256)
    top = await store.write(BlockType.DATA_1, bytes(20) + leaf)
    reader = TreeReader(store, Entry(BlockType.DATA_1, 512, top, 260, 256, ACTIVE))
    assert await reader.read(0, 512) == bytes(256) + b"x" * 256
    assert await reader.next_data(0) == 256


async def test_the_first_failure_ends_the_others() -> None:
    store = CountingStore()
    good = [await store.blocks.write(BlockType.DATA, b"%d" % n) for n in range(100)]
    wanted = [(score, BlockType.DATA, 100) for score in good]
    wanted[3] = (Score(bytes(20)), BlockType.DATA, 100)
    with pytest.raises(BlockNotFound):
        await fetch(store, wanted, window=4)
    assert store.reads < 10


@given(st.integers(0, 2**44), st.integers(20, 57344), st.integers(256, 57344))
def test_depth_is_the_least_that_reaches(size: int, psize: int, dsize: int) -> None:
    psize = max(psize, 256)
    depth = geometry.depth(size, psize, dsize)
    leaves = geometry.leaves(size, dsize)
    assert geometry.arity(psize) ** depth >= leaves
    assert depth == 0 or geometry.arity(psize) ** (depth - 1) < leaves


@pytest.mark.parametrize(("dsize", "psize"), [(8192, 8180), (512, 500), (57344, 57340), (65536, 57340)])
def test_pointer_sizes(dsize: int, psize: int) -> None:
    assert geometry.pointer_size(dsize) == psize


@pytest.mark.parametrize(
    ("count", "dsize", "size"), [(0, 8192, 0), (1, 8192, 40), (204, 8192, 8192), (212, 8192, 8512), (13, 512, 552)]
)
def test_sizes_of_directories(count: int, dsize: int, size: int) -> None:
    assert geometry.directory_size(count, dsize) == size
    assert geometry.entries(size, dsize) == count


@given(st.integers(0, 10**6), st.integers(256, 57344))
def test_entries_never_cross_a_leaf(index: int, dsize: int) -> None:
    leaf, offset = geometry.entry_place(index, dsize)
    assert offset + 40 <= dsize
    assert leaf * dsize + offset + 40 <= geometry.directory_size(index + 1, dsize)
    assert geometry.entries(geometry.directory_size(index, dsize), dsize) == index
