"""Archives go to venti here, in the background, as vac trees. Source: the archive of fossil(4).

What has not changed since it was archived last keeps its entries, with everything below it, so the cost follows the
change; of a large file only the leaves that changed are read and written. What is in venti is noted every few hundred
files, so an archive that was interrupted, by a restart or because venti went away, goes on where it was.

Clients are served all the while: the database is asked for a page of names at a time, and between two of them
everybody else has a turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import trio

from fossil.archive import Written, write_archive
from fossil.errors import ArchiveAway, FossilError
from fossil.history import History, Snapshot
from fossil.listing import Lister
from fossil.vault import Vault
from ninep.errors import FileError
from ninep.wire.errors import WireError
from venti.errors import VentiError

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds until an archive that failed is gone on with: after the first failure, and at most."""


@dataclass
class Progress:
    """How far the archive that is being written has come.

    Attributes:
        name: its path, such as ``/archive/2026/1123``.
        since: when this attempt began, on trio's clock.
        files: files and directories written or found unchanged.
        size: bytes of the files that were written.
    """

    name: str
    since: float
    files: int = 0
    size: int = 0


class Archiver:
    """Writes the archives that wait, one after the other.

    Attributes:
        trouble: why the last attempt failed, or None.
        written: is told of each archive that is in venti, in a line.
        progress: of the archive that is being written, or None.
    """

    def __init__(self, history: History, vault: Vault, lister: Lister) -> None:
        self._history = history
        self._lister = lister
        self._vault = vault
        self._wake = trio.Event()
        self._ended = trio.Event()
        self.trouble: str | None = None
        self.written: Callable[[str], None] = lambda line: None
        self.progress: Progress | None = None

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
        """Archives until cancelled. An archive under way is then given up, and gone on with at the next start."""
        wait = FIRST_WAIT
        while True:
            self._wake = trio.Event()
            noted = None
            try:
                for snapshot in self._history.waiting():
                    await self._write(snapshot)
                self.trouble = None
            except (FossilError, VentiError, WireError, FileError, OSError) as error:
                noted = str(error) or type(error).__name__
                if noted != self.trouble:
                    log.warning("archive not written, it is gone on with later: %s", noted)
                self.trouble = noted
            self._ended.set()
            self._ended = trio.Event()
            if noted is None:
                wait = FIRST_WAIT
                await self._wake.wait()
            else:
                with trio.move_on_after(wait):
                    await self._wake.wait()
                wait = min(wait * 2, LONGEST_WAIT)

    async def _write(self, snapshot: Snapshot) -> None:
        progress = Progress(f"/{snapshot.kind}/{snapshot.name}", trio.current_time())
        self.progress = progress

        def written(done: Written) -> None:
            progress.files += done.files
            progress.size += done.size
            if done.entries:
                self._history.remember(done.entries)

        try:
            async with self._vault.use() as store:
                score = await write_archive(self._history, snapshot, store, written, self._lister.fetch)
        except ArchiveAway as error:
            raise FossilError(f"venti is away: {error}") from error
        finally:
            self.progress = None
        self._history.finish(snapshot, score)
        log.info("archive %s", score)
        self.written(f"archive {score}")
