"""A cache of nodes in memory: all that are in use, and the most recently used others. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from weakref import WeakValueDictionary

from fossil.metadata.node import Node

CACHED = 100_000
"""Nodes kept in memory although nobody uses them."""


class LoadedNodes:
    """By their paths. One of which somebody has a fid is here once only."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Node] = OrderedDict()
        # Of those that are kept no weak reference is needed, and to make one takes ten times as long as to keep one.
        self._let_go: WeakValueDictionary[int, Node] = WeakValueDictionary()

    def __iter__(self) -> Iterator[Node]:
        return iter([*self._kept.values(), *self._let_go.values()])

    def get(self, path: int) -> Node | None:
        """The node of a path, if it is in memory."""
        return self._kept.get(path) or self._let_go.get(path)

    def add(self, node: Node) -> None:
        """Takes one in, and lets go the one that came first where there are very many."""
        kept = self._kept
        kept[node.path] = node
        if len(kept) > CACHED:
            path, first = kept.popitem(last=False)
            self._let_go[path] = first

    def let_go(self, node: Node) -> None:
        """Only whoever uses it keeps it from now on: its path is never asked for again."""
        if self._kept.pop(node.path, None) is not None:
            self._let_go[node.path] = node
