"""Makes changes durable: first in the redo log, which is enough for a reply, later in the database.

A transaction for every request would cost more than all else that a request does; one for hundreds of them would let
whoever comes last wait for all. So the database takes over what the redo log has in a transaction that stays open for a
while, a few rows at a time, in moments in which nobody waits. Meanwhile what is answered goes to the other half of the
log.

The database counts generations: each transaction that takes over what the redo log has begins the next one, and makes
the groups of the one before old.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from fossil.errors import DamagedData
from fossil.metadata import redo, settled
from fossil.metadata.headroom import Headroom, is_full
from fossil.metadata.pending import Pending
from fossil.metadata.redolog import RedoLog
from fossil.metadata.rows import Rest
from fossil.metadata.schema import Database
from fossil.metadata.settings import EPOCH, NEXT_PATH, REDO, REDO_COPY, Settings
from fossil.metadata.settled import boot
from ninep.protocol.errors import FileSystemFull

log = logging.getLogger(__name__)

MOST = 512
"""Rows that the redo log has before the database begins to take them over."""
FEW = 8
"""Rows that go to the database at once, or twice as many as have come since: some ten microseconds."""
RESERVED = 4096
"""Paths that are set aside at once; after a crash as many may be left out."""


class _Storing:
    """Changes on their way into the database, in a transaction that is open."""

    __slots__ = ("changes", "epoch", "next_path", "rows")

    def __init__(self, changes: Pending, epoch: int, next_path: int) -> None:
        self.changes = changes
        self.epoch = epoch
        self.next_path = next_path
        self.rows = Rest(changes.rows(epoch))


class Ledger:
    """The changes of one file system that the database does not have yet.

    Attributes:
        pending: what has not been answered.
        recorded: what the redo log has and no transaction takes over; after one that failed for a full disk also what
            was refused for that.
        log: the redo log; None where there is none, and every change is a transaction.
        generation: of what is written to the redo log now.
        headroom: what the database needs room for.
        reserved: paths below it may be given to files without the database being told.
    """

    def __init__(self, database: Database, settings: Settings, path: Path, *, durable: bool) -> None:
        """Redoes what the redo log at ``path`` has and the database has not. With ``durable`` none is kept.

        Raises:
            DamagedData: the log is missing, or newer than the database.
            OSError: the disk is full, and the log cannot be redone.
            sqlite3.Error: it cannot for another reason.
        """
        self._database = database
        self._settings = settings
        self._path = path
        self.headroom = Headroom(database.files, path.parent)
        self.pending = Pending()
        self.recorded = Pending()
        self._storing: _Storing | None = None
        self._since = self._waiting = 0
        self.reserved = 0
        self.generation: int = settings.get(REDO, 0)
        if self.generation:
            self._redo(path, settings.get(NEXT_PATH, 0))
        self.log: RedoLog | None = None
        self._durable = durable
        try:
            self.begin_log()
        except OSError as error:
            log.warning("%s cannot be made (%s): every change is a transaction until it can", path, error.strerror)

    def begin_log(self) -> None:
        """Makes the redo log if there is none and there should be one. Raises OSError: it cannot be made."""
        if self._durable or self.log is not None or self.behind or self.pending.nodes:
            return
        log = RedoLog(self._path)
        try:
            # Begun anywhere, so that what another database, or a machine that lost its power, has left in the file is
            # never taken for its own.
            generation = int.from_bytes(os.urandom(6), "big") + 1
            self._set_generation(generation)
        except BaseException:
            log.close()
            raise
        self.log, self.generation = log, generation

    def is_prepared(self, rows: int) -> bool:
        """Whether room was taken for what is on its way to the database and so many rows more."""
        pending = self.pending
        waiting = len(pending.nodes) + len(pending.names) + len(pending.extents) + len(pending.extents_closed)
        return self._waiting + waiting + rows <= self.headroom.rows

    def prepare(self, rows: int, commit: Callable[[], None]) -> None:
        """Takes that room. Raises ``FileSystemFull``.

        ``commit`` brings into the database what is on its way: that needs less room than was taken for it.
        """
        try:
            self.headroom.ensure(self._waiting + len(self.pending) + rows)
        except FileSystemFull:
            commit()
            self.headroom.ensure(rows)

    def _redo(self, path: Path, next_path: int) -> None:
        data = self._read_log(path)
        run, count, generation = self._database.execute, 0, self.generation
        ahead = redo.ahead(data, generation, boot())
        if ahead > 1:
            raise DamagedData(
                f"{path.with_name('metadata')} is older than {path}: put back the files that belong together; "
                f"with an empty file in the place of {path.name} the older state is opened"
            )
        try:
            run("BEGIN IMMEDIATE")
            for each in (generation, generation + 1):
                found = list(redo.groups(data, each, boot()))
                if lost := redo.cut_off(data, each, boot()):
                    log.error("%s is damaged: changes before the last %d groups of it are lost", path, lost)
                elif ahead and not found:
                    log.error("%s is damaged: some of the changes that were answered last are lost", path)
                for rows, next_later in found:
                    rows.store(self._database)
                    next_path = max(next_path, next_later)
                if found:
                    count += len(found)
                    generation = each + 1
            if count:
                self._set_generation(generation)
                self._settings.set(NEXT_PATH, next_path)
            run("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                run("ROLLBACK")
            if is_full(error, path.parent):
                text = "the disk is full, and what was answered last has to be brought into the database: make room"
                raise OSError(errno.ENOSPC, text, str(path)) from error
            raise
        if count:
            self.generation = generation
            log.info("%d groups of changes were redone after the server was killed", count)

    @staticmethod
    def _read_log(path: Path) -> bytes:
        """What is in the redo log. Raises ``DamagedData`` where it is missing and may have what was answered last."""
        note = settled.last_note(path.parent)
        # After another start of the machine nothing of it counts.
        counts = note is not None and note.mark is not None and note.boot == boot() != ""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            if counts:
                raise DamagedData(
                    f"{path} is missing, and had what was answered last if the server was killed: put it back; "
                    "an empty file in its place gives that up"
                ) from None
            return b""
        if counts and data[: redo.HEADER] != redo.header(boot()) and not data.startswith(redo.OLDER):
            log.error("%s is damaged: if the server was killed, what was answered last is lost", path)
        return data

    def _set_generation(self, generation: int) -> None:
        self._settings.set(REDO, generation)
        self._settings.set(REDO_COPY, generation)

    def tell_next_path(self) -> None:
        """The next transaction tells the database which path is the next: another one has set it meanwhile."""
        self.reserved = 0

    @property
    def behind(self) -> bool:
        """Whether there is anything but what is pending that the database does not have."""
        return self._storing is not None or bool(self.recorded.nodes)

    def record(self, epoch: int, *, next_path: int) -> bool:
        """Makes what is pending survive the end of this process; False if that takes a ``commit``.

        Raises:
            sqlite3.Error: the database did not take over what is older.
        """
        log, pending = self.log, self.pending
        if log is None:
            return False
        size = len(pending)
        if self.recorded.nodes and len(self.recorded) + size > MOST:
            self._begin(epoch, next_path, log)
        rows = pending.rows(epoch)
        if not log.append(redo.packed(rows, next_path, self.generation)):
            if not self.recorded.nodes:
                return False
            self._begin(epoch, next_path, log)
            if not log.append(redo.packed(rows, next_path, self.generation)):
                return False
        self.recorded.add(pending)
        self._since += size
        self._waiting += size
        pending.clear()
        return True

    def _begin(self, epoch: int, next_path: int, log: RedoLog) -> None:
        """Lets the database take over what was recorded; what comes now is of the next generation."""
        self.complete()
        self._database.execute("BEGIN IMMEDIATE")
        self._storing = _Storing(self.recorded, epoch, next_path)
        self.recorded = Pending()
        self.generation += 1
        log.turn()

    def some(self) -> None:
        """Brings a few rows into the database, if any are on their way. Raises sqlite3.Error as ``complete`` does."""
        storing, since = self._storing, self._since
        self._since = 0
        if storing is None:
            return
        if not storing.rows:
            self.complete()
            return
        try:
            storing.rows.store(self._database, max(FEW, 2 * since))
        except sqlite3.Error:
            self._undo()
            raise

    def complete(self) -> None:
        """Ends the transaction that is open, so that the database has whole groups only.

        Raises:
            sqlite3.Error: it ended without effect. The log has still what it was about, and ``commit`` tries again.
        """
        storing = self._storing
        if storing is None:
            return
        try:
            storing.rows.store_all(self._database)
            self._end(storing.epoch, storing.next_path, self.generation)
        except sqlite3.Error:
            self._undo()
            raise
        self._stored(storing)

    def _end(self, epoch: int, next_path: int, generation: int) -> None:
        database, reserved = self._database, self.reserved
        if next_path > reserved:
            # Some are set aside, so that not every transaction writes another page for this.
            reserved = next_path + RESERVED
            self._settings.set(EPOCH, epoch)
            self._settings.set(NEXT_PATH, reserved)
        if self.log is not None:
            self._set_generation(generation)
        database.execute("COMMIT")
        self.reserved = reserved
        self.headroom.used()
        self._waiting = len(self.recorded)

    def _stored(self, storing: _Storing) -> None:
        for node in storing.changes.nodes.values():
            node.born = storing.epoch
        self._storing = None

    def _undo(self) -> None:
        """After a failure: what was on its way is as it was before, recorded."""
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        if self._storing is not None:
            changes = self._storing.changes
            changes.add(self.recorded)
            self.recorded, self._storing = changes, None
        self._waiting = len(self.recorded)

    def commit(self, epoch: int, *, next_path: int) -> None:
        """Brings everything into the database. ``next_path`` is larger than any path in it.

        Raises:
            sqlite3.Error: nothing was written, and all of it waits for the next commit, not for ``record``.
        """
        database, storing, changes = self._database, self._storing, self.recorded
        changes.add(self.pending)
        self.pending.clear()
        try:
            if storing is None:
                database.execute("BEGIN IMMEDIATE")
            else:
                storing.rows.store_all(database)
            changes.rows(epoch).store(database)
            self._end(epoch, next_path, self.generation + 1)
        except sqlite3.Error:
            self._undo()
            raise
        if self.log is not None:
            self.generation += 1
            self.log.restart()
        if storing is not None:
            self._stored(storing)
        for node in changes.nodes.values():
            node.born = epoch
        changes.clear()
        self._waiting = 0

    def close(self) -> None:
        """Releases the redo log; what it has and the database has not is redone at the next opening."""
        if self.log is not None:
            self.log.close()
