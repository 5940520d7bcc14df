"""The database: older formats are brought up to date, and what is none or of a later one is told."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from contracts.opened_fossil import Opened, client
from contracts.served_file import OWNER
from fossil.errors import DamagedData
from fossil.filesystem import FileSystem
from fossil.history import ARCHIVE
from fossil.schema import FORMAT

OLDER = """
DROP TABLE archived; DROP TABLE source; DROP TABLE fetched; DROP TABLE unlisted;
CREATE TABLE archived (path INTEGER PRIMARY KEY, changed INTEGER NOT NULL, entries BLOB NOT NULL);
INSERT INTO archived VALUES (2, 1, x'00');
ALTER TABLE snapshot DROP COLUMN shown; ALTER TABLE snapshot DROP COLUMN top;
PRAGMA user_version=1;
"""
"""What makes the first format of a database, as far as it differs."""


async def test_the_first_format(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            await raw.made("file", data=b"content")
            taken = opened.history.take(ARCHIVE)
    database = sqlite3.connect(tmp_path / "metadata", isolation_level=None)
    database.executescript(OLDER)
    database.close()
    with Opened(tmp_path) as opened:
        assert opened.system.database.execute("PRAGMA user_version").fetchone() == (FORMAT,)
        assert opened.history.archived(2, 1) == b"\0"
        async with client(opened, aname="main") as raw:
            assert await raw.content("active", "file") == b"content"
            assert await raw.content("archive", *taken.name.split("/"), "file") == b"content"


def test_a_later_format(tmp_path: Path) -> None:
    FileSystem(tmp_path, owner=OWNER).close()
    database = sqlite3.connect(tmp_path / "metadata", isolation_level=None)
    database.execute(f"PRAGMA user_version={FORMAT + 1}")
    database.close()
    with pytest.raises(DamagedData, match="use a newer program"):
        FileSystem(tmp_path, owner=OWNER)


def test_no_database(tmp_path: Path) -> None:
    (tmp_path / "metadata").write_bytes(b"something else entirely" * 500)
    with pytest.raises(DamagedData, match="restore it from a copy"):
        FileSystem(tmp_path, owner=OWNER)
