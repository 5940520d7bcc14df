"""Archives go to venti here, in the background, as vac trees. Source: the archive of fossil(4).

What has not changed since it was archived last keeps its entries, with everything below it, so the cost follows the
change. An archive that was not finished is begun again after a restart; venti knows the blocks that it has.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import CoroutineType
from typing import cast

import trio

from fossil.errors import DamagedData, FossilError
from fossil.extents import LONGEST
from fossil.filesystem import FileSystem
from fossil.history import History, Past, Snapshot
from fossil.node import Node
from ninep import stat as st
from ninep.wire.dialect import Buffer
from ninep.wire.errors import WireError
from venti.entry import Entry
from venti.errors import VentiError
from venti.score import Score
from venti.store import BlockStore
from venti.vac import label, mode
from venti.vac.direntry import DirEntry, QidSpace
from venti.vac.writer import DirectoryTrees, VacWriter
from venti.writebehind import write_behind

log = logging.getLogger(__name__)

OpenStore = Callable[[], AbstractAsyncContextManager[BlockStore]]
"""Opens the archive anew for every use, so that one that went away can come back."""

RETRY = 60.0
"""Seconds until an archive that failed is tried again."""
REMEMBERED = 1000
"""Entries that are written to the database at once."""


class Archiver:
    """Writes the archives that wait, one after the other.

    Attributes:
        trouble: why the last attempt failed, or None.
    """

    def __init__(self, system: FileSystem, history: History, open_store: OpenStore) -> None:
        self._system = system
        self._history = history
        self._open_store = open_store
        self._wake = trio.Event()
        self._ended = trio.Event()
        self.trouble: str | None = None

    def wake(self) -> None:
        """There is something to archive, or a reason to try again."""
        self._wake.set()

    async def idle(self) -> None:
        """Waits until nothing is left to archive.

        Raises:
            FossilError: an attempt failed; it will be repeated all the same.
        """
        while self._history.waiting():
            ended = self._ended
            self.wake()
            await ended.wait()
            if self.trouble is not None:
                raise FossilError(f"archiving failed and is tried again later: {self.trouble}")

    async def run(self) -> None:
        """Archives until cancelled. An archive under way is then given up and begun anew at the next start."""
        while True:
            self._wake = trio.Event()
            try:
                for snapshot in self._history.waiting():
                    await self._write(snapshot)
                self.trouble = None
            except (WireError, VentiError, FossilError, OSError, ExceptionGroup) as error:
                self.trouble = str(_first(error))
                log.warning("archive not written, trying again in %g seconds: %s", RETRY, self.trouble)
            self._ended.set()
            self._ended = trio.Event()
            with trio.move_on_after(RETRY if self.trouble else math.inf):
                await self._wake.wait()

    async def _write(self, snapshot: Snapshot) -> None:
        async with self._open_store() as store:
            score = await _Archive(self._history, self._history.past(snapshot.epoch), store).write()
        self._history.finish(snapshot, score)
        log.info("archive %s", score)


class _Archive:
    """One archive being written."""

    def __init__(self, history: History, past: Past, store: BlockStore) -> None:
        self._history = history
        self._past = past
        self._store = store
        self._new: list[tuple[int, int, bytes]] = []

    async def write(self) -> str:
        """Writes everything and returns the score as people write it."""
        root = self._past.root
        async with write_behind(self._store) as behind:
            self._writer = VacWriter(behind)
            trees = await self._directory(root)
            space = QidSpace(0, self._history.highest_path() + 1)
            info = self._info(root)._replace(name="root", qid_space=space)
            score = await self._writer.finish(info, trees, name="fossil", previous=self._previous())
        # Only now is all of it safe in venti, and may be counted on.
        self._history.remember(self._new)
        return label.text(score)

    def _previous(self) -> Score | None:
        try:
            text = self._history.last().score
        except FossilError:
            return None
        return None if text is None else label.parse(text)

    async def _directory(self, node: Node) -> DirectoryTrees:
        known = self._history.archived(node.path, node.changed)
        if known is not None and len(known) == 80:
            return DirectoryTrees(Entry.unpack(known, 0), Entry.unpack(known, 40))
        writer = self._writer.directory()
        past = self._past
        for name in sorted(past.children(node), key=str.encode):
            child = past.child(node, name)
            assert child is not None
            if child.mode & st.DMTMP:
                continue
            if child.mode & st.DMDIR:
                await writer.add_directory(self._info(child), await self._directory(child))
            else:
                await writer.add_file(self._info(child), await self._file(child))
        trees = await writer.finish()
        self._new.append((node.path, node.changed, trees.entries.pack() + trees.meta.pack()))
        return trees

    async def _file(self, node: Node) -> Entry:
        known = self._history.archived(node.path, node.changed)
        if known is not None and len(known) == 40:
            return Entry.unpack(known)
        tree = self._writer.tree()
        offset = 0
        while offset < node.length:
            data = self._past.read(node, offset, LONGEST)
            if type(data) is CoroutineType:
                data = await data
            if not len(cast("Buffer", data)):
                raise DamagedData(f"{node.name} ends before its length")
            await tree.write(cast("Buffer", data))
            offset += len(cast("Buffer", data))
        entry = await tree.finish()
        self._new.append((node.path, node.changed, entry.pack()))
        return entry

    def _info(self, node: Node) -> DirEntry:
        bits = node.mode & 0o777
        for ours, theirs in ((st.DMDIR, mode.DIRECTORY), (st.DMAPPEND, mode.APPEND), (st.DMEXCL, mode.EXCLUSIVE)):
            if node.mode & ours:
                bits |= theirs
        return DirEntry(
            node.name,
            bits,
            qid=node.path,
            uid=node.uid,
            gid=node.gid,
            mid=node.muid,
            mtime=node.mtime,
            mcount=node.version,
            ctime=node.mtime,
            atime=node.atime,
        )


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
