"""Archives made by the original vac and fossil, read file by file, and packed again byte by byte."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from fakes import recorded_archives
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, DamagedArchive, NotInArchive
from venti.blocks.score import Score
from venti.stores.memory import MemoryStore
from venti.trees.root import Root
from venti.vac import label, metablock
from venti.vac.direntry import DirEntry
from venti.vac.metablock import MetaBlock, Order
from venti.vac.reader import VacFile, open_archive

ARCHIVES = recorded_archives.archives()


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    return recorded_archives.store()


async def described(file: VacFile) -> dict[str, Any]:
    """The file in the words of the recording."""
    info, entry = file.info, file.entry
    digest = ""
    if not info.directory:
        digest = hashlib.sha256(await file.read(0, file.size)).hexdigest()
    sections = [[3, b"".join(n.to_bytes(8, "big") for n in info.qid_space).hex()]] if info.qid_space else []
    return {
        "path": file.path,
        "mode": info.mode,
        "size": file.size,
        "sha256": digest,
        "mtime": info.mtime,
        "atime": info.atime,
        "ctime": info.ctime,
        "mcount": info.mcount,
        "uid": info.uid,
        "gid": info.gid,
        "mid": info.mid,
        "version": info.version,
        "qid": info.qid,
        "entry": info.entry,
        "gen": info.generation,
        "mentry": info.meta_entry,
        "mgen": info.meta_generation,
        "sections": sections,
        "depth": entry.depth,
        "psize": entry.psize,
        "dsize": entry.dsize,
        "score": str(entry.score),
    }


@pytest.mark.parametrize("recorded", ARCHIVES, ids=[archive["name"] for archive in ARCHIVES])
async def test_every_file_of_an_archive(store: MemoryStore, recorded: dict[str, Any]) -> None:
    archive = await open_archive(store, label.parse(recorded["vac"]))
    root = recorded["root"]
    assert archive.root.name == root["name"]
    assert str(archive.root.prev) == root["prev"]
    found = {}
    waiting = [archive.top]
    while waiting:
        for file in await waiting.pop().files():
            found[file.path] = await described(file)
            if file.info.directory:
                waiting.append(file)
    expected = {}
    for row in recorded["files"]:
        # The flags are the top block's depth and kind, which are compared by themselves, and bits that mean nothing.
        expected[row["path"]] = {key: value for key, value in row.items() if key != "flags"}
    assert found == expected
    assert found


@pytest.mark.parametrize("recorded", ARCHIVES, ids=[archive["name"] for archive in ARCHIVES])
async def test_every_file_is_found_by_name(store: MemoryStore, recorded: dict[str, Any]) -> None:
    archive = await open_archive(store, label.parse(recorded["vac"]))
    for row in recorded["files"][::7]:
        file = await archive.walk(row["path"].split("/"))
        assert (file.path, file.info.qid) == (row["path"], row["qid"])
        with pytest.raises(NotInArchive, match="nothere"):
            await archive.walk([*row["path"].split("/"), "nothere"])


def packed_entries(block: bytes) -> list[bytes]:
    """Directory entries of a MetaBlock in the order in which they stand there."""
    count = int.from_bytes(block[10:12], "big")
    slots = [block[12 + 4 * i : 16 + 4 * i] for i in range(count)]
    places = sorted((int.from_bytes(slot[:2], "big"), int.from_bytes(slot[2:], "big")) for slot in slots)
    return [block[offset : offset + length].ljust(length, b"\0") for offset, length in places]


def meta_blocks() -> list[bytes]:
    magics = {int(order).to_bytes(4, "big") for order in Order}
    found = [data for kind, data in recorded_archives.blocks() if kind == 13 and data[:4] in magics]
    assert len(found) > 40
    return found


def test_directory_entries_pack_as_they_were() -> None:
    versions = set()
    for block in meta_blocks():
        for packed in packed_entries(block):
            info = DirEntry.unpack(packed)
            versions.add(info.version)
            assert info.pack() == packed
    assert versions == {8, 9}


def test_metadata_blocks_pack_as_they_were() -> None:
    orders, compared = set(), 0
    for block in meta_blocks():
        order = Order(int.from_bytes(block[:4], "big"))
        size = {81: 8192, 5: 512}[int.from_bytes(block[8:10], "big")]
        ours = MetaBlock(size, order)
        entries = packed_entries(block)
        assert all(ours.add(packed) for packed in entries)
        expected = bytearray(block)
        used = int.from_bytes(block[4:6], "big")
        if used != ours_used(ours):
            # An entry that grew was moved and left a hole behind: only the order can be compared.
            assert [e.name for e in metablock.unpack(block, size)] == [
                e.name for e in metablock.unpack(ours.pack(), size)
            ]
            continue
        # vac counts holes that are not there; see the reference.
        expected[6:8] = bytes(2)
        assert ours.pack().rstrip(b"\0") == bytes(expected)
        orders.add(order)
        compared += 1
    assert orders == set(Order)
    assert compared > 20


def ours_used(block: MetaBlock) -> int:
    return int.from_bytes(block.pack()[4:6], "big")


async def test_the_score_of_something_else_is_refused(store: MemoryStore) -> None:
    with pytest.raises(BlockNotFound):
        await open_archive(store, Score(bytes(range(20))))


@pytest.mark.parametrize("text", ["", "vac:", "vac:12", "file:" + "0" * 40, "vac:" + "g" * 40])
def test_what_is_no_score_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match="40 hexadecimal digits"):
        label.parse(text)


def test_labels_come_back() -> None:
    score = Score.of(b"x")
    assert label.parse(label.text(score) + "\n") == score
    assert label.parse(str(score).upper()) == score


async def test_another_kind_of_root_is_refused() -> None:
    store = MemoryStore()
    score = await store.write(BlockType.ROOT, Root("disk", "ext2", Score.of(b"x"), 8192).pack())
    with pytest.raises(DamagedArchive, match="ext2"):
        await open_archive(store, score)
