"""Access times that have changed and are not yet in the database. Pure."""

from __future__ import annotations

from fossil.metadata.node import Node
from fossil.metadata.pending import Pending
from ninep.protocol.stat import SECOND

DAY = 86400 * SECOND


class Accesses:
    """They are no change of a file, and written with the next ones: a reader does not wait for the disk."""

    def __init__(self, pending: Pending) -> None:
        """``pending`` is what the next commit writes."""
        self._pending = pending
        self._changed: dict[int, Node] = {}

    def note(self, node: Node, now: int) -> None:
        """A file is being read, at a time in nanoseconds.

        Its access time changes if it has been written since, or after a day.
        """
        if now != node.atime and (node.atime <= node.mtime or now - node.atime >= DAY):
            node.atime = now
            node.entry = None
            self._changed[node.path] = node

    def store(self, most: int) -> bool:
        """Puts at most so many new access times into the next commit; whether there were any."""
        taken = [self._changed.popitem()[1] for _ in range(min(most, len(self._changed)))]
        self._pending.nodes.update((node.path, node) for node in taken if not node.removed)
        return bool(taken)
