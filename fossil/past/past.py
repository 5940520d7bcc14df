"""The tree as it was at a snapshot, read from the database."""

from __future__ import annotations

from collections import OrderedDict

from fossil.data.extents import Extent
from fossil.errors import DamagedData, SnapshotDeleted, Unlisted
from fossil.live.filesystem import ROOT, FileSystem
from fossil.metadata import contained, lookup
from fossil.metadata.node import Node
from fossil.metadata.tables import EXTENT, IN_EPOCH, NAME, NODE
from fossil.past.qidspace import past_path
from ninep.wire.dialect import Buffer, Maybe

NODES = 20_000
"""Nodes of one past tree that are kept in memory."""


class Past:
    """The tree as it was at the end of one epoch.

    Attributes:
        epoch: which.
        top: the path of the directory that is its root.
    """

    def __init__(
        self, system: FileSystem, epoch: int, gone: set[int], *, snapshot: int | None = None, top: int = ROOT
    ) -> None:
        """``gone`` has the epochs of snapshots that may not be looked at any more; ``snapshot`` is that of this one,
        if it is not the epoch that is shown.
        """
        self._system = system
        self._content = system.content
        self._database = system.database
        self._gone = gone
        self._nodes: OrderedDict[int, Node] = OrderedDict()
        self._snapshot = epoch if snapshot is None else snapshot
        self.epoch = epoch
        self.top = top

    def check(self) -> None:
        """Raises ``SnapshotDeleted`` if the snapshot has been forgotten since."""
        if self._snapshot in self._gone:
            raise SnapshotDeleted

    @property
    def root(self) -> Node:
        """The root of the tree."""
        return self.node(self.top)

    def node(self, path: int) -> Node:
        """A node by its path. Its qid is that of this snapshot alone."""
        node = self._nodes.get(path)
        if node is None:
            node = self._nodes[path] = self._read(path)
            node.qid = node.qid._replace(path=past_path(self._snapshot, path))
            if len(self._nodes) > NODES:
                self._nodes.popitem(last=False)
        return node

    def _read(self, path: int) -> Node:
        row = self._database.row(NODE, f"WHERE path=? AND {IN_EPOCH} LIMIT 1", (path, self.epoch, self.epoch))
        if row is None or row[0] != path:
            raise DamagedData(f"the database does not have file {path:x} in epoch {self.epoch}")
        return Node.loaded(row)

    def children(self, node: Node) -> dict[str, tuple[int, int]]:
        """Name to (path, epoch of the name's row) of a directory. Raises ``Unlisted``, ``SnapshotDeleted``."""
        self.check()
        if node.children is None:
            self._check_listed(node)
            rows = self._database.rows(NAME, f"WHERE parent=? AND {IN_EPOCH}", (node.path, self.epoch, self.epoch))
            node.children = contained.names(node, rows)
        return node.children

    def _check_listed(self, node: Node) -> None:
        if not self._system.lazy:
            return
        row = self._database.execute(
            f"SELECT born FROM unlisted WHERE path=? AND {IN_EPOCH}", (node.path, self.epoch, self.epoch)
        ).fetchone()
        if row is not None:
            raise Unlisted(node.path, row[0])

    def page(self, node: Node, after: str, count: int) -> list[tuple[str, Node, bytes | None]]:
        """At most ``count`` names, which sort after ``after`` by their bytes, and the files that they lead to.

        With each comes what entries it has in venti as it is, or None. Raises ``Unlisted``.
        """
        self.check()
        if not after:
            self._check_listed(node)
        epoch, database = self.epoch, self._database
        names = database.rows(
            NAME,
            f"WHERE parent=? AND name>? AND {IN_EPOCH} ORDER BY name LIMIT ?",
            (node.path, after, epoch, epoch, count),
        )
        found = []
        for row in names:
            child = self._read(row[3])
            found.append((row[1], child, lookup.archived(database, child.path, child.changed)))
        return found

    def child(self, node: Node, name: str) -> Node | None:
        """The node called ``name`` in a directory. Raises ``Unlisted``, ``SnapshotDeleted``."""
        if node.children is None and not self._system.lazy:
            self.check()
            where = f"WHERE parent=? AND name=? AND {IN_EPOCH}"
            row = self._database.row(NAME, where, (node.path, name, self.epoch, self.epoch))
            if row is not None and row[:2] == (node.path, name):
                return self.node(row[3])
        # That a name is not there is only said where none has been lost.
        found = self.children(node).get(name)
        return None if found is None else self.node(found[0])

    def extents(self, node: Node) -> list[Extent]:
        """The extents of a file, sorted."""
        if node.extents is None or node.looked != self._content.moved:
            rows = self._database.rows(
                EXTENT, f"WHERE path=? AND {IN_EPOCH} ORDER BY start", (node.path, self.epoch, self.epoch)
            )
            node.extents = contained.extents(node, rows)
            node.looked = self._content.moved
        return node.extents

    def changes(self, node: Node, since: int) -> list[tuple[int, int]]:
        """(start, length) of the ranges of a file that may differ from what it was at the end of epoch ``since``.

        That epoch must be one that an archive shows. A change of the length alone is not among them.
        """
        return self._database.execute(
            "SELECT start, length FROM extent WHERE path=? AND ((born>? AND born<=?) OR (died>? AND died<=?))",
            (node.path, since, self.epoch, since, self.epoch),
        ).fetchall()

    def read(self, node: Node, offset: int, count: int) -> Maybe[Buffer]:
        """At most ``count`` bytes from ``offset``. Raises ``SnapshotDeleted``, ``DamagedData``, ``ArchiveAway``."""
        self.check()
        return self._content.read(self.extents(node), node.length, offset, count)
