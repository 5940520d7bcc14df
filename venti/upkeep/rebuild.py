"""Rebuilds the index of a store from its arenas, step by step."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import lmdb

from venti.blocks.errors import StoreFailed
from venti.log import synced
from venti.log.arena import START
from venti.log.claim import claimed
from venti.log.files import OsFolder
from venti.log.index import Index, pack_place
from venti.log.log import Log, Position, Since
from venti.log.store import BATCH

_NEVER = 1 << 62
"""Bytes of an arena that is never full: nothing is written here."""


class Rebuild:
    """A context manager that holds the store; call ``step`` until it says that all is done.

    Left early, or cut short by a crash, it leaves an index that says how far it reaches: opening the store goes on from
    there.

    Attributes:
        total: bytes of all arenas.
        at: bytes of those that are in the index.
        blocks: so many clumps are in it.
    """

    def __init__(self, path: Path) -> None:
        """Claims the store.

        Raises:
            StoreInUse: another process has it open.
            DamagedStore: it is no store, or arenas are missing.
        """
        self.at = self.blocks = 0
        self._path = path
        self._stack = ExitStack()
        with ExitStack() as stack:
            stack.enter_context(claimed(path))
            certain = synced.read(OsFolder(path))
            self._log = Log(OsFolder(path / "arenas"), arena_size=_NEVER, clock=time.time, certain=certain)
            stack.callback(self._log.close)
            shutil.rmtree(path / "index", ignore_errors=True)
            self._index = Index(path / "index")
            stack.callback(self._index.close)
            self._stack = stack.pop_all()
        self.total = sum(self._log.end(number) for number in self._log.numbers)
        self._found = self._clumps()

    def __enter__(self) -> Rebuild:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _clumps(self) -> Iterator[Since]:
        return self._log.since(Position(0, START))

    def step(self) -> bool:
        """Adds one batch; True when all is in the index. In any thread, one at a time.

        Raises:
            StoreFailed: the index cannot be written, as on a full disk.
        """
        batch: dict[bytes, bytes] = {}
        covered = None
        for number, found, _ in self._found:
            clump = found.clump
            key = clump.score + bytes((clump.type,))
            batch[key] = pack_place(number, found.offset, clump.stored, clump.size, clump.digest[:16])
            covered = Position(number, found.end)
            self.blocks += 1
            if len(batch) >= BATCH:
                break
        if covered is None:
            self.at = self.total
            return True
        try:
            self._index.prepare()
            self._index.write(batch, covered)
            self._index.finish()
        except lmdb.Error as error:
            raise StoreFailed(
                f"{self._path / 'index'} cannot be written: {error}: see to the disk; the index is finished when the "
                "store is opened"
            ) from error
        self.at = sum(self._log.end(number) for number in range(covered.arena)) + covered.offset
        return False
