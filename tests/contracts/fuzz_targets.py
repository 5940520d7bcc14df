"""What any bytes may be fed to: each target takes them and raises only where there is a bug.

Hypothesis runs all of them in the ordinary tests; ``python tests/fuzz.py NAME`` runs one with atheris for as long as
one likes.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from base64 import b64decode
from collections.abc import Callable
from functools import cache
from pathlib import Path

import trio

from fakes import recorded_archives, small_partition
from ninep.net.errors import Malformed, UnknownMessage
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import DamagedArchive, DamagedStore, VentiError
from venti.blocks.score import Score
from venti.log.clump import BadClump, unpack, unpack_header
from venti.plan9 import layout
from venti.plan9.partition import Block, Partition
from venti.plan9.whack import BadWhack, decompress
from venti.protocol import messages as m
from venti.protocol.dialect import VentiDialect
from venti.protocol.messages import LARGEST_BLOCK
from venti.stores.memory import MemoryStore
from venti.trees.entry import ACTIVE, Entry
from venti.trees.links import links
from venti.trees.root import Root
from venti.vac import label, metablock
from venti.vac.check import Checker
from venti.vac.direntry import DirEntry
from venti.vac.reader import open_archive

RECORDED = Path(__file__).parents[1] / "recorded/venti"


def requests(data: bytes) -> None:
    """A server's side of the protocol, before and after the hello."""
    for version in ("02", "04"):
        for greeted in (False, True):
            dialect = VentiDialect(version)
            if greeted:
                hello: list[bytes | bytearray | memoryview] = []
                dialect.encode(0, m.Thello(version, "x"), hello)
                dialect.decode_request(memoryview(b"".join(hello))[2 if version == "02" else 4 :])
            with contextlib.suppress(Malformed, UnknownMessage):
                tag, message = dialect.decode_request(memoryview(data))
                out: list[bytes | bytearray | memoryview] = []
                if not isinstance(message, m.Unsupported):
                    assert dialect.encode(tag, message, out) == sum(map(len, out))


def replies(data: bytes) -> None:
    """A client's side."""
    for version in ("02", "04"):
        dialect = VentiDialect(version)
        with contextlib.suppress(Malformed):
            _, message = dialect.decode_reply(memoryview(data))
            if isinstance(message, m.Rerror):
                assert isinstance(dialect.refused(message), VentiError)


def blocks(data: bytes) -> None:
    """Blocks of every type, taken apart: roots, entries, pointers, metadata."""
    for type in BlockType:
        with contextlib.suppress(DamagedArchive):
            for link in links(type, data):
                assert len(link.score) == 20
    with contextlib.suppress(DamagedArchive):
        assert Root.unpack(Root.unpack(data).pack()) == Root.unpack(data)
    with contextlib.suppress(DamagedArchive):
        assert Entry.unpack(data).size < 1 << 48


def metadata(data: bytes) -> None:
    """Blocks of names, and single names, which come back as they were."""
    for size in (len(data), 8192):
        with contextlib.suppress(DamagedArchive):
            for info in metablock.unpack(data, size):
                assert DirEntry.unpack(info.pack()) == info
                assert metablock.find(data, size, info.name) is not None
    with contextlib.suppress(DamagedArchive):
        info = DirEntry.unpack(data)
        assert DirEntry.unpack(info.pack()) == info


def labels(data: bytes) -> None:
    """What people call an archive."""
    with contextlib.suppress(ValueError):
        label.parse(data.decode("utf-8", "replace"))


def clumps(data: bytes) -> None:
    """Clumps of our own store."""
    with contextlib.suppress(BadClump):
        clump = unpack_header(data)
        assert len(unpack(clump, data[80 : 80 + clump.stored])) == clump.size


def whack(data: bytes) -> None:
    """The compression of the original."""
    for size in (40, 8192, LARGEST_BLOCK):
        with contextlib.suppress(BadWhack):
            assert len(decompress(data, size)) == size


def frames(data: bytes) -> None:
    """Headers, tables, heads and tails of the original's partitions."""
    takers: list[Callable[[bytes], object]] = [
        layout.unpack_partition,
        layout.unpack_table,
        layout.unpack_head,
        layout.unpack_tail,
        layout.unpack_clump,
    ]
    for take in takers:
        with contextlib.suppress(DamagedStore):
            take(data)


@cache
def _partition(version: int) -> tuple[int, bytes, frozenset[Score]]:
    """A file in memory, what is in it, and the blocks that it holds."""
    found = frozenset(Score.of(data) for _, data in small_partition.BLOCKS)
    return os.memfd_create("partition"), small_partition.partition(version=version), found


def partitions(data: bytes) -> None:
    """A partition that the bytes are written over: the first says where, in pieces; nothing may be invented."""
    descriptor, whole, known = _partition(4 + len(data) % 2)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, whole[layout.HEADER_AT :], layout.HEADER_AT)
    while len(data) >= 4:
        place, length = int.from_bytes(data[:2], "big"), data[2] % 64
        piece, data = data[3 : 3 + length], data[3 + length :]
        at = layout.HEADER_AT + place % (len(whole) - layout.HEADER_AT)
        os.pwrite(descriptor, piece, at)
    try:
        partition = Partition(f"/proc/self/fd/{descriptor}")
    except DamagedStore:
        return
    with partition:
        for item in partition.blocks():
            if isinstance(item, Block):
                assert Score.of(item.data) == item.score
                assert item.score in known or not item.data


def archives(data: bytes) -> None:
    """An archive whose directory, names and contents are these bytes: walked, checked and read."""
    trio.run(_archive, data)


async def _archive(data: bytes) -> None:
    store = MemoryStore()
    first, second, third = data[: len(data) // 3], data[len(data) // 3 : len(data) // 2], data[len(data) // 2 :]
    entries = await store.write(BlockType.DIR, first)
    names = await store.write(BlockType.DATA, second)
    own = await store.write(BlockType.DATA, third)
    await store.write(BlockType.DIR_1, third)
    top = b"".join(
        (
            Entry(BlockType.DIR, max(len(first), 40), entries, 8180, 8192, ACTIVE).pack(),
            Entry(BlockType.DATA, 8192, names, 8180, 8192, ACTIVE).pack(),
            Entry(BlockType.DATA, 8192, own, 8180, 8192, ACTIVE).pack(),
        )
    )
    root = Root("", "vac", await store.write(BlockType.DIR, top), 8192)
    score = await store.write(BlockType.ROOT, root.pack())
    await Checker(store, str).run(score)
    with contextlib.suppress(VentiError):
        archive = await open_archive(store, score)
        for file in await archive.top.files():
            with contextlib.suppress(VentiError):
                await file.read(0, 100)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (requests, replies, blocks, metadata, labels, clumps, whack, frames, partitions, archives)
}


@cache
def seeds(name: str) -> list[bytes]:
    """Sound bytes of a target to begin with."""
    if name == "whack":
        rows = (RECORDED / "pack/whack.jsonl").read_text().splitlines()
        return [b64decode(json.loads(row)["compressed"]) for row in rows[::5]]
    if name in ("blocks", "metadata"):
        kinds = {"blocks": (1, 2, 3, 4), "metadata": (13,)}[name]
        found = [data for kind, data in recorded_archives.blocks() if kind in kinds]
        if name == "metadata":
            found = [data for data in found if data[:3] == b"\x56\x56\xfc"]
        return found[::20]
    if name in ("requests", "replies"):
        side = "C> " if name == "requests" else "S> "
        lines = (RECORDED / "protocol/session-v04.txt").read_text().splitlines()
        frames = [bytes.fromhex(line[3:].split("#")[0].strip())[4:] for line in lines if line.startswith(side)][1:]
        return [frame for frame in frames if len(frame) < 1000]
    if name == "frames":
        whole = gzip.decompress((RECORDED / "arena/arenas.part.gz").read_bytes())
        return [whole[at : at + 8192] for at in (layout.HEADER_AT, 270336, 794624, 1843200 - 8192)]
    return [b"vac:" + b"ab" * 20] if name == "labels" else []
