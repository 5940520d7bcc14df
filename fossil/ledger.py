"""How changes of files become lasting: first in the redo log, which is enough for an answer, later in the database.

A transaction for every request would cost more than all else that a request does. The database counts generations:
each transaction that takes over what the redo log has begins the next one, and makes the groups in the log old.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from pathlib import Path

from fossil import redo
from fossil.pending import Pending
from fossil.redolog import RedoLog
from fossil.settled import boot

log = logging.getLogger(__name__)

MOST = 512
"""Rows that are put into the database at once; clients wait for that, a few milliseconds."""
RESERVED = 4096
"""Paths that are set aside at once; after a crash as many may be left out."""
SQLITE_FULL = 13
_SET = "INSERT OR REPLACE INTO setting VALUES (?, ?)"


class Ledger:
    """The changes of one file system that the database does not have yet.

    Attributes:
        pending: what has not been answered.
        recorded: what the redo log has; after a commit that failed for a full disk also what was refused for that.
        log: the redo log; None where there is none, and every change is a transaction.
        generation: of the database, and of what the redo log has for it.
        reserved: paths below it may be given to files without the database being told.
    """

    def __init__(self, database: sqlite3.Connection, path: Path, *, durable: bool) -> None:
        """Redoes what the redo log at ``path`` has and the database has not. With ``durable`` none is kept.

        Raises:
            OSError: the disk is full, and the log cannot be redone.
            sqlite3.Error: it cannot for another reason.
        """
        self._database = database
        self.pending = Pending()
        self.recorded = Pending()
        self.reserved = 0
        settings = dict(database.execute("SELECT name, value FROM setting WHERE name IN ('redo', 'next_path')"))
        self.generation: int = settings.get("redo", 0)
        if self.generation:
            self._redo(path, settings.get("next_path", 0))
        self.log: RedoLog | None = None
        if not durable:
            try:
                self.log = RedoLog(path)
                if not self.generation:
                    # Begun anywhere, so that what another database has left behind is never taken for its own.
                    self.generation = int.from_bytes(os.urandom(6), "big") + 1
                    database.execute(_SET, ("redo", self.generation))
            except OSError as error:
                log.warning("%s cannot be made (%s): every change is a transaction", path, error.strerror)

    def _redo(self, path: Path, next_path: int) -> None:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return
        run, count = self._database.execute, 0
        try:
            run("BEGIN IMMEDIATE")
            for rows, next_later in redo.groups(data, self.generation, boot()):
                rows.store(self._database)
                next_path = max(next_path, next_later)
                count += 1
            if count:
                self._database.executemany(_SET, (("redo", self.generation + 1), ("next_path", next_path)))
            run("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                run("ROLLBACK")
            if getattr(error, "sqlite_errorcode", 0) == SQLITE_FULL:
                text = "the disk is full, and what was answered last has to be brought into the database: make room"
                raise OSError(errno.ENOSPC, text, str(path)) from error
            raise
        if count:
            self.generation += 1
            log.info("%d groups of changes were redone after the server was killed", count)

    def record(self, epoch: int, *, next_path: int) -> bool:
        """Makes what is pending survive the end of this process; False if that takes a ``commit``."""
        pending, recorded = self.pending, self.recorded
        if self.log is None or len(recorded) + len(pending) > MOST:
            return False
        if not self.log.append(redo.packed(pending.rows(epoch), next_path, self.generation)):
            return False
        recorded.add(pending)
        pending.clear()
        return True

    def commit(self, epoch: int, *, next_path: int) -> None:
        """Brings everything into the database. ``next_path`` is larger than any path in it.

        Raises:
            sqlite3.Error: nothing was written, and all of it waits for the next commit, not for ``record``.
        """
        database, changes = self._database, self.recorded
        changes.add(self.pending)
        self.pending.clear()
        reserved, generation = self.reserved, self.generation
        try:
            database.execute("BEGIN IMMEDIATE")
            changes.rows(epoch).store(database)
            if next_path > reserved:
                # Some are set aside, so that not every transaction writes another page for this.
                reserved = next_path + RESERVED
                database.executemany(_SET, (("epoch", epoch), ("next_path", reserved)))
            if self.log is not None:
                generation += 1
                database.execute(_SET, ("redo", generation))
            database.execute("COMMIT")
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        self.reserved, self.generation = reserved, generation
        if self.log is not None:
            self.log.restart()
        for node in changes.nodes.values():
            node.born = epoch
        changes.clear()

    def close(self) -> None:
        """Releases the redo log; what it has and the database has not is redone at the next opening."""
        if self.log is not None:
            self.log.close()
