"""How many files a cache has, and how many of them it keeps open: bounded by what is in it, not by how long it runs."""

from __future__ import annotations

import errno
import os
import random
import resource
import sqlite3
from pathlib import Path

import pytest

from cfs.disk import segments as module
from cfs.disk.layout import EXTENT, INDEX, segment_size
from cfs.disk.row import Place
from cfs.disk.segments import SPARE, Files
from cfs.disk.store import Store
from fakes.stored_content import MIB, SERVER, content, get, put, version


def segments_of(directory: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(directory) if entry.name.endswith(".data"))


def open_files(directory: Path) -> int:
    """How many of the directory's segments this process has open."""
    count = 0
    for entry in os.scandir("/proc/self/fd"):
        try:
            target = os.readlink(entry.path)
        except OSError:
            continue
        count += target.startswith(str(directory)) and target.endswith(".data")
    return count


def churned(store: Store, *, favourites: int = 60, rounds: int = 40) -> None:
    """Few files that are used again and again, one in each round's segment, and many that come and go."""
    for number in range(rounds):
        if number < favourites:
            put(store, 1_000_000 + number, content(number, 3000))
        for path in range(30):
            put(store, 1000 * number + path, content(path, 50_000))
        store.flush()
        for old in range(min(number + 1, favourites)):
            assert get(store, 1_000_000 + old, 3000) == content(old, 3000)


def test_a_few_bytes_keep_no_segment(tmp_path: Path) -> None:
    size = 8 * MIB
    with Store(tmp_path, size, SERVER) as store:
        churned(store)
        needed = store.statistics.used // segment_size(size)
        assert len(segments_of(tmp_path)) <= 2 * needed + SPARE + 2
    # And all that was moved is where the index says.
    with Store(tmp_path, size, SERVER) as store:
        for number in range(40):
            assert get(store, 1_000_000 + number, 3000) == content(number, 3000)
        assert store.statistics.damaged == 0


def test_what_is_pinned_is_moved_and_not_lost(tmp_path: Path) -> None:
    size = 8 * MIB
    with Store(tmp_path, size, SERVER) as store:
        for number in range(60):
            file = store.file("main", 5_000_000 + number, version(2000), pin=1)
            store.add(file, 0, content(number, 2000))
            store.release(file)
            for path in range(30):
                put(store, 1000 * number + path, content(path, 50_000))
            store.flush()
        for number in range(60):
            file = store.file("main", 5_000_000 + number, version(2000), pin=1)
            assert store.read(file, 0, 2000) == content(number, 2000)
            store.release(file)
        needed = store.statistics.used // segment_size(size)
        assert len(segments_of(tmp_path)) <= 2 * needed + SPARE + 2


def test_what_cannot_be_read_is_given_up_and_moves_nobody_round_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 8 * MIB
    read = Files.read
    refused: set[int] = set()

    def failing(self: Files, place: Place) -> bytes:
        if place.segment in refused:
            raise OSError(errno.EIO, "Input/output error")
        return read(self, place)

    monkeypatch.setattr(Files, "read", failing)
    with Store(tmp_path, size, SERVER) as store:
        churned(store, rounds=20)
        refused.update(range(1, 8))
        for number in range(20, 60):
            for path in range(30):
                put(store, 1000 * number + path, content(path, 50_000))
            store.flush()
        needed = store.statistics.used // segment_size(size)
        assert len(segments_of(tmp_path)) <= 2 * needed + SPARE + 2


def test_only_some_segments_are_open_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Files.__init__, "__defaults__", (4,))
    with Store(tmp_path, 16 * MIB, SERVER) as store:
        chance = random.Random(3)
        for path in range(150):
            put(store, path, content(path, EXTENT))
            if path % 10 == 0:
                store.flush()
        store.flush()
        assert len(segments_of(tmp_path)) > 4
        for _ in range(200):
            path = chance.randrange(150)
            assert get(store, path, EXTENT) == content(path, EXTENT)
            assert open_files(tmp_path) <= 4


def test_a_descriptor_in_use_is_not_closed_below_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(tmp_path, most_open=1)
    files.write(Place(1, 0, 5), b"first")
    pread = os.pread
    seen: list[bytes] = []

    def meanwhile(descriptor: int, count: int, offset: int) -> bytes:
        monkeypatch.setattr(os, "pread", pread)
        files.write(Place(2, 0, 5), b"other")
        seen.append(b"")
        return pread(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", meanwhile)
    assert files.read(Place(1, 0, 5)) == b"first"
    assert seen
    assert open_files(tmp_path) == 1
    files.close()
    assert open_files(tmp_path) == 0


def test_where_no_descriptor_is_left_it_gives_back_its_own(tmp_path: Path) -> None:
    files = Files(tmp_path)
    for segment in range(1, 9):
        files.write(Place(segment, 0, 5), b"%05d" % segment)
    files.close()
    # What other tests left open stands here and there in the table: from here on every number is free.
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    held = [os.open(os.devnull, os.O_RDONLY)]
    while held[-1] < used:
        held.append(os.open(os.devnull, os.O_RDONLY))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(used, held[-1]) + 6
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, before[1]))
    try:
        for segment in (*range(1, 9), *range(1, 9)):
            assert files.read(Place(segment, 0, 5)) == b"%05d" % segment
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in held:
            os.close(descriptor)
        files.close()


def test_a_cache_from_before_is_taken_up(tmp_path: Path) -> None:
    """Its index finds extents by segment only since segments are brought together."""
    with Store(tmp_path, 8 * MIB, SERVER) as store:
        put(store, 1, content(1, 5000))
    database = sqlite3.connect(tmp_path / INDEX)
    database.execute("DROP INDEX IF EXISTS extent_segment")
    database.close()
    with Store(tmp_path, 8 * MIB, SERVER) as store:
        assert get(store, 1, 5000) == content(1, 5000)
    database = sqlite3.connect(tmp_path / INDEX)
    assert database.execute("SELECT 1 FROM sqlite_master WHERE name = 'extent_segment'").fetchone()
    database.close()
