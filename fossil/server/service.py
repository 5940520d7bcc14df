"""A file system with everything that belongs to it: lock, background work, archiver, console."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import trio

from fossil.archive.archiver import Archiver
from fossil.archive.away import Away
from fossil.archive.eviction import Evictor
from fossil.archive.listing import Lister
from fossil.archive.trust import Trust
from fossil.archive.vault import OpenStore, Vault, welcome
from fossil.data.lock import held
from fossil.data.spare import Spare
from fossil.errors import DamagedData, WritesStopped
from fossil.files.attach import FossilTree
from fossil.files.rules import STRICT, Rules
from fossil.live.elsewhere import Elsewhere
from fossil.live.filesystem import FileSystem
from fossil.metadata.headroom import is_full
from fossil.metadata.schema import checkpoint, open_reader, pinned
from fossil.past.history import History
from fossil.past.schedule import Schedule
from ninep.protocol.errors import FileSystemFull
from ninep.tasks.nursery import background
from ninep.tasks.rounds import Rounds
from venti.log.opening import open_disk_store
from venti.stores.interface import BlockStore

log = logging.getLogger(__name__)

SETTLE = 5.0
"""Seconds after which a change is on the disk, so that no more than this is lost with the power."""
UNSETTLED = 3
"""Times in a row that settling may fail for no known reason before nothing more is promised."""
ROUNDS = 4
"""Times that settling is begun at once again while the database's write-ahead log is long."""
LONG_LOG = 64 * 1024 * 1024
PIECES = 100
"""Freed pieces that are given back at once; clients are served in between."""
ACCESSES = 256
"""Access times that are written at once; clients are served in between."""
EMBEDDED = "venti"
"""The directory of the embedded archive in the data directory."""


class Fossil:
    """A file system that is open.

    Attributes:
        system: the live tree.
        history: its snapshots.
        tree: both over 9P.
        vault: the venti that they go to.
        away: reads what is in it and no longer here.
        lister: lists directories of which only venti has the names.
        archiver: writes archives to it.
        check: how far a check that is under way has come, or None.
        trust: what is known of the venti that answers.
        evictor: keeps the data log within a bound, or None if there is none.
        schedule: takes snapshots and archives, and forgets snapshots, by the clock.
    """

    def __init__(
        self,
        folder: Path,
        system: FileSystem,
        open_store: OpenStore,
        *,
        rules: Rules,
        local_size: int | None,
        where: Callable[[], str],
        dial: Callable[[str], AbstractAsyncContextManager[BlockStore]] | None,
        archiving: bool,
        told: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self.system = system
        self.history = History(system)
        self.tree = FossilTree(system, self.history, rules=rules)
        self.check: object = None
        self._settling = trio.Lock()
        self._reader = open_reader(folder / "metadata")
        self.trust = Trust(system, where, lambda: self.archiver.wake(), archiving=archiving)
        self.vault = Vault(open_store, self.trust.meet if archiving else welcome)
        self.away = Away(system, self.vault, self.trust.suspect)
        self.lister = Lister(system, self.away)
        system.connect(Elsewhere(self.away.fetch, self.lister.fetch))
        self._where = where
        self._dial = dial
        self.archiver = Archiver(system, self.history, self.vault, self.lister, self.trust, self._earlier, told)
        self.schedule = Schedule(system, self.history, self.archiver.wake)
        self.evictor = None
        if local_size is not None:
            self.evictor = Evictor(system, self.history, local_size, self.archiver.wake, self.away.has)

    def _earlier(self) -> list[tuple[str, OpenStore]]:
        """The archives that were used before: the embedded one, and those at earlier addresses."""
        now = self._where()
        found: list[tuple[str, OpenStore]] = []
        embedded = self.folder / EMBEDDED
        if now and (embedded / "arenas").exists():
            found.append((f"the embedded venti in {embedded}", lambda: open_disk_store(embedded, read_only=True)))
        if self._dial is not None:
            earlier = [address for address in self.trust.addresses() if address not in ("", now)]
            found += [(f"venti {address}", partial(self._dial, address)) for address in earlier]
        return found

    async def settle(self) -> None:
        """Makes everything durable that has been committed: the data first, then what speaks of it.

        What was freed before is given back to the host, now that nothing durable refers to it.
        """
        async with self._settling:
            await self._settle()

    async def _settle(self) -> None:
        system = self.system
        try:
            with suppress(OSError):
                system.ledger.begin_log()
            system.ledger.headroom.refill()
            while system.accesses.store(ACCESSES):
                system.commit()
                await trio.lowlevel.checkpoint()
            for _ in range(ROUNDS):
                with ExitStack() as after:
                    async with system.sync_point.turn():
                        system.freed.settle()
                        mark = system.sync_point.mark()
                        after.enter_context(pinned(self._reader))
                        await trio.to_thread.run_sync(system.sync_point.write, mark)
                    await self._checkpoint()
                await self._release()
                if mark is None or mark.length < LONG_LOG:
                    break
        except DamagedData as error:
            log.error("%s", error)
        except (WritesStopped, FileSystemFull):
            # What failed is in the log already, and the system remembers it.
            return
        except sqlite3.Error as error:
            system.stop(f"the database cannot be made durable: {error}")

    def close(self) -> None:
        """Releases everything. Raises what ``FileSystem.close`` raises."""
        self._reader.close()
        self.system.close()

    async def _checkpoint(self) -> None:
        """Brings the database up to date; a full disk does not keep what was removed from being given back."""
        try:
            await trio.to_thread.run_sync(checkpoint, self.system.database)
        except sqlite3.Error as error:
            if not is_full(error, self.folder):
                raise
            # The write-ahead log is as it was, and durable; it is moved later.
            log.warning("the disk is full: the database is brought up to date when there is room")

    async def _release(self) -> None:
        while self.system.freed.release(PIECES):
            await trio.lowlevel.checkpoint()

    async def run(self) -> None:
        """Makes changes durable every few seconds and takes away what nobody can see any more, until cancelled."""
        settling, sweeping = Rounds(log, "making changes durable"), Rounds(log, "sweeping what nobody can see")
        while True:
            if self.system.stopped is None:
                with settling.one(), trio.CancelScope(shield=True):
                    await self.settle()
                if settling.failures == UNSETTLED:
                    self.system.stop("changes cannot be made durable; the log has the details")
            if self.system.stopped is None:
                with sweeping.one():
                    await self._sweep()
            await trio.sleep(SETTLE)

    async def _sweep(self) -> None:
        try:
            while self.history.sweep():
                await trio.lowlevel.checkpoint()
        except (WritesStopped, FileSystemFull):
            return
        except DamagedData as error:
            log.error("what only forgotten snapshots show is not taken away: %s", error)


@asynccontextmanager
async def open_fossil(
    folder: Path,
    *,
    owner: str,
    open_store: OpenStore | None = None,
    rules: Rules = STRICT,
    durable: bool = False,
    local_size: int | None = None,
    clock: Callable[[], float] = time.time,
    where: Callable[[], str] = lambda: "",
    dial: Callable[[str], AbstractAsyncContextManager[BlockStore]] | None = None,
    archiving: bool = True,
    told: Callable[[str], None] = lambda line: None,
) -> AsyncIterator[Fossil]:
    """Opens the file system in ``folder``, which is made if it is not there; a fresh root belongs to ``owner``.

    ``open_store`` opens the archive; None is one in the directory ``venti`` of ``folder``. ``local_size`` is how many
    bytes of data the log is brought back to, as far as they are safe in the archive; None is no bound. ``where`` says
    at which address ``open_store`` dials, if it does, and ``dial`` opens an archive that had another one before: what
    the one of now lacks may be there. Without ``archiving`` nothing is archived, and the archive is only read. ``told``
    gets a line about each archive that is in venti.

    Cancelled, everything is made durable and closed.

    Raises:
        DataInUse: another process has it open.
        DamagedData: it is not a file system that this program can use.
    """
    with held(folder):
        Spare(folder).give_up_if_full()
        system = FileSystem(folder, owner=owner, durable=durable, clock=clock)
        fossil = Fossil(
            folder,
            system,
            open_store or (lambda: open_disk_store(folder / EMBEDDED)),
            rules=rules,
            local_size=local_size,
            where=where,
            dial=dial,
            archiving=archiving,
            told=told,
        )
        try:
            async with background() as nursery:
                nursery.start_soon(fossil.run)
                nursery.start_soon(fossil.vault.run)
                if archiving:
                    nursery.start_soon(fossil.archiver.run)
                nursery.start_soon(fossil.schedule.run)
                if fossil.evictor is not None:
                    nursery.start_soon(fossil.evictor.run)
                yield fossil
        finally:
            with trio.CancelScope(shield=True):
                if system.stopped is None:
                    await fossil.settle()
            fossil.close()
