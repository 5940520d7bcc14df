"""Walks in the tree at several moments, which people name by date, snapshot or epoch."""

from __future__ import annotations

from collections.abc import Sequence
from types import CoroutineType
from typing import NamedTuple, TypeAlias, cast

from fossil.errors import NoSnapshot, Unlisted
from fossil.live.filesystem import ROOT, FileSystem
from fossil.metadata.node import Node
from fossil.past.history import ARCHIVE, SNAPSHOT, History, Snapshot
from fossil.past.past import Past
from ninep.protocol.stat import DMDIR, DMTMP
from ninep.wire.dialect import Buffer, Maybe

View: TypeAlias = FileSystem | Past
ACTIVE = "active"


class Moment(NamedTuple):
    """A tree as it is, or was.

    Attributes:
        name: its path: ``/active``, ``/snapshot/2026/1124/0900``, ``/archive/2026/1123``.
        view: the tree.
        snapshot: which one; None is the present.
    """

    name: str
    view: View
    snapshot: Snapshot | None

    def shows(self, node: Node) -> bool:
        """Whether a file of the tree is to be seen: archives have no temporary files."""
        return not (node.mode & DMTMP and self.snapshot is not None and self.snapshot.kind == ARCHIVE)


class Views:
    """The moments of one file system."""

    def __init__(self, system: FileSystem, history: History) -> None:
        self.system = system
        self.history = history

    def present(self) -> Moment:
        """The live tree."""
        return Moment(f"/{ACTIVE}", self.system, None)

    def of(self, snapshot: Snapshot) -> Moment:
        """The tree of a snapshot."""
        return Moment(f"/{snapshot.kind}/{snapshot.name}", self.history.past(snapshot.epoch), snapshot)

    def past(self) -> list[Moment]:
        """All snapshots and archives of whole trees, what is oldest in them first."""
        found = [one for kind in (SNAPSHOT, ARCHIVE) for one in self.history.all(kind) if one.top == ROOT]
        return [self.of(snapshot) for snapshot in sorted(found, key=lambda one: (one.shown, one.epoch))]

    def named(self, text: str) -> Moment:
        """What somebody calls ``active``, ``/snapshot/2026/1124/0900``, ``archive/2026/1123`` or ``2026/1123``.

        Raises:
            NoSnapshot: there is none of that name; the text says what to do.
        """
        name = text.strip("/")
        if name == ACTIVE:
            return self.present()
        kind, _, rest = name.partition("/")
        tries = [(kind, rest)] if kind in (SNAPSHOT, ARCHIVE) else [(SNAPSHOT, name), (ARCHIVE, name)]
        for kind, rest in tries:
            found = self.history.find(kind, rest)
            if found is not None:
                return self.of(found)
        raise NoSnapshot(f"there is no snapshot {text}: say 'snapshots' for a list, or 'active' for the live tree")

    async def children(self, moment: Moment, node: Node) -> dict[str, Node]:
        """What is in a directory, by name, sorted by the bytes of the names. Fetches from venti what is only there.

        Raises:
            DamagedData, ArchiveAway, SnapshotDeleted: it cannot be looked at.
        """
        while True:
            try:
                names = moment.view.children(node)
                break
            except Unlisted as unlisted:
                await self.system.fetch_names(unlisted)
        found = {name: moment.view.node(path) for name, (path, _) in names.items()}
        return {name: found[name] for name in sorted(found, key=str.encode) if moment.shows(found[name])}

    async def find(self, moment: Moment, names: Sequence[str]) -> Node | None:
        """The file of a path below the top of the tree."""
        node = moment.view.node(moment.view.top)
        for name in names:
            if not node.mode & DMDIR:
                return None
            try:
                child = moment.view.child(node, name)
            except Unlisted as unlisted:
                await self.system.fetch_names(unlisted)
                child = moment.view.child(node, name)
            if child is None or not moment.shows(child):
                return None
            node = child
        return node


async def waited(work: Maybe[Buffer]) -> Buffer:
    """What a read comes to, whether or not it has to wait."""
    return await work if isinstance(work, CoroutineType) else cast("Buffer", work)


def names_of(path: str) -> list[str]:
    """The names of a path that is below the top of a tree, whether or not it says ``/active`` first."""
    names = [name for name in path.split("/") if name]
    return names[1:] if path.startswith(f"/{ACTIVE}") and names[:1] == [ACTIVE] else names
