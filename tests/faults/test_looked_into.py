"""A data directory that is served, looked into by another program that knows SQLite: nothing is taken from it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from contracts.served_file import OWNER
from fossil.live.filesystem import ROOT, FileSystem
from fossil.metadata.schema import checkpoint, faults, open_reader
from fossil.server.service import Fossil, open_fossil

LOOK = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
print(database.execute("SELECT count(*) FROM node").fetchone()[0])
database.close()
"""


def make(system: FileSystem, name: str) -> None:
    node = system.create(system.node(ROOT), name, 0o644, OWNER, OWNER)
    system.write(node, 0, name.encode(), OWNER)
    system.commit()


def look(folder: Path) -> None:
    """As a person does with the program sqlite3."""
    subprocess.run([sys.executable, "-c", LOOK, str(folder / "metadata")], check=True, capture_output=True, timeout=60)


async def nothing(fossil: Fossil) -> None:
    """The server has just been opened."""


async def client_syncs(fossil: Fossil) -> None:
    await fossil.system.sync_point.reach()


async def moves_log(fossil: Fossil) -> None:
    await trio.to_thread.run_sync(checkpoint, fossil.system.database)


async def settles(fossil: Fossil) -> None:
    await fossil.settle()


async def takes_room(fossil: Fossil) -> None:
    fossil.system.ledger.headroom.ensure(10_000)


async def reads_beside(fossil: Fossil) -> None:
    open_reader(fossil.folder / "metadata").close()


async def is_checked(fossil: Fossil) -> None:
    assert not await trio.to_thread.run_sync(faults, fossil.folder / "metadata", 10)


@pytest.mark.parametrize(
    "work", [nothing, client_syncs, moves_log, settles, takes_room, reads_beside, is_checked], ids=lambda w: w.__name__
)
async def test_the_log_of_an_open_database_stays(tmp_path: Path, work: Callable[[Fossil], Awaitable[None]]) -> None:
    """Whatever the server did with the files before: SQLite's locks on them hold."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    log, index = live / "metadata-wal", live / "metadata-shm"
    async with open_fossil(live, owner=OWNER) as fossil:
        make(fossil.system, "before")
        await work(fossil)
        make(fossil.system, "after")
        before = log.stat(), index.stat()
        await trio.to_thread.run_sync(look, live)
        for path, old in zip((log, index), before, strict=True):
            found = path.stat()
            assert (found.st_ino, found.st_nlink) == (old.st_ino, 1)
            assert found.st_size >= old.st_size
        make(fossil.system, "later")
        # What a kill leaves.
        shutil.copytree(live, copy, ignore=shutil.ignore_patterns("console", "srv"))
    (copy / "lock").unlink()
    system = FileSystem(copy, owner=OWNER)
    assert set(system.children(system.node(ROOT))) - {"adm"} == {"before", "after", "later"}
    system.close()
