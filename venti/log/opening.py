"""Opens a store: takes the lock, opens index and log, and starts the background work."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from ninep.tasks.nursery import background
from ninep.wire.dialect import Buffer
from venti.blocks.score import Score
from venti.log import index as indexes
from venti.log import space as spaces
from venti.log import synced
from venti.log.claim import claimed
from venti.log.damaged import DamagedList
from venti.log.files import ArenaFolder, OsFolder
from venti.log.index import Index
from venti.log.log import BEGINNING, Log
from venti.log.space import Space
from venti.log.store import DiskStore
from venti.log.synced import SyncedFile
from venti.workers.pool import Workers

ARENA_SIZE = 512 * 1024 * 1024
"""Bytes after which an arena is sealed and the next one begun."""


@asynccontextmanager
async def open_disk_store(
    path: str | Path,
    *,
    arena_size: int = ARENA_SIZE,
    read_only: bool = False,
    index_memory: int = indexes.MEMORY,
    reserve: int = spaces.RESERVE,
    clock: Callable[[], float] = time.time,
    score_of: Callable[[Buffer], Score] = Score.of,
    workers: Workers | None = None,
    folder: Callable[[Path], ArenaFolder] = OsFolder,
) -> AsyncIterator[DiskStore]:
    """Opens the store in the directory ``path``, which is made if it is not there.

    ``read_only``: the store is only read, by any number of processes at once, and nothing in it is changed.
    ``arena_size``, ``index_memory`` (of the index, mapped at most) and ``reserve`` (room that is left on the disk) are
    in bytes; ``clock`` gives seconds since 1970; ``score_of`` and ``folder`` are for tests.

    Cancelled, the store is synced and closed.

    Raises:
        StoreInUse: another process has it open.
        DamagedStore: it is damaged beyond what can be repaired here, or not a store.
    """
    path = Path(path)
    with claimed(path, read_only=read_only):
        index = Index(path / "index", memory=index_memory, read_only=read_only)
        try:
            arenas, root = folder(path / "arenas"), folder(path)
            blocks = Log(
                arenas,
                arena_size=arena_size,
                clock=clock,
                read_only=read_only,
                known=index.covered or BEGINNING,
                certain=synced.read(root),
            )
            space = Space(arenas, reserve=0 if read_only else reserve, now=trio.current_time)
            notes = None if read_only else DamagedList(path)
            store = DiskStore(
                blocks,
                index,
                space,
                clock=clock,
                score_of=score_of,
                workers=workers,
                notes=notes,
                synced=None if read_only else SyncedFile(root),
            )
        except BaseException:
            index.close()
            raise
        try:
            async with background() as nursery:
                nursery.start_soon(store.run)
                nursery.start_soon(store.learn)
                yield store
        finally:
            with trio.CancelScope(shield=True):
                await store.aclose()
