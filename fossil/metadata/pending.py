"""Changes of the live tree that are in memory and not yet in the database. Pure."""

from __future__ import annotations

from fossil.data.extents import Extent
from fossil.metadata.node import Node
from fossil.metadata.rows import Rows


class Pending:
    """What the next group writes: all of one epoch.

    Attributes:
        nodes: files that changed, by path; what else changed belongs to one of them.
        names: names that are new in this epoch, by directory and name; None where one is gone again.
        names_closed: (epoch, directory, name, born) of older names that are gone.
        extents: extents that are new in this epoch, by path and start; None where one is gone again.
        extents_closed: (epoch, path, start, born) of older extents that are gone.
    """

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}
        self.names: dict[tuple[int, str], int | None] = {}
        self.names_closed: list[tuple[int, int, str, int]] = []
        self.extents: dict[tuple[int, int], Extent | None] = {}
        self.extents_closed: list[tuple[int, int, int, int]] = []

    def __len__(self) -> int:
        """About how many rows it is."""
        return len(self.nodes) + len(self.names) + len(self.extents) + len(self.extents_closed)

    def add(self, later: Pending) -> None:
        """Takes what came after this."""
        self.nodes.update(later.nodes)
        self.names.update(later.names)
        self.names_closed += later.names_closed
        self.extents.update(later.extents)
        self.extents_closed += later.extents_closed

    def clear(self) -> None:
        """Forgets all of it."""
        self.nodes.clear()
        self.names.clear()
        self.names_closed.clear()
        self.extents.clear()
        self.extents_closed.clear()

    def rows(self, epoch: int) -> Rows:
        """The rows of it, as of now."""
        nodes = []
        closed: list[tuple[int, int, int]] = []
        deleted: list[tuple[int, int]] = []
        for path, node in self.nodes.items():
            if node.born != epoch:
                closed.append((epoch, path, node.born))
            if node.removed:
                # Of this epoch there may be one as well that is still on its way into the database.
                deleted.append((path, epoch))
            else:
                nodes.append(node.row(epoch))
        names, names_deleted = [], []
        for (parent, name), child in self.names.items():
            if child is None:
                names_deleted.append((parent, name, epoch))
            else:
                names.append((parent, name, epoch, child))
        extents, extents_deleted = [], []
        for (path, start), extent in self.extents.items():
            if extent is None:
                extents_deleted.append((path, start, epoch))
            else:
                _, length, place, skip, stored, digest, _ = extent
                extents.append((path, start, epoch, length, place, skip, stored, digest))
        return Rows(
            closed,
            deleted,
            nodes,
            self.names_closed,
            names_deleted,
            names,
            self.extents_closed,
            extents_deleted,
            extents,
        )
