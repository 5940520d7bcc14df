"""The filter before the index: whatever happens, no stored block is hidden by it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as some

from fakes.damaged_store import DATA
from venti.blocks.errors import BlockNotFound
from venti.blocks.score import Score
from venti.log.filter import SMALLEST, Filter
from venti.log.index import Index
from venti.log.log import Position
from venti.log.opening import open_disk_store


def keys(first: int, count: int) -> list[bytes]:
    """Keys like no others."""
    return [random.Random(number).randbytes(21) for number in range(first, first + count)]


@given(some.lists(some.one_of(some.binary(min_size=21, max_size=21), some.integers(0, 1 << 26))))
def test_what_was_added_is_never_denied(steps: list[bytes | int]) -> None:
    """However often it grew in between."""
    found = Filter()
    added = []
    for step in steps:
        if isinstance(step, bytes):
            found.add([step])
            added.append(step)
        else:
            found.make_room(min(step, SMALLEST))
    assert all(map(found.may_have, added))


@pytest.mark.parametrize("grown", [False, True])
def test_most_others_are_denied(grown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("venti.log.filter.SMALLEST", 1 << 12)
    count = 32_000
    found = Filter(0 if grown else count)
    for first in range(0, count, 1000):
        found.make_room(first + 1000)
        found.add(keys(first, 1000))
    assert found.size == 1 << 16
    assert sum(map(found.may_have, keys(count, 5000))) < (1000 if grown else 250)


def test_the_index_learns_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts, with batches that are written in between; asked meanwhile, it looks."""
    there = keys(0, 5000)
    places = {key: bytes(40) for key in there}
    index = Index(tmp_path / "index")
    index.write(dict(list(places.items())[:4000]), Position(0, 64))
    index.close()
    index = Index(tmp_path / "index")
    asked: list[bytes] = []

    def nothing(key: bytes) -> None:
        asked.append(key)

    try:
        at: bytes | None = b""
        steps = 0
        while at is not None:
            at = index.learn(at)
            steps += 1
            if steps == 2:
                index.prepare()
                index.write(dict(list(places.items())[4000:]), Position(0, 99))
                index.finish()
            assert all(map(index.get, there[:4000:50]))
        assert steps >= 4
        assert all(map(index.get, there))
        monkeypatch.setattr(index, "_get", nothing)
        assert not any(map(index.get, keys(5000, 1000)))
        assert len(asked) < 100
    finally:
        index.close()


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_store_finds_all_that_it_has(tmp_path: Path, read_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, while and after the index learns it; and so does the next process."""
    monkeypatch.setattr("venti.log.store.BATCH", 500)
    written = [b"%d" % number for number in range(4000)]
    async with open_disk_store(tmp_path) as store:
        for block in written[:2000]:
            await store.write(DATA, block)
    async with open_disk_store(tmp_path) as store:
        for number, block in enumerate(written[2000:]):
            await store.write(DATA, block)
            assert await store.read(Score.of(written[number]), DATA, 100) == written[number]
    async with open_disk_store(tmp_path, read_only=read_only) as store:
        for _ in range(2):
            for block in written:
                assert await store.read(Score.of(block), DATA, 100) == block
                with pytest.raises(BlockNotFound):
                    await store.read(Score.of(block + b"x"), DATA, 100)
            await trio.sleep(0.2)
        assert store._index._filtered
