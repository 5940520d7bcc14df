"""Archives snapshots to venti in the background, as vac trees. Source: the archive of fossil(4).

What has not changed since it was archived last keeps its entries, with everything below it, so the cost follows the
change; of a large file only the leaves that changed are read and written. What is in venti is noted every few hundred
files, so an archive that was interrupted, by a restart or because venti went away, goes on where it was.

Clients are served all the while: the database is asked for a page of names at a time, and between two of them
everybody else has a turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from fossil.archive.archive import Written, write_archive
from fossil.archive.listing import Lister
from fossil.archive.refill import Refill, Refilled
from fossil.archive.sources import open_sources
from fossil.archive.trust import Trust
from fossil.archive.vault import OpenStore, Vault
from fossil.errors import ArchiveAway, FossilError
from fossil.live.filesystem import FileSystem
from fossil.past.history import History, Snapshot
from ninep.net.errors import WireError
from ninep.protocol.errors import FileError
from venti.blocks.errors import LostBlock, VentiError
from venti.stores.interface import BlockStore

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
        away: whether that is because venti could not be reached.
        progress: of the archive that is being written, or None.
        refilled: how far it has come to write again what venti lacks, or None.
        looked: is set when venti has been connected to for the first time, or could not be.
    """

    def __init__(
        self,
        system: FileSystem,
        history: History,
        vault: Vault,
        lister: Lister,
        trust: Trust,
        earlier: Callable[[], Sequence[tuple[str, OpenStore]]],
        told: Callable[[str], None],
    ) -> None:
        """``earlier`` gives the archives that may have what the one of ``vault`` lacks. ``told`` gets a line about each
        archive that is in venti.
        """
        self._system = system
        self._history = history
        self._lister = lister
        self._vault = vault
        self._trust = trust
        self._earlier = earlier
        self._refill: Refill | None = None
        self._wake = trio.Event()
        self._ended = trio.Event()
        self.trouble: str | None = None
        self.away = False
        self._told = told
        self.progress: Progress | None = None
        self.refilled: Refilled | None = None
        self.looked = trio.Event()

    def wake(self) -> None:
        """There is something to archive, or a reason to try again."""
        self._wake.set()

    async def idle(self) -> None:
        """Waits until nothing is left to archive, and venti has been found to have all that was.

        Raises:
            FossilError: an attempt failed; it will be repeated all the same. Or there is no archive.
        """
        if not self._trust.archiving:
            raise FossilError("nothing is archived: the file system was opened without an archive, with -V")
        while self._history.waiting() or self._trust.lacking is not None or self._trust.wants_to_meet():
            ended = self._ended
            self.wake()
            await ended.wait()
            if self.trouble is not None:
                raise FossilError(f"archiving failed and is tried again later: {self.trouble}")

    async def retry(self) -> None:
        """Tries again at once, if the last attempt failed, and returns when that has ended, however it did."""
        if self.trouble is not None and self.progress is None and self.refilled is None:
            ended = self._ended
            self.wake()
            await ended.wait()

    async def run(self) -> None:
        """Archives until cancelled. An archive under way is then given up, and gone on with at the next start."""
        wait = FIRST_WAIT
        while True:
            self._wake = trio.Event()
            self.away = False
            noted = None
            try:
                while await self._step():
                    pass
                self.trouble = None
            except (FossilError, VentiError, WireError, FileError, OSError) as error:
                noted = str(error) or type(error).__name__
                if isinstance(error, VentiError) and not isinstance(error, LostBlock):
                    noted = f"venti{self._trust.name()}: {noted}"
                if noted != self.trouble:
                    log.warning("archiving is gone on with later: %s", noted)
                self.trouble = noted
            except Exception as error:
                log.exception("archiving failed, and is tried again later")
                self.trouble = noted = f"internal error: {error!r}; the server's log has the details"
            self.looked.set()
            self._ended.set()
            self._ended = trio.Event()
            if noted is None:
                wait = FIRST_WAIT
                await self._wake.wait()
            else:
                # What woke it meanwhile may have been this very attempt.
                self._wake = trio.Event()
                with trio.move_on_after(wait):
                    await self._wake.wait()
                wait = min(wait * 2, LONGEST_WAIT)

    async def _step(self) -> bool:
        """Does what is to be done next; False if that is nothing."""
        waiting = self._history.waiting()
        if not waiting and self._trust.lacking is None and not self._trust.wants_to_meet():
            return False
        try:
            async with self._vault.use() as store:
                self.looked.set()
                if self._trust.lacking is not None:
                    await self._complete(store)
                elif waiting:
                    await self._write(waiting[0], store)
        except ArchiveAway as error:
            self.away = True
            raise FossilError(f"venti is away: {error}") from error
        return True

    async def _complete(self, store: BlockStore) -> None:
        """Writes again what venti lacks."""
        async with open_sources(self._earlier()) as sources:
            refill = self._refill
            if refill is not None and not await refill.found(store, sources):
                raise FossilError(refill.complaint)
            refill = Refill(self._system, self._history, self._trust)
            self.refilled = refill.progress
            try:
                await refill.run(store, sources)
            finally:
                self.refilled = None
                self._refill = refill if refill.lost else None

    async def _write(self, snapshot: Snapshot, store: BlockStore) -> None:
        progress = Progress(f"/{snapshot.kind}/{snapshot.name}", trio.current_time())
        self.progress = progress

        def written(done: Written) -> None:
            progress.files += done.files
            progress.size += done.size
            if done.entries:
                self._history.remember(done.entries)
            self._trust.keep(done.mark)

        # An attempt before this one may have left blocks that venti lost and believes to have.
        doubtful = self._trust.get("begun") is not None
        self._trust.set("begun", progress.name)
        try:
            score = await write_archive(self._history, snapshot, store, written, self._lister.fetch, doubtful=doubtful)
        finally:
            self.progress = None
        self._history.finish(snapshot, score)
        self._trust.set("begun", None)
        log.info("archive %s", score)
        self._told(f"archive {score}")
