"""A cache whose files are damaged, or are not its own: what it returns is right or nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from cfs.disk.layout import EXTENT, PAGE
from cfs.disk.store import Store
from cfs.errors import CacheInUse, NotACache
from fakes.stored_content import MIB, SERVER, content, get, put, version

SIZES = {1: 1, 2: 100, 3: PAGE, 4: EXTENT, 5: 3 * EXTENT + 100, 6: 40_000}


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A closed cache with a few files of all sizes."""
    with Store(tmp_path / "cache", 16 * MIB, SERVER) as store:
        for path, length in SIZES.items():
            put(store, path, content(path, length))
    return tmp_path / "cache"


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
