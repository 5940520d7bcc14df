"""Snapshots: each is an epoch that has ended. Takes, lists and forgets them, and opens their trees."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import NamedTuple

from fossil.errors import NoSnapshot
from fossil.live.filesystem import ROOT, FileSystem
from fossil.metadata import lookup
from fossil.metadata.settings import EPOCH, NEXT_PATH
from fossil.metadata.tables import ARCHIVED
from fossil.metadata.tables import SNAPSHOT as SNAPSHOT_ROW
from fossil.past.past import Past
from fossil.past.sweep import FORGOTTEN, Sweep

SNAPSHOT = "snapshot"
ARCHIVE = "archive"
_SHOWN = f"kind IN ('{ARCHIVE}', '{SNAPSHOT}')"
REMEMBERED = 16
"""Past trees whose nodes are kept in memory."""


class Snapshot(NamedTuple):
    """A moment that can be looked at.

    Attributes:
        epoch: that ended when it was taken; no other snapshot has it.
        time: seconds since 1970.
        kind: ``SNAPSHOT`` or ``ARCHIVE``.
        name: below the directory of its kind, such as ``2026/1123/1830`` or ``2026/1123.1``.
        score: of an archive that has been written to venti.
        shown: the epoch whose end it shows: its own, or that of the snapshot that it was taken of.
        top: the path of the directory that is its root.

    The tree at the end of its own epoch stays as long as it does: that is what an archive has as the live tree.
    """

    epoch: int
    time: int
    kind: str
    name: str
    score: str | None
    shown: int
    top: int

    @property
    def whole(self) -> bool:
        """Whether it shows all of the live tree of the moment when it was taken."""
        return self.shown == self.epoch and self.top == ROOT


class History:
    """The snapshots of a file system."""

    def __init__(self, system: FileSystem) -> None:
        self._system = system
        self._database = system.database
        self._past: OrderedDict[int, Past] = OrderedDict()
        self._sweep = Sweep(system)
        self._gone: set[int] = set()

    def take(self, kind: str, name: str = "", *, of: Past | None = None, top: int = ROOT) -> Snapshot:
        """Makes a snapshot, in constant time; it is named by the time unless told how.

        It is one of the live tree, or of the tree ``of`` another snapshot; of all of it, or of the directory ``top``.

        Raises:
            WritesStopped, FileSystemFull
        """
        system = self._system
        system.check()
        system.commit()
        now = system.now()
        name = name or self._free_name(kind, now)
        shown, top = (system.epoch, top) if of is None else (of.epoch, of.top if top == ROOT else top)
        snapshot = Snapshot(system.epoch, now, kind, name, None, shown, top)
        with system.transaction() as database:
            database.put(SNAPSHOT_ROW, snapshot)
            system.settings.set(EPOCH, system.epoch + 1)
            system.settings.count_snapshots()
        system.next_epoch()
        return snapshot

    def _free_name(self, kind: str, now: int) -> str:
        base = time.strftime("%Y/%m%d/%H%M" if kind == SNAPSHOT else "%Y/%m%d", time.localtime(now))
        rows = self._database.execute(
            "SELECT name FROM snapshot WHERE kind=? AND name>=? AND name<?", (kind, base, base + "/")
        )
        taken = {name for (name,) in rows}
        name, number = base, 0
        while name in taken:
            number += 1
            name = f"{base}.{number}"
        return name

    def all(self, kind: str) -> list[Snapshot]:
        """The snapshots of a kind, oldest first."""
        return self._found("WHERE kind=? ORDER BY epoch", (kind,))

    def _found(self, rest: str, parameters: tuple[object, ...]) -> list[Snapshot]:
        """Rows of the table; those that are damaged are told in the log, and by ``check``."""
        found = self._database.sound_rows(SNAPSHOT_ROW, rest, parameters)
        return [Snapshot(*row[:-1]) for row in found]

    def find(self, kind: str, name: str) -> Snapshot | None:
        """The snapshot of a kind and a name such as ``2026/1123/1830``."""
        return next(iter(self._found("WHERE kind=? AND name=?", (kind, name))), None)

    def newest(self, kind: str) -> Snapshot | None:
        """The snapshot of a kind that was taken last of all of the live tree."""
        rest = "WHERE kind=? AND shown=epoch AND top=? ORDER BY epoch DESC LIMIT 1"
        return next(iter(self._found(rest, (kind, ROOT))), None)

    def every(self) -> list[Snapshot]:
        """The snapshots of both kinds, oldest first."""
        return self._found(f"WHERE {_SHOWN} ORDER BY epoch", ())

    def state(self) -> object:
        """Something that is different after snapshots were taken or forgotten."""
        return self._database.execute(
            f"SELECT count(*), max(epoch), total(epoch) FROM snapshot WHERE {_SHOWN}"
        ).fetchone()

    def shows(self, born: int, died: int) -> bool:
        """Whether a snapshot shows what is there from epoch ``born`` to before ``died``, or needs it."""
        found = self._database.execute(
            "SELECT 1 FROM snapshot WHERE (epoch>=? AND epoch<? OR shown>=? AND shown<?) AND kind<>? LIMIT 1",
            (born, died, born, died, FORGOTTEN),
        ).fetchone()
        return found is not None

    def of_epoch(self, epoch: int) -> tuple[str, str] | None:
        """The (kind, name) of a snapshot, forgotten or not, of the whole tree at the end of an epoch."""
        found: tuple[str, str] | None = self._database.execute(
            "SELECT kind, name FROM snapshot WHERE shown=? AND top=?", (epoch, ROOT)
        ).fetchone()
        return found

    def waiting(self) -> list[Snapshot]:
        """The archives that have not been written to venti, oldest first."""
        return self._found("WHERE kind=? AND score IS NULL ORDER BY epoch", (ARCHIVE,))

    def until(self, snapshot: Snapshot) -> list[Snapshot]:
        """The archives up to and with this one, oldest first."""
        return self._found("WHERE kind=? AND epoch<=? ORDER BY epoch", (ARCHIVE, snapshot.epoch))

    def next_path(self) -> int:
        """The path of the next file that is made; all that exist have smaller ones."""
        return int(self._system.settings.get(NEXT_PATH))

    def last(self) -> Snapshot:
        """The newest archive that has been written. Raises ``NoSnapshot``."""
        found = self._found("WHERE score IS NOT NULL ORDER BY epoch DESC LIMIT 1", ())
        if not found:
            raise NoSnapshot("nothing has been archived yet: say 'snap -a', and wait until it is written")
        return found[0]

    def archived(self, path: int, changed: int) -> bytes | None:
        """The entries in venti of a file or directory as it was since epoch ``changed``."""
        return lookup.archived(self._database, path, changed)

    def archived_before(self, path: int, changed: int) -> tuple[int, bytes] | None:
        """The newest (changed, entries) of a file or directory that is older than ``changed``."""
        rest = "WHERE path=? AND changed<? ORDER BY changed DESC LIMIT 1"
        row = self._database.sound(ARCHIVED, rest, (path, changed))
        return None if row is None else (int(row[1]), bytes(row[2]))

    def remember(self, entries: list[tuple[int, int, bytes]]) -> None:
        """Keeps (path, changed, entries) of what has been written to venti and synced."""
        with self._system.transaction() as database:
            database.executemany(ARCHIVED.insert, ARCHIVED.summed(entries))

    def finish(self, snapshot: Snapshot, score: str) -> None:
        """The archive has been written and synced, and is found under ``score``, unless it was given up meanwhile."""
        with self._system.transaction() as database:
            for found in self._found("WHERE epoch=? AND kind=?", (snapshot.epoch, ARCHIVE)):
                database.put(SNAPSHOT_ROW, found._replace(score=score))

    def past(self, epoch: int) -> Past:
        """The tree of the snapshot with this epoch."""
        past = self._past.pop(epoch, None) or self._look(epoch)
        self._past[epoch] = past
        if len(self._past) > REMEMBERED:
            self._past.popitem(last=False)
        return past

    def _look(self, epoch: int) -> Past:
        row = self._database.row(SNAPSHOT_ROW, "WHERE epoch=?", (epoch,))
        shown, top = (epoch, ROOT) if row is None else row[5:7]
        return Past(self._system, shown, self._gone, snapshot=epoch, top=top)

    def live_at(self, snapshot: Snapshot) -> Past:
        """The live tree of the moment when a snapshot was taken."""
        return self.past(snapshot.epoch) if snapshot.whole else Past(self._system, snapshot.epoch, self._gone)

    def expire(self, before: int) -> int:
        """Forgets the snapshots, not the archives, taken before a time in seconds since 1970.

        They cannot be looked at from now on. What only they show is taken away by ``sweep``. Returns how many went.
        """
        rows = self._database.execute("SELECT epoch FROM snapshot WHERE kind=? AND time<?", (SNAPSHOT, max(before, 0)))
        return self.forget([epoch for (epoch,) in rows.fetchall()])

    def forget(self, epochs: list[int]) -> int:
        """Forgets snapshots by their epochs, as ``expire`` does."""
        with self._system.transaction() as database:
            for epoch in epochs:
                for found in self._found("WHERE epoch=?", (epoch,)):
                    # The epoch makes the name unlike that of any other.
                    database.put(SNAPSHOT_ROW, found._replace(kind=FORGOTTEN, name=str(epoch)))
        self._gone.update(epochs)
        for epoch in epochs:
            self._past.pop(epoch, None)
        return len(epochs)

    def sweep(self) -> bool:
        """Takes away some of what only forgotten snapshots show, in a few milliseconds; whether there may be more."""
        return self._sweep.some()
