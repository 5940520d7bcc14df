"""SIGKILL in the middle of commands that work on a store: done again they come to an end, and nothing is missing."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from fakes import small_partition
from fakes.damaged_store import blocks, fill
from programs.processes import environment, run
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score
from venti.log.opening import open_disk_store

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

KILLS = 6
WRITTEN = blocks(3000)


def killed(source: random.Random, words: Sequence[str], begun: Path) -> bool:
    """Kills a command some moments after it began to write; whether it was still at work."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not begun.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(source.uniform(0, 0.15))
    process.kill()
    return process.wait() != 0


async def check(path: Path, written: Sequence[tuple[BlockType, bytes]]) -> None:
    async with open_disk_store(path) as store:
        for type, block in written:
            assert await store.read(Score.of(block), type, 1 << 16) == block


DATA = [(BlockType.DATA, block) for block in WRITTEN]


def test_mirror(tmp_path: Path) -> None:
    source, store, copy = random.Random(1), tmp_path / "store", tmp_path / "copy"
    trio.run(lambda: fill(store, WRITTEN, arena_size=200_000))
    words = ("venti", "mirror", str(store), str(copy))
    cut_short = sum(killed(source, words, copy / "lock") for _ in range(KILLS))
    assert cut_short
    run(*words)
    for path in (store / "arenas").iterdir():
        assert (copy / "arenas" / path.name).read_bytes() == path.read_bytes()
    trio.run(check, copy, DATA)


def test_rebuild_index(tmp_path: Path) -> None:
    source, store = random.Random(2), tmp_path / "store"
    trio.run(lambda: fill(store, WRITTEN, arena_size=200_000))
    words = ("venti", "rebuild-index", "--store", str(store))
    cut_short = 0
    for number in range(KILLS):
        cut_short += killed(source, words, store / "lock")
        if number % 2:
            trio.run(check, store, DATA)
    assert cut_short
    run(*words)
    assert "0 differences" in run("venti", "verify", "--store", str(store))
    trio.run(check, store, DATA)


def test_import(tmp_path: Path) -> None:
    source, store, partition = random.Random(3), tmp_path / "store", tmp_path / "partition"
    partition.write_bytes(small_partition.partition())
    words = ("venti", "import", "--store", str(store), str(partition))
    found = [(BlockType.from_wire(type), block) for type, block in small_partition.BLOCKS]
    cut_short = 0
    for number in range(KILLS):
        cut_short += killed(source, words, store / "lock")
        trio.run(check, store, [])
        if number % 2:
            shutil.rmtree(store)
    assert cut_short
    run(*words)
    trio.run(check, store, found)
