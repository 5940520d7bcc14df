"""The cache on disk: what it returns is right or nothing, whatever happens to its files."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cfs.errors import BadBound, CacheInUse, NotACache
from cfs.layout import EXTENT, PAGE, Version
from cfs.outage import RETRY
from cfs.segments import Files
from cfs.store import QUEUE, Store

MIB = 1 << 20
SERVER = "tcp!files!564"


def content(path: int, length: int) -> bytes:
    return random.Random(path).randbytes(length)


def version(length: int, number: int = 1) -> Version:
    return Version(number, 1000, length)


def put(store: Store, path: int, data: bytes, number: int = 1) -> None:
    file = store.file("main", path, version(len(data), number))
    assert store.add(file, 0, data)
    store.release(file)


def get(store: Store, path: int, length: int, number: int = 1) -> bytes | None:
    file = store.file("main", path, version(length, number))
    try:
        data = store.read(file, 0, length)
        return None if data is None else bytes(data)
    finally:
        store.release(file)


def taken(directory: Path) -> int:
    """Bytes that the directory's files really take on disk."""
    return sum(entry.stat().st_blocks * 512 for entry in os.scandir(directory))


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


# The bound


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


# Damage


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A closed cache with a few files of all sizes."""
    with Store(tmp_path / "cache", 16 * MIB, SERVER) as store:
        for path, length in SIZES.items():
            put(store, path, content(path, length))
    return tmp_path / "cache"


SIZES = {1: 1, 2: 100, 3: PAGE, 4: EXTENT, 5: 3 * EXTENT + 100, 6: 40_000}


def right_or_nothing(directory: Path) -> int:
    """Opens the cache, holds all it gives against what it was given; returns how many files it still had."""
    had = 0
    with Store(directory, 16 * MIB, SERVER) as store:
        for path, length in SIZES.items():
            data = get(store, path, length)
            assert data is None or data == content(path, length)
            had += data is not None
        for path, length in SIZES.items():
            assert through(store, path, length) == content(path, length)
        store.flush()
        for path, length in SIZES.items():
            assert get(store, path, length) == content(path, length)
    return had


def through(store: Store, path: int, length: int) -> bytes:
    """What a reader gets who fetches what is missing, until all is there."""
    file = store.file("main", path, version(length))
    try:
        for _ in range(10):
            data = store.read(file, 0, length)
            if data is not None:
                return bytes(data)
            for gap in file.present.gaps(0, length):
                store.add(file, gap.start, content(path, length)[gap.start : gap.end])
        raise AssertionError("no end of damage")
    finally:
        store.release(file)


def data_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.data"))


def test_a_whole_cache_has_everything(filled: Path) -> None:
    assert right_or_nothing(filled) == len(SIZES)


def test_flipped_data_is_dropped_and_said_once(filled: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in data_files(filled):
        data = bytearray(path.read_bytes())
        for at in range(0, len(data), 1000):
            data[at] ^= 1
        path.write_bytes(data)
    assert right_or_nothing(filled) < len(SIZES)
    said = [record for record in caplog.records if "damaged extent" in record.message and record.levelname == "WARNING"]
    assert len(said) == 1


@pytest.mark.parametrize("seed", range(40))
def test_one_flipped_byte_anywhere(filled: Path, seed: int) -> None:
    random_ = random.Random(seed)
    path = random_.choice([entry for entry in filled.iterdir() if entry.stat().st_size and entry.name != "lock"])
    data = bytearray(path.read_bytes())
    at = random_.randrange(len(data))
    data[at] ^= 1 << random_.randrange(8)
    path.write_bytes(data)
    right_or_nothing(filled)


@pytest.mark.parametrize("keep", [0, 1, 5000, 70_000])
@pytest.mark.parametrize("name", ["data", "index"])
def test_torn_files(filled: Path, name: str, keep: int) -> None:
    for path in data_files(filled) if name == "data" else [filled / "index"]:
        with path.open("r+b") as file:
            file.truncate(keep)
    right_or_nothing(filled)


def test_lost_files(filled: Path) -> None:
    for path in data_files(filled):
        path.unlink()
    assert right_or_nothing(filled) == 0


def test_rows_that_tell_lies(filled: Path) -> None:
    """An index that leads to the wrong bytes, in order in themselves, is found out."""
    with contextlib.closing(sqlite3.connect(filled / "index")) as db, db:
        db.execute("UPDATE file SET path = CASE path WHEN 4 THEN -4 ELSE path END")
        db.execute("UPDATE file SET path = 4, number = 1, mtime = 1000, length = ? WHERE path = 3", (EXTENT,))
        db.execute("UPDATE extent SET start = start + 65536 WHERE file = (SELECT id FROM file WHERE path = 6)")
    right_or_nothing(filled)


@pytest.mark.parametrize("statement", ["DROP TABLE extent", "DROP TABLE meta", "DELETE FROM meta", "DROP TABLE file"])
def test_an_index_that_cannot_be_used_is_made_anew(
    filled: Path, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.closing(sqlite3.connect(filled / "index")) as db, db:
        db.execute(statement)
    assert right_or_nothing(filled) == 0
    assert "made anew" in caplog.text


def test_an_index_that_fails_while_in_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Store(tmp_path, 16 * MIB, SERVER) as store:
        put(store, 1, b"one")
        store.flush()
        file = store.file("main", 1, version(3))
        with contextlib.closing(sqlite3.connect(tmp_path / "index")) as db, db:
            db.execute("DROP TABLE extent")
        assert store.read(file, 0, 3) is None
        assert file.dead
        store.release(file)
        put(store, 1, b"one")
        store.flush()
        assert get(store, 1, 3) == b"one"
    assert "its index failed" in caplog.text
    with Store(tmp_path, 16 * MIB, SERVER) as store:
        assert get(store, 1, 3) == b"one"


# Whose cache it is


def test_name_mismatch(filled: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Store(filled, 16 * MIB, "tcp!other!564") as store:
        assert get(store, 4, EXTENT) is None
        assert store.statistics.used < 200_000
    assert f"name mismatch: it belongs to {SERVER}, not tcp!other!564; made anew" in caplog.text
    assert not any(path.stat().st_size for path in data_files(filled))


def test_format_mismatch(filled: Path, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.closing(sqlite3.connect(filled / "index")) as db, db:
        db.execute("PRAGMA user_version = 99")
    assert right_or_nothing(filled) == 0
    assert "its format is 99" in caplog.text


def test_segments_of_an_earlier_cache_do_not_pass(filled: Path, tmp_path: Path) -> None:
    """The same bytes at the same place under a row that fits: the key is another, so they are absent."""
    shutil.copytree(filled, tmp_path / "copy")
    with contextlib.closing(sqlite3.connect(tmp_path / "copy" / "index")) as db, db:
        db.execute("UPDATE meta SET value = zeroblob(32) WHERE key = 'nonce'")
    assert right_or_nothing(tmp_path / "copy") == 0


def test_directory_in_use(filled: Path) -> None:
    with Store(filled, 16 * MIB, SERVER), pytest.raises(CacheInUse, match=f"in use by process {os.getpid()}"):
        Store(filled, 16 * MIB, SERVER)
    with Store(filled, 16 * MIB, SERVER):
        pass


def test_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(NotACache):
        Store(tmp_path, 16 * MIB, SERVER)
    assert os.listdir(tmp_path) == ["letter.txt"]


# Crashes and full disks

CRASH = """
import sys, random, os
from pathlib import Path
from cfs.store import Store
from cfs.layout import Version
with Store(Path(sys.argv[1]), 4 << 20, "tcp!files!564") as store:
    print("ready", flush=True)
    for turn in range(1_000_000):
        path = turn % 500
        length = 1000 + path * 100
        file = store.file("main", path, Version(1, 1000, length))
        if not file.present:
            store.add(file, 0, random.Random(path).randbytes(length))
        store.release(file)
        if turn % 5 == 0:
            store.flush()
        if turn == 40:
            print("going", flush=True)
"""


@pytest.mark.process
def test_kill_9(tmp_path: Path) -> None:
    had = 0
    for turn in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", CRASH, str(tmp_path)], stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert process.stdout.readline() == b"going\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05 * turn)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        process.stdout.close()
        with Store(tmp_path, 4 * MIB, SERVER) as store:
            assert taken(tmp_path) <= 5 * MIB
            for path in range(500):
                data = get(store, path, 1000 + path * 100)
                assert data is None or data == content(path, 1000 + path * 100)
                had += data is not None
            assert store.statistics.damaged == 0
    assert had > 100


def test_full_disk_turns_caching_off_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    full = False
    write = Files.write

    def limited(self: Files, place: object, data: bytes) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, place, data)

    monkeypatch.setattr(Files, "write", limited)
    with Store(tmp_path, 16 * MIB, SERVER, clock=lambda: now) as store:
        put(store, 1, b"one")
        store.flush()
        full = True
        for path in (2, 3):
            put(store, path, b"two")
        store.flush()
        assert store.off
        assert get(store, 2, 3) is None
        assert get(store, 1, 3) == b"one"
        file = store.file("main", 4, version(4))
        assert not store.add(file, 0, b"four")
        now += RETRY + 1
        assert not store.off
        assert store.add(file, 0, b"four")
        store.flush()
        assert store.off
        now += RETRY + 1
        full = False
        assert store.add(file, 0, b"four")
        store.flush()
        assert store.read(file, 0, 4) == b"four"
        assert not store.off
        store.release(file)
        full = True
        put(store, 5, b"five")
        store.flush()
    assert caplog.text.count("is turned off") == 2
    assert caplog.text.count("is on again") == 1


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
