"""Finds the differences between two moments of a file system.

A file or directory that did not change from one to the other is not looked into, so the cost follows the change.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import trio

from fossil.data.extents import covered
from fossil.metadata.node import Node
from fossil.past.views import Moment, Views, waited
from ninep.protocol.stat import DMDIR

ADDED = "+"
REMOVED = "-"
CHANGED = "M"
DESCRIBED = "m"
RENAMED = "R"
TURN = 100
"""Files that are compared until everybody else has a turn."""


class Difference(NamedTuple):
    """One file that is different.

    Attributes:
        kind: ``+`` only in the second, ``-`` only in the first, ``M`` another content, ``m`` the same content with
            another mode, owner, group or time, ``R`` another name in the same directory.
        path: below the top of the tree.
        old: the name that it had, of one that was renamed; else empty.
        before: the file in the first.
        after: the file in the second.
    """

    kind: str
    path: str
    old: str
    before: Node | None
    after: Node | None


async def differences(views: Views, first: Moment, second: Moment, names: list[str]) -> AsyncIterator[Difference]:
    """Everything that is different at or below a path, in the order of the paths.

    Raises:
        DamagedData, ArchiveAway, SnapshotDeleted: a directory cannot be looked at.
    """
    comparison = _Comparison(views, first, second)
    before, after = await views.find(first, names), await views.find(second, names)
    async for one in comparison.pair("/".join(names), before, after):
        yield one


def same_content(before: Node, after: Node) -> bool:
    """Whether two nodes are the same file, and not written in between."""
    return before.path == after.path and before.version == after.version and before.length == after.length


def same_description(before: Node, after: Node) -> bool:
    """Whether mode, owner and group, and the time of a file, are the same."""
    time = bool(before.mode & DMDIR) or before.mtime == after.mtime
    return time and (before.mode, before.uid, before.gid) == (after.mode, after.uid, after.gid)


class _Comparison:
    def __init__(self, views: Views, first: Moment, second: Moment) -> None:
        self._views = views
        self._first = first
        self._second = second
        self._seen = 0

    async def pair(
        self, path: str, before: Node | None, after: Node | None, old: str = ""
    ) -> AsyncIterator[Difference]:
        """What is different between two files that may be the same one."""
        self._seen += 1
        if self._seen % TURN == 0:
            await trio.lowlevel.checkpoint()
        if before is not None and after is not None and (before.mode ^ after.mode) & DMDIR:
            async for one in self.pair(path, before, None):
                yield one
            before = None
        if old:
            yield Difference(RENAMED, path, old, before, after)
        if before is None or after is None:
            if found := after or before:
                yield Difference(ADDED if after else REMOVED, path, "", before, after)
                if not found.mode & DMDIR:
                    return
        elif before.mode & DMDIR:
            if not same_description(before, after):
                yield Difference(DESCRIBED, path, "", before, after)
            if before.path == after.path and before.changed == after.changed:
                return
        else:
            if not same_content(before, after) and not await self._same_bytes(before, after):
                yield Difference(CHANGED, path, "", before, after)
            elif not same_description(before, after):
                yield Difference(DESCRIBED, path, "", before, after)
            return
        async for one in self._inside(path, before, after):
            yield one

    async def _same_bytes(self, before: Node, after: Node) -> bool:
        """Whether two files that may have been written since have the same bytes all the same."""
        if before.length != after.length:
            return False
        first, second = self._first.view, self._second.view
        everything = [*first.extents(before), *second.extents(after)]
        for start, count in covered(everything, before.length):
            was = await waited(first.read(before, start, count))
            if was != await waited(second.read(after, start, count)):
                return False
            await trio.lowlevel.checkpoint()
        return True

    async def _inside(self, path: str, before: Node | None, after: Node | None) -> AsyncIterator[Difference]:
        old = {} if before is None else await self._views.children(self._first, before)
        new = {} if after is None else await self._views.children(self._second, after)
        gone = {node.path: name for name, node in old.items() if name not in new}
        moved = {gone[node.path]: name for name, node in new.items() if name not in old and node.path in gone}
        came = {name: was for was, name in moved.items()}
        for name in sorted({*old, *new} - set(moved), key=str.encode):
            was = came.get(name, "")
            inner = f"{path}/{name}" if path else name
            async for one in self.pair(inner, old.get(was or name), new.get(name), was):
                yield one
