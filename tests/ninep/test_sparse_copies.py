"""Holes of files go along with a copy, to a server and from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ninep.copy.get import Get
from ninep.copy.put import Put
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from programs.opened_export import exported

MIB = 1024 * 1024
DIALECTS = pytest.mark.parametrize("version", [m.VERSION, m.VERSION_UNIX, lm.VERSION])


def make(path: Path, pieces: list[tuple[int, bytes]], size: int) -> bytes:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)
    return path.read_bytes()


def used(path: Path) -> int:
    return path.stat().st_blocks * 512


LAYOUTS = pytest.mark.parametrize(
    "pieces",
    [
        [],
        [(0, b"begin")],
        [(8 * MIB - 3, b"end")],
        [(3 * MIB + 1, b"middle")],
        [(0, b"a" * 70_000), (4 * MIB, b"b" * 2 * MIB)],
        [(number * MIB, b"x") for number in range(8)],
    ],
    ids=["nothing", "begin", "end", "middle", "long", "many"],
)


@DIALECTS
@LAYOUTS
async def test_holes_go_along(version: str, pieces: list[tuple[int, bytes]], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    here = tmp_path / "here"
    content = make(here, pieces, 8 * MIB)
    async with exported(tmp_path / "there", version) as tree:
        await Put(tree).put(here, "copy")
        await Get(tree).get("copy", tmp_path / "back")
    assert (tmp_path / "there/copy").read_bytes() == (tmp_path / "back").read_bytes() == content
    assert used(tmp_path / "there/copy") <= used(here) + 300_000
    assert used(tmp_path / "back") <= used(here) + 300_000


async def test_a_hole_at_the_end_of_a_longer_file_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/copy").write_bytes(b"old" * MIB)
    content = make(tmp_path / "here", [(5, b"data")], MIB)
    async with exported(tmp_path / "there") as tree:
        await Put(tree).put(tmp_path / "here", "copy")
    assert (tmp_path / "there/copy").read_bytes() == content


async def test_a_file_that_is_cut_while_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy ends where reading did: nothing is made up."""
    (tmp_path / "there").mkdir()
    make(tmp_path / "here", [(2 * MIB, b"data" * MIB)], 8 * MIB)
    real = os.pread

    def cut(descriptor: int, size: int, offset: int) -> bytes:
        os.truncate(tmp_path / "here", 2 * MIB + 4)
        return real(descriptor, size, offset)

    monkeypatch.setattr("ninep.copy.put.os.pread", cut)
    async with exported(tmp_path / "there") as tree:
        await Put(tree).put(tmp_path / "here", "copy")
    assert (tmp_path / "there/copy").read_bytes() == bytes(2 * MIB) + b"data"


@pytest.mark.skipif(not os.path.exists("/sys/kernel/uevent_seqnum"), reason="there is no /sys")
async def test_a_file_that_tells_a_page_and_has_a_line(tmp_path: Path) -> None:
    """As those of /sys do: 4096 bytes are told, no block is used, and reading ends after the line."""
    here = Path("/sys/kernel/uevent_seqnum")
    assert here.stat().st_size > len(here.read_bytes())
    (tmp_path / "there").mkdir()
    async with exported(tmp_path / "there") as tree:
        await Put(tree).put(here, "copy")
    assert (tmp_path / "there/copy").read_text().strip().isdecimal()
    async with exported(here.parent) as tree:
        await Get(tree).get(here.name, tmp_path / "back")
    assert (tmp_path / "back").read_text().strip().isdecimal()
