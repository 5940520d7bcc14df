"""Nodes in memory: all that somebody uses, and the last ones that somebody did. Pure."""

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
        self._all: WeakValueDictionary[int, Node] = WeakValueDictionary()
        self._kept: OrderedDict[int, Node] = OrderedDict()
        self.get = self._all.get

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._all.values()))

    def add(self, node: Node) -> None:
        """Takes one in, and lets go the one that came first where there are very many."""
        self._all[node.path] = self._kept[node.path] = node
        if len(self._kept) > CACHED:
            self._kept.popitem(last=False)

    def let_go(self, node: Node) -> None:
        """Only whoever uses it keeps it from now on: its path is never asked for again."""
        self._kept.pop(node.path, None)
