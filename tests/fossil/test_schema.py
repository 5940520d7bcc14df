"""The database: older formats are brought up to date, and what is none or of a later one is told."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from pathlib import Path

import pytest

from contracts.served_file import OWNER
from fossil.errors import DamagedData
from fossil.live.filesystem import FileSystem
from fossil.metadata import redo
from fossil.metadata.schema import FORMAT
from fossil.metadata.settled import boot
from fossil.past.history import SNAPSHOT
from fossil.server.check import Check, Finding
from fossil.server.service import open_fossil
from programs.opened_fossil import Opened, client

RECORDED = Path(__file__).parent.parent / "recorded" / "fossil" / "format-4.tar.xz"
"""The data directory of a server of the fourth format that was killed: some changes are in its redo log alone."""
OLDER = {
    1: """
DROP TABLE archived; DROP TABLE source; DROP TABLE fetched; DROP TABLE unlisted;
CREATE TABLE archived (path INTEGER PRIMARY KEY, changed INTEGER NOT NULL, entries BLOB NOT NULL);
INSERT INTO archived VALUES (2, 1, x'00');
ALTER TABLE snapshot DROP COLUMN shown; ALTER TABLE snapshot DROP COLUMN top;
""",
    3: "ALTER TABLE snapshot DROP COLUMN shown; ALTER TABLE snapshot DROP COLUMN top;",
    4: "",
}
"""What makes older formats of a database of the fourth, as far as they differ."""
WRITTEN = 1_700_000_000
DAY = 86_400


def older(path: Path, number: int) -> None:
    """Puts the recorded directory to ``path``, as if the machine had not been started anew since."""
    with tarfile.open(RECORDED) as archive:
        archive.extractall(path, filter="data")
    with (path / "redo").open("r+b") as file:
        file.write(redo.header(boot(), redo.OLDER))
    note = json.loads((path / "settled").read_text())
    (path / "settled").write_text(json.dumps({**note, "boot": boot()}))
    database = sqlite3.connect(path / "metadata", isolation_level=None)
    database.executescript(OLDER[number] + f"PRAGMA user_version={number};")
    database.close()


@pytest.mark.expects_errors  # The recorded directory has no venti with it.
@pytest.mark.parametrize("number", OLDER)
async def test_older_formats(tmp_path: Path, number: int) -> None:
    """Everything is there, with what had been answered and was in the redo log alone, and nothing is found wrong."""
    older(tmp_path, number)
    with Opened(tmp_path, owner=OWNER) as opened:
        database = opened.system.database
        assert database.execute("PRAGMA user_version").fetchone() == (FORMAT,)
        if number == 1:
            assert opened.history.archived(2, 1) == b"\0"
        (taken,) = opened.history.all(SNAPSHOT)
        async with client(opened, aname="main") as raw:
            assert await raw.content("active", "dir", "redone") == b"in the redo log alone"
            assert await raw.content("active", "dir", "file6") == b"aga"
            assert await raw.content("active", "dir", "hole") == bytes(100_000) + b"end"
            assert await raw.content("snapshot", *taken.name.split("/"), "dir", "file7") == bytes([7]) * 4900
            moved = bytes([3]) * 100 + b"changed" + bytes([3]) * 1993
            assert await raw.content("active", "dir", "moved") == moved
        folder = opened.system.child(opened.system.node(2), "dir")
        assert folder is not None
        names = ["empty", "file0", "file1", "file2", "file4", "file6", "hole", "moved", "redone"]
        assert sorted(opened.system.children(folder)) == names
        kept = opened.system.child(folder, "file1")
        assert kept is not None
        assert (kept.mtime, kept.ctime, kept.atime) == (WRITTEN * 10**9,) * 3
        redone = opened.system.child(folder, "redone")
        assert redone is not None
        assert redone.mtime == (WRITTEN + 2 * DAY + 1) * 10**9
    found: list[Finding] = []
    async with open_fossil(tmp_path, owner=OWNER) as fossil:
        checked = await Check(fossil, found.append).run()
    assert (list(map(str, found)), checked.damaged) == ([], 0)


async def test_an_upgrade_that_is_interrupted(tmp_path: Path) -> None:
    """It is one transaction: until it is done the database is what it was."""
    older(tmp_path, 4)
    before = (tmp_path / "redo").read_bytes()
    database = sqlite3.connect(tmp_path / "metadata", isolation_level=None)
    database.execute("CREATE TABLE old_node (x)")
    database.close()
    with pytest.raises(DamagedData, match="cannot be used"):
        FileSystem(tmp_path, owner=OWNER)
    database = sqlite3.connect(tmp_path / "metadata", isolation_level=None)
    assert database.execute("PRAGMA user_version").fetchone() == (4,)
    database.execute("DROP TABLE old_node")
    database.close()
    assert (tmp_path / "redo").read_bytes() == before
    with Opened(tmp_path) as opened:
        async with client(opened) as raw:
            assert await raw.content("dir", "redone") == b"in the redo log alone"


def test_a_later_format(tmp_path: Path) -> None:
    FileSystem(tmp_path, owner=OWNER).close()
    (tmp_path / "metadata-head").unlink()
    database = sqlite3.connect(tmp_path / "metadata", isolation_level=None)
    database.execute(f"PRAGMA user_version={FORMAT + 1}")
    database.close()
    with pytest.raises(DamagedData, match="use a newer program"):
        FileSystem(tmp_path, owner=OWNER)


def test_no_database(tmp_path: Path) -> None:
    (tmp_path / "metadata").write_bytes(b"something else entirely" * 500)
    with pytest.raises(DamagedData, match="restore it from a copy"):
        FileSystem(tmp_path, owner=OWNER)
