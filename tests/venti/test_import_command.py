"""``import`` as people run it."""

from __future__ import annotations

import gzip
import json
import multiprocessing
from pathlib import Path

import pytest

from programs.venti_program import serving, venti
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.log.opening import open_disk_store
from venti.plan9.partition import Partition
from venti.plan9.readers import ReaderEnded, _work, batches
from venti.stores.memory import MemoryStore

RECORDED = Path(__file__).parent.parent / "recorded/venti/arena"
HIDDEN = Score.parse("55bf7505f58f3c1cf46fa51cb9c9285f85e7b5f8")
"""A block that the original server itself no longer finds, because its bloom filter denies it."""


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "arenas.part"
    path.write_bytes(gzip.decompress((RECORDED / "arenas.part.gz").read_bytes()))
    return path


async def test_into_a_directory(part: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    for _ in range(2):
        assert await venti("import", "--store", store, part) == 0
        assert capsys.readouterr() == (f"{part}: 1477 blocks, 2557165 bytes stored, 0 damaged\n", "")
    async with open_disk_store(store) as opened:
        assert len(await opened.read(HIDDEN, BlockType.DATA, 8192)) == 512


async def test_into_a_running_archive(part: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "old.part"
    old.write_bytes(gzip.decompress((RECORDED / "arenas-v4-unindexed.part.gz").read_bytes()))
    store = MemoryStore()
    async with serving(store) as address:
        assert await venti("import", "-h", address, "--json", part, old) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["blocks"] for row in rows] == [1477, 932]
    assert len(store) >= 1477


async def test_damage_is_named_and_keeps_nothing_else_back(part: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with part.open("r+b") as file:
        file.seek(794624 + 8192 + 95 + 38)
        file.write(b"?")
    store = MemoryStore()
    async with serving(store) as address:
        assert await venti("import", "-h", address, part) == 4
    out, err = capsys.readouterr()
    assert len(store) == 1476
    assert out.endswith("2 damaged\n")
    assert "damaged: block 20f87bde04892e9ca0c2d880bbe284978c0d261f/0 at arenas0 offset 95: its score is now" in err
    assert "the arena is not what it was when it was sealed" in err


async def test_several_processes(part: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has some of the arenas; what is found, and what is damaged, is the same."""
    with part.open("r+b") as file:
        file.seek(794624 + 8192 + 95 + 38)
        file.write(b"?")
    store = MemoryStore()
    async with serving(store) as address:
        assert await venti("import", "-j", "2", "-h", address, part) == 4
    out, err = capsys.readouterr()
    assert len(store) == 1476
    assert out.endswith("2 damaged\n")
    assert "damaged: block 20f87bde04892e9ca0c2d880bbe284978c0d261f/0 at arenas0 offset 95" in err


async def test_a_process_that_is_killed(part: Path) -> None:
    with Partition(str(part)) as partition:
        with pytest.raises(ReaderEnded, match="start the import again"):
            await _read_and_kill(partition)
        for child in multiprocessing.active_children():
            child.join(10)
        assert multiprocessing.active_children() == []


async def _read_and_kill(partition: Partition) -> None:
    async with batches(partition, 3) as found:
        for child in multiprocessing.active_children():
            child.kill()
        async for _ in found:
            pass


async def test_only_checked(part: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await venti("import", "--check", part) == 0
    assert capsys.readouterr().out == f"{part}: 1477 blocks, 2557165 bytes sound, 0 damaged\n"


async def test_bad_input(part: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = tmp_path / "nothing"
    nothing.write_bytes(bytes(300_000))
    taken = tmp_path / "taken"
    taken.write_text("a file")
    cases = [
        (["--check", nothing], 4, "no partition of arenas"),
        (["--check", tmp_path / "absent"], 5, "No such file"),
        (["--store", taken, part], 2, "not a directory"),
        (["--store", tmp_path, "-h", "tcp!127.0.0.1!1", part], 2, "say one of them"),
        (["-h", "tcp!127.0.0.1!1", part], 3, "tcp!127.0.0.1!1"),
    ]
    for words, code, text in cases:
        assert await venti("import", *words) == code, words
        err = capsys.readouterr().err
        assert text in err
        assert err.count("\n") == 1
        assert err.startswith("venti: ")


def test_whoever_wanted_the_blocks_was_killed(part: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The process that read them for him ends, and has nothing to say."""
    pipe, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(str(part), None, theirs))
    pipe.close()
    process.start()
    theirs.close()
    process.join(60)
    assert process.exitcode == 0
    assert capfd.readouterr() == ("", "")
