"""The cache on disk: bytes come back as they were put there, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cfs.disk.layout import EXTENT, PAGE, Version
from cfs.disk.segments import Files
from cfs.disk.store import Store
from fakes.stored_content import MIB, SERVER, content, get, put, version


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "cache", 16 * MIB, SERVER) as store:
        yield store


@pytest.mark.parametrize("length", [1, 100, PAGE, EXTENT - 1, EXTENT, EXTENT + 1, 5 * EXTENT + 17])
@pytest.mark.parametrize("flush", [False, True])
def test_bytes_come_back(store: Store, length: int, flush: bool) -> None:
    data = content(7, length)
    put(store, 7, data)
    if flush:
        store.flush()
    file = store.file("main", 7, version(length))
    for start, end in ((0, length), (length // 2, length), (0, length // 2), (length // 3, length // 2), (1, 1)):
        assert bytes(store.read(file, start, end) or b"") == data[start:end]
    store.release(file)


def test_any_number_of_ranges(store: Store) -> None:
    length = 20 * EXTENT
    data = content(3, length)
    file = store.file("main", 3, version(length))
    for start in range(1000, length, 30_000):
        store.add(file, start, data[start : start + 10_000])
        if start % 7 == 0:
            store.flush()
    assert len(file.present) == len(range(1000, length, 30_000))
    assert store.read(file, 0, 5000) is None
    assert store.read(file, 31_000, 41_000) == data[31_000:41_000]
    for gap in file.present.gaps(0, length):
        store.add(file, gap.start, data[gap.start : gap.end])
    assert store.read(file, 0, length) == data
    store.flush()
    assert store.read(file, 5, length - 5) == data[5:-5]
    store.release(file)


def test_bytes_beyond_the_end_are_not_kept(store: Store) -> None:
    file = store.file("main", 1, version(10))
    store.add(file, 5, b"abcdefgh")
    assert list(file.present) == [(5, 10)]
    store.release(file)


def test_present_bytes_stay_as_they_are(store: Store) -> None:
    file = store.file("main", 1, version(10))
    store.add(file, 2, b"old")
    store.add(file, 0, b"newnewnewn")
    assert bytes(store.read(file, 0, 10) or b"") == b"neoldwnewn"
    store.release(file)


@pytest.mark.parametrize("other", [Version(2, 1000, 50), Version(1, 1001, 50), Version(1, 1000, 49)])
@pytest.mark.parametrize("open_still", [False, True])
def test_another_version_shares_nothing(store: Store, other: Version, open_still: bool) -> None:
    put(store, 5, content(5, 50))
    store.flush()
    old = store.file("main", 5, version(50))
    if not open_still:
        store.release(old)
    new = store.file("main", 5, other)
    assert not new.present
    assert store.read(new, 0, 10) is None
    if open_still:
        assert old.dead
        assert store.read(old, 0, 10) is None
        assert not store.add(old, 0, b"late")
        store.release(old)
    store.add(new, 0, b"n" * 20)
    store.flush()
    assert store.read(new, 0, 20) == b"n" * 20
    store.release(new)
    assert get(store, 5, 50) is None


def test_attach_names_are_told_apart(store: Store) -> None:
    put(store, 5, b"in main")
    other = store.file("other", 5, version(7))
    assert store.read(other, 0, 7) is None
    store.release(other)


def test_paths_of_64_bits(store: Store) -> None:
    for path in (0, 1 << 63, (1 << 64) - 1):
        put(store, path, content(path, 10))
    store.flush()
    for path in (0, 1 << 63, (1 << 64) - 1):
        assert get(store, path, 10) == content(path, 10)


def test_positions_beyond_4_gib(store: Store) -> None:
    length = 1 << 41
    file = store.file("main", 5, version(length))
    for start in (0, 1 << 32, 1 << 40):
        store.add(file, start, content(start, 3 * PAGE))
    store.flush()
    for start in (0, 1 << 32, 1 << 40):
        assert store.read(file, start, start + 3 * PAGE) == content(start, 3 * PAGE)
    store.release(file)


def test_drop_forgets(store: Store) -> None:
    put(store, 1, b"one")
    put(store, 2, b"two")
    store.flush()
    put(store, 2, b"two")
    store.drop("main", 1)
    store.drop("main", 2)
    store.drop("main", 3)
    assert get(store, 1, 3) is None
    assert get(store, 2, 3) is None


def test_dropped_while_a_batch_is_carried_out(store: Store) -> None:
    put(store, 1, b"one" * 1000)
    batch = store.take()
    assert batch is not None
    assert get(store, 1, 3000) == b"one" * 1000
    store.drop("main", 1)
    put(store, 1, b"two" * 1000, number=2)
    store.record(batch, batch.carry_out(store.files, store.nonce))
    store.flush()
    assert get(store, 1, 3000, number=2) == b"two" * 1000


def test_kept_across_restarts(tmp_path: Path) -> None:
    for start in range(3):
        with Store(tmp_path, 16 * MIB, SERVER) as store:
            for path in range(start * 10):
                assert get(store, path, 5000 + path) == content(path, 5000 + path)
            for path in range(start * 10, start * 10 + 10):
                put(store, path, content(path, 5000 + path))


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "made", 16 * MIB, SERVER) as store:
        put(store, 1, b"secret")
        store.flush()
        assert (tmp_path / "made").stat().st_mode & 0o77 == 0


def test_uncached_pages_are_not_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, 1, content(1, 5000))
    store.flush()
    file = store.file("main", 1, version(5000))
    monkeypatch.setattr(Files, "read_nowait", lambda *_: None)
    assert store.read(file, 0, 5000, wait=False) is None
    assert file.present.covers(0, 5000)
    store.page_in(store.places(file, 0, 5000))
    assert store.read(file, 0, 5000) == content(1, 5000)
    store.release(file)
