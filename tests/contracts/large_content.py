"""Reads and writes larger than every internal limit, in holes, across ends, and at offsets that no file reaches.

Whatever is asked, the answer is that of a row of bytes in memory, or a refusal: never an internal error.
"""

from __future__ import annotations

import contextlib
import random

import pytest

from fakes.ninep_client import Raw
from ninep.client.tree import RemoteTree
from ninep.protocol import messages as m
from ninep.protocol.dialect import MSIZE
from ninep.protocol.errors import FileTooBig
from ninep.protocol.stat import Stat

KIB = 1024
MIB = 1024 * KIB
LARGE = 3 * MIB + 4321
"""Bytes of the files: more than a message, a window, a piece of any store."""
MESSAGE = MSIZE
_SIZES = (0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 512 * KIB, MIB)
_OFFSETS = (0, 1, 4095, 64 * KIB - 1, 64 * KIB, 256 * KIB, MIB, MIB + 5, 2 * MIB - 1, LARGE - 256 * KIB, LARGE - 1)
_BEYOND = (LARGE, LARGE + 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1)


def spotted(seed: int, whole: bool = False) -> list[tuple[int, bytes]]:
    """(offset, bytes) of what is written to a file of which most is a hole; or of one without any."""
    chance = random.Random(seed)
    if whole:
        return [(at, chance.randbytes(min(MIB, LARGE - at))) for at in range(0, LARGE, MIB)]
    pieces = ((0, 4096), (MIB - 3, 7), (MIB + 64 * KIB, 300 * KIB), (LARGE - 1, 1))
    return [(at, chance.randbytes(size)) for at, size in pieces]


LAYOUTS: dict[str, list[tuple[int, bytes]]] = {
    "hole": [],
    "start": [(0, b"a")],
    "end": [(LARGE - 5, b"z")],
    "spots": spotted(1),
    "whole": spotted(2, whole=True),
}
"""What is written to each file before it gets its length."""


def model(layout: list[tuple[int, bytes]]) -> bytes:
    """What the file must read as."""
    content = bytearray(LARGE)
    for at, data in layout:
        content[at : at + len(data)] = data
    return bytes(content)


async def lay_out(raw: Raw, name: str, layout: list[tuple[int, bytes]]) -> int:
    """Makes a file of ``LARGE`` bytes; its fid, open for reading and writing."""
    fid = await raw.create(name)
    for at, data in layout:
        done = 0
        while done < len(data):
            done += (await raw.ask(m.Twrite(fid, at + done, data[done:]))).count
    await raw.ask(m.Twstat(fid, Stat(length=LARGE)))
    return fid


async def check_reads(raw: Raw, fid: int, content: bytes) -> None:
    """Every size at every offset, each in one message, of which a server may give less but not nothing."""
    for offset in (*_OFFSETS, *_BEYOND):
        for size in _SIZES:
            data = await raw.read(fid, offset, size)
            want = content[offset : offset + size]
            assert data == want[: len(data)], (offset, size)
            assert data or not want, (offset, size)


async def check_nothing_is_written(raw: Raw, fid: int) -> None:
    """A write of no bytes changes nothing wherever it is; one beyond any file is refused, not an internal error."""
    for offset in (*_OFFSETS, *_BEYOND[:5]):
        assert (await raw.ask(m.Twrite(fid, offset, b""))).count == 0, offset
    for offset in _BEYOND[5:]:
        call = raw.client.begin(m.Twrite(fid, offset, b""))
        with contextlib.suppress(FileTooBig):
            assert (await raw.client.wait(call)).count == 0, offset
    for offset in ((1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1):
        for size in (1, 256 * KIB):
            refusal = await raw.refused(m.Twrite(fid, offset, bytes(size)))
            assert refusal == "file too big", (offset, size, refusal)
    stat = (await raw.ask(m.Tstat(fid))).stat
    assert stat.length == LARGE


async def check_client(tree: RemoteTree, name: str, content: bytes) -> None:
    """The same through our client's ways of reading, which cut and join messages."""
    assert await tree.read_bytes(name) == content
    async with tree.open(name) as file:
        for offset in (0, 1, MIB - 3, LARGE - 300 * KIB):
            for size in (0, 1, 300 * KIB, 2 * MIB, LARGE):
                assert await file.read_range(offset, size) == content[offset : offset + size], (offset, size)
        for offset in _BEYOND:
            assert await file.read_range(offset, 3 * MIB) == b"", offset
            assert [piece async for piece in file.reading(offset)] == [], offset
    async with await tree.open_file(name, "r+") as file:
        for offset in _BEYOND[-4:]:
            with pytest.raises(FileTooBig):
                await file.file.write_range(offset, bytes(3 * MIB))
