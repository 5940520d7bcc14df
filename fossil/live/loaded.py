"""A cache of nodes in memory: all that are in use, and the most recently used others. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from weakref import ref

from fossil.metadata.node import Node

CACHED = 100_000
"""Nodes kept in memory although nobody uses them."""
LET_GO = 1024
"""References to what was let go that there are before those to what is gone are looked for."""


class LoadedNodes:
    """By their paths. One of which somebody has a fid is here once only."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Node] = OrderedDict()
        # Of those that are kept no weak reference is needed. One that tells when its node is gone, as those of
        # WeakValueDictionary do, takes ten times as long to make as one that is looked at now and then.
        self._let_go: dict[int, ref[Node]] = {}
        self._most = 0

    def __iter__(self) -> Iterator[Node]:
        left = [node for reference in self._let_go.values() if (node := reference()) is not None]
        return iter([*self._kept.values(), *left])

    def get(self, path: int) -> Node | None:
        """The node of a path, if it is in memory."""
        node = self._kept.get(path)
        if node is None and (reference := self._let_go.get(path)) is not None:
            return reference()
        return node

    def add(self, node: Node) -> None:
        """Takes one in, and lets go the one that came first where there are very many."""
        kept = self._kept
        kept[node.path] = node
        if len(kept) > CACHED:
            self._only_used(kept.popitem(last=False)[1])

    def let_go(self, node: Node) -> None:
        """Only whoever uses it keeps it from now on: its path is never asked for again."""
        if self._kept.pop(node.path, None) is not None:
            self._only_used(node)

    def _only_used(self, node: Node) -> None:
        left = self._let_go
        left[node.path] = ref(node)
        if len(left) > self._most:
            self._let_go = {path: reference for path, reference in left.items() if reference() is not None}
            self._most = 2 * len(self._let_go) + LET_GO
