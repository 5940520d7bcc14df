"""The bound of a cache, on disk and in memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from cfs.disk.layout import EXTENT
from cfs.disk.segments import Files
from cfs.disk.store import QUEUE, Store
from cfs.errors import BadBound
from fakes.stored_content import MIB, SERVER, content, get, put, taken, version


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "cache", 16 * MIB, SERVER) as store:
        yield store


def test_bound_holds_under_load(tmp_path: Path) -> None:
    size = 4 * MIB
    random_ = random.Random(1)
    with Store(tmp_path, size, SERVER) as store:
        for path in range(600):
            put(store, path, content(path, random_.choice([100, 5000, 70_000, 300_000])))
            if path % 10 == 0:
                store.flush()
                assert store.statistics.used <= size
                assert taken(tmp_path) <= size + 256 * 1024
        assert store.statistics.evicted > 100
    assert taken(tmp_path) <= size + 256 * 1024


def test_least_recently_used_goes_first(tmp_path: Path) -> None:
    with Store(tmp_path, 4 * MIB, SERVER) as store:
        favourite = content(1, 100_000)
        put(store, 1, favourite)
        put(store, 2, content(2, 100_000))
        for path in range(100, 300):
            put(store, path, content(path, 50_000))
            store.flush()
            assert get(store, 1, 100_000) == favourite
        assert get(store, 2, 100_000) is None
        assert get(store, 299, 50_000) == content(299, 50_000)


def test_one_file_larger_than_the_cache(tmp_path: Path) -> None:
    size, length = 4 * MIB, 12 * MIB
    with Store(tmp_path, size, SERVER) as store:
        file = store.file("main", 1, version(length))
        for start in range(0, length, EXTENT):
            store.add(file, start, content(start, EXTENT))
            store.flush()
            assert store.read(file, start, start + EXTENT) == content(start, EXTENT)
        assert 2 * MIB < file.present.total <= size
        assert store.statistics.used <= size
        store.release(file)


def test_a_smaller_bound_takes_effect_at_once(tmp_path: Path) -> None:
    with Store(tmp_path, 16 * MIB, SERVER) as store:
        for path in range(80):
            put(store, path, content(path, 100_000))
    with Store(tmp_path, 2 * MIB, SERVER) as store:
        assert store.statistics.used <= 2 * MIB
        assert taken(tmp_path) <= 2 * MIB + 256 * 1024


def test_without_holes_the_bound_holds_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Files, "punch", lambda *_: False)
    size = 4 * MIB
    with Store(tmp_path, size, SERVER) as store:
        for path in range(300):
            put(store, path, content(path, 70_000))
            store.flush()
            assert store.statistics.used <= size
            assert taken(tmp_path) <= size + 256 * 1024
        assert get(store, 299, 70_000) == content(299, 70_000)


def test_memory_is_bounded(store: Store) -> None:
    length = 2 * QUEUE
    file = store.file("main", 1, version(length))
    kept = [store.add(file, start, bytes(MIB)) for start in range(0, length, MIB)]
    assert kept.count(True) == QUEUE // MIB
    assert store.statistics.refused == length - QUEUE
    store.release(file)


def test_too_small_a_bound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBound, match="at least 1048576"):
        Store(tmp_path, 1000, SERVER)
