"""The past: snapshots, each an epoch that has ended, and the trees as they were in them."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import NamedTuple

from fossil.content import read_extents
from fossil.errors import DamagedData, NoSnapshot
from fossil.extents import Extent
from fossil.filesystem import ROOT, FileSystem
from fossil.node import COLUMNS, Node
from fossil.schema import ALIVE
from ninep.wire.dialect import Buffer, Maybe

SNAPSHOT = "snapshot"
ARCHIVE = "archive"
REMEMBERED = 16
"""Past trees whose nodes are kept in memory."""
NODES = 20_000
"""Nodes of one past tree that are kept in memory."""


class Snapshot(NamedTuple):
    """A moment that can be looked at.

    Attributes:
        epoch: the tree is as it was at the end of this epoch.
        time: seconds since 1970.
        kind: ``SNAPSHOT`` or ``ARCHIVE``.
        name: below the directory of its kind, such as ``2026/1123/1830`` or ``2026/1123.1``.
        score: of an archive that has been written to venti.
    """

    epoch: int
    time: int
    kind: str
    name: str
    score: str | None


class History:
    """The snapshots of a file system."""

    def __init__(self, system: FileSystem) -> None:
        self._system = system
        self._database = system.database
        self._past: OrderedDict[int, Past] = OrderedDict()

    def take(self, kind: str) -> Snapshot:
        """Makes a snapshot of the live tree, in constant time. Raises ``WritesStopped``."""
        system = self._system
        system.check()
        system.commit()
        now = system.now()
        name = self._free_name(kind, now)
        epoch = system.next_epoch()
        snapshot = Snapshot(epoch, now, kind, name, None)
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute("INSERT INTO snapshot VALUES (?, ?, ?, ?, ?)", snapshot)
        self._database.execute("INSERT OR REPLACE INTO setting VALUES ('epoch', ?)", (system.epoch,))
        self._database.execute("COMMIT")
        return snapshot

    def _free_name(self, kind: str, now: int) -> str:
        base = time.strftime("%Y/%m%d/%H%M" if kind == SNAPSHOT else "%Y/%m%d", time.localtime(now))
        taken = {snapshot.name for snapshot in self.all(kind)}
        name, number = base, 0
        while name in taken:
            number += 1
            name = f"{base}.{number}"
        return name

    def all(self, kind: str) -> list[Snapshot]:
        """The snapshots of a kind, oldest first."""
        rows = self._database.execute("SELECT * FROM snapshot WHERE kind=? ORDER BY epoch", (kind,))
        return [Snapshot(*row) for row in rows]

    def waiting(self) -> list[Snapshot]:
        """The archives that have not been written to venti, oldest first."""
        rows = self._database.execute(
            "SELECT * FROM snapshot WHERE kind=? AND score IS NULL ORDER BY epoch", (ARCHIVE,)
        )
        return [Snapshot(*row) for row in rows]

    def last(self) -> Snapshot:
        """The newest archive that has been written. Raises ``NoSnapshot``."""
        row = self._database.execute(
            "SELECT * FROM snapshot WHERE score IS NOT NULL ORDER BY epoch DESC LIMIT 1"
        ).fetchone()
        if row is None:
            raise NoSnapshot("nothing has been archived yet: say 'snap -a', and wait until it is written")
        return Snapshot(*row)

    def archived(self, path: int, changed: int) -> bytes | None:
        """The entries that an unchanged file or directory has in an archive already."""
        row = self._database.execute(
            "SELECT entries FROM archived WHERE path=? AND changed=?", (path, changed)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def remember(self, entries: list[tuple[int, int, bytes]]) -> None:
        """Keeps (path, changed, entries) of what has been written to venti and synced."""
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT OR REPLACE INTO archived VALUES (?, ?, ?)", entries)
        self._database.execute("COMMIT")

    def finish(self, snapshot: Snapshot, score: str) -> None:
        """The archive has been written and synced, and is found under ``score``."""
        self._database.execute("UPDATE snapshot SET score=? WHERE epoch=?", (score, snapshot.epoch))

    def highest_path(self) -> int:
        """No file has had a larger path."""
        return int(self._database.execute("SELECT max(path) FROM node").fetchone()[0])

    def past(self, epoch: int) -> Past:
        """The tree at the end of an epoch."""
        past = self._past.pop(epoch, None) or Past(self._system, epoch)
        self._past[epoch] = past
        if len(self._past) > REMEMBERED:
            self._past.popitem(last=False)
        return past

    def expire(self, before: int) -> int:
        """Forgets the snapshots (not archives) taken before a time, in seconds since 1970, and what only they show.

        Returns how many went.
        """
        run = self._database.execute
        run("BEGIN IMMEDIATE")
        count = run("DELETE FROM snapshot WHERE kind=? AND time<?", (SNAPSHOT, before)).rowcount
        unseen = f"died<{ALIVE} AND NOT EXISTS (SELECT 1 FROM snapshot WHERE epoch>=born AND epoch<died)"
        freed = run(f"SELECT DISTINCT place, stored FROM extent WHERE {unseen}").fetchall()
        for table in ("extent", "name", "node"):
            run(f"DELETE FROM {table} WHERE {unseen}")
        run("COMMIT")
        self._system.freed += freed
        return int(count)


class Past:
    """The tree as it was at the end of one epoch."""

    def __init__(self, system: FileSystem, epoch: int) -> None:
        self._log = system.log
        self._database = system.database
        self._nodes: OrderedDict[int, Node] = OrderedDict()
        self.epoch = epoch

    @property
    def root(self) -> Node:
        """The root of the tree."""
        return self.node(ROOT)

    def node(self, path: int) -> Node:
        """A node by its path."""
        node = self._nodes.get(path)
        if node is None:
            row = self._database.execute(
                f"SELECT {COLUMNS} FROM node WHERE path=? AND born<=? AND died>? LIMIT 1",
                (path, self.epoch, self.epoch),
            ).fetchone()
            if row is None:
                raise DamagedData(f"the database does not have file {path:x} in epoch {self.epoch}")
            node = self._nodes[path] = Node(*row)
            if len(self._nodes) > NODES:
                self._nodes.popitem(last=False)
        return node

    def children(self, node: Node) -> dict[str, tuple[int, int]]:
        """Name to (path, epoch of the name's row) of a directory."""
        if node.children is None:
            rows = self._database.execute(
                "SELECT name, child, born FROM name WHERE parent=? AND born<=? AND died>?",
                (node.path, self.epoch, self.epoch),
            )
            node.children = {name: (child, born) for name, child, born in rows}
        return node.children

    def child(self, node: Node, name: str) -> Node | None:
        """The node called ``name`` in a directory."""
        found = self.children(node).get(name)
        return None if found is None else self.node(found[0])

    def extents(self, node: Node) -> list[Extent]:
        """The extents of a file, sorted."""
        if node.extents is None:
            rows = self._database.execute(
                "SELECT start, length, place, skip, stored, digest, born FROM extent "
                "WHERE path=? AND born<=? AND died>? ORDER BY start",
                (node.path, self.epoch, self.epoch),
            )
            node.extents = [Extent(*row) for row in rows]
        return node.extents

    def read(self, node: Node, offset: int, count: int) -> Maybe[Buffer]:
        """At most ``count`` bytes from ``offset``."""
        return read_extents(self._log, self.extents(node), node.length, offset, count)
