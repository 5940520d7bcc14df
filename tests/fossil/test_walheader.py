"""Where SQLite's write-ahead log ends, by its index, held against the log itself."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest

from fossil.metadata.walheader import FRAME_HEADER, LOG_HEADER, UnknownIndex, end_of_log, log_head, whole_length


def heads(path: Path) -> tuple[bytes, bytes]:
    return path.with_name(path.name + "-shm").read_bytes()[:48], path.with_name(path.name + "-wal").read_bytes()[:32]


@pytest.mark.parametrize("page", [512, 4096, 65536])
def test_it_ends_with_the_last_frame_of_a_commit(tmp_path: Path, page: int) -> None:
    path = tmp_path / "database"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA page_size={page}")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
        database.execute("CREATE TABLE t (x)")
        for number in range(3):
            database.execute("INSERT INTO t VALUES (?)", (number,))
            index, log = heads(path)
            salt, length = end_of_log(index, log)
            whole = path.with_name(path.name + "-wal").read_bytes()
            assert length == len(whole)
            # The head of the last frame has the salt, and the pages of the database: it ends a commit.
            pages, found = struct.unpack_from(">4xI8s", whole, length - page - FRAME_HEADER)
            assert pages
            assert found == salt
        database.execute("PRAGMA wal_checkpoint(RESTART)")
        database.execute("INSERT INTO t VALUES (9)")
        again, length = end_of_log(*heads(path))
        assert again != salt
        assert LOG_HEADER < length < len(whole)


def test_an_index_that_says_something_else_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "database"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (x)")
        index, log = heads(path)
    assert end_of_log(index, log)[1] > LOG_HEADER
    other_version = struct.pack("=I", 4_000_000) + index[4:]
    other_salt = index[:32] + bytes(8) + index[40:]
    other_page = index[:14] + struct.pack("=H", 512) + index[16:]
    for wrong in (other_version, other_salt, other_page):
        with pytest.raises(UnknownIndex):
            end_of_log(wrong, log)
    with pytest.raises(UnknownIndex):
        end_of_log(index, b"")


@pytest.mark.parametrize("index", [b"", bytes(47), bytes(48)])
def test_an_index_that_says_nothing_is_of_an_empty_log(index: bytes) -> None:
    assert end_of_log(index, b"") == (b"", 0)


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(32), b"SQLite format 3\0" * 2])
def test_what_is_no_log_has_no_head(data: bytes) -> None:
    assert log_head(data) is None


def test_how_far_a_log_is_whole(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "some", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute("CREATE TABLE one (a)")
    for number in range(20):
        database.execute("INSERT INTO one VALUES (?)", (str(number) * 500,))
    log = (tmp_path / "some-wal").read_bytes()
    (page,) = database.execute("PRAGMA page_size").fetchone()
    database.close()
    frame = FRAME_HEADER + page
    assert whole_length(log) == len(log)
    assert whole_length(log + bytes(frame)) == len(log)
    assert whole_length(b"") == whole_length(bytes(100)) == 0
    for at in (0, 5, 12, 17, 25):
        assert whole_length(log[:at] + bytes([log[at] ^ 1]) + log[at + 1 :]) == 0
    for number in (0, 3, len(log) // frame - 1):
        start = LOG_HEADER + number * frame
        for at in (0, 7, 9, 20, FRAME_HEADER, FRAME_HEADER + 100, frame - 1):
            damaged = bytearray(log)
            damaged[start + at] ^= 0x10
            assert whole_length(bytes(damaged)) == start
        assert whole_length(log[: start + frame - 1]) == start
