"""The 9P operations that files of the live tree and of snapshots share: walking, reading, permissions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import islice
from types import CoroutineType
from typing import Any, TypeVar, cast

from fossil.errors import ArchiveAway, DamagedData, FossilError, Unlisted
from fossil.files.standpoint import Standpoint
from fossil.live.filesystem import FileSystem
from fossil.live.hardlinks import Place, place_of, seen_as
from fossil.metadata.node import Node
from fossil.past.past import Past
from ninep.protocol import stat as st
from ninep.protocol.errors import FileError, FileNotFound, FileRemoved, InputOutput, NotDirectory, PermissionDenied
from ninep.protocol.permissions import EXECUTE
from ninep.protocol.qid import QTDIR, Qid
from ninep.protocol.stat import Stat
from ninep.server.files import File
from ninep.wire.dialect import Buffer, Maybe
from ninep.wire.maybe import then

T = TypeVar("T")

log = logging.getLogger(__name__)

LONGEST_ERROR = 127
"""Bytes of an error string that Plan 9 keeps; of a long name the end is told."""
BATCH = 128
"""Directory entries listed at once."""


class StoredFile(File):
    """What live and past files have in common: looking, and who may."""

    _via: Place | None = None
    _listing: Iterator[tuple[str, tuple[int, int]]] = iter(())

    def __init__(self, tree: Standpoint, view: FileSystem | Past, node: Node, user: str) -> None:
        self._tree = tree
        self._view = view
        self._node = node
        self._user = user

    @property
    def qid(self) -> Qid:
        """Current qid."""
        return self._node.qid

    @property
    def is_directory(self) -> bool:
        """Whether it is one."""
        return bool(self._node.qid.type & QTDIR)

    def _beside(self, node: Node) -> File:
        """A view of another node of the same tree."""
        raise NotImplementedError

    def _out(self) -> File:
        """What ``..`` is at the root of this tree."""
        raise NotImplementedError

    def _shows(self, node: Node) -> bool:
        """Whether a file of the tree can be seen at all."""
        return True

    def _may(self, node: Node, rights: int) -> None:
        tree, user = self._tree, self._user
        if not tree.rules.permissions:
            return
        mode, users = node.mode, tree.system.users
        if users.is_owner(user, node.uid) and not rights & ~(mode >> 6):
            return
        if users.is_member(user, node.gid) and not rights & ~(mode >> 3):
            return
        if rights & ~mode & 7 or (users.is_member(user, "noworld") and (rights != EXECUTE or not mode & st.DMDIR)):
            raise PermissionDenied

    def clone(self) -> File:
        """A second view."""
        return self._under(self._node, self._via)

    def _under(self, node: Node, place: Place | None) -> File:
        """A view of another node, and by which of its names that is."""
        made = self._beside(node)
        assert isinstance(made, StoredFile)
        made._via = place
        return made

    @property
    def _place(self) -> Place:
        """The name of the file by which this view came to it."""
        return place_of(self._node, self._via)

    def step(self, name: str) -> Maybe[File]:
        """A child, or the parent."""
        node = self._node
        if not node.mode & st.DMDIR:
            raise NotDirectory
        if name == "..":
            return self._out() if node.path == self._view.top else self._beside(self._view.node(node.parent))
        self._may(node, EXECUTE)
        if node.removed:
            raise FileRemoved
        try:
            child = self._view.child(node, name)
        except Unlisted as unlisted:
            return cast("Coroutine[Any, Any, File]", self._once_listed(unlisted, lambda: self.step(name)))
        except DamagedData as error:
            raise self._damaged(error) from error
        if child is None or not self._shows(child):
            raise FileNotFound
        return self._under(child, (node.path, name)) if child.links else self._beside(child)

    async def _once_listed(self, unlisted: Unlisted, again: Callable[[], Maybe[T]]) -> T:
        """Fetches the names of a directory from venti, and does what needed them once more."""
        try:
            await self._tree.system.fetch_names(unlisted)
        except FossilError as error:
            raise self._damaged(error) from error
        result = again()
        return await result if type(result) is CoroutineType else cast("T", result)

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        """Bytes of the file; what is damaged is an error."""
        try:
            data = self._view.read(self._node, offset, count)
        except (DamagedData, ArchiveAway) as error:
            raise self._damaged(error, offset) from error
        return self._read(data, offset) if type(data) is CoroutineType else data

    async def _read(self, work: Coroutine[Any, Any, Buffer], offset: int) -> Buffer:
        try:
            return await work
        except (DamagedData, ArchiveAway) as error:
            raise self._damaged(error, offset) from error

    def _damaged(self, error: FossilError, offset: int | None = None) -> FileError:
        """Says in the log what is wrong and where; the client is told the file and the bytes of it."""
        name, what = self._whole_name(), ""
        if isinstance(error, DamagedData):
            what = "is damaged"
            if offset is not None:
                what += f" at offset {offset}"
                extents = self._view.extents(self._node) if error.place is not None else ()
                for extent in extents:
                    if extent.place == error.place:
                        what = f"is damaged in bytes {extent.start} to {extent.end - 1}"
        elif isinstance(error, ArchiveAway):
            what = "is in venti, which does not answer"
        if isinstance(error, DamagedData):
            self._tree.system.content.damage = f"{name} {what}"
        level = logging.WARNING if isinstance(error, ArchiveAway) else logging.ERROR
        log.log(level, "%s %s: %s", name, what, error)
        text = f"{InputOutput.text}: {name} {what}"
        over = len(text.encode()) - LONGEST_ERROR
        if over > 0:
            tail = name.encode()[over + 3 :].decode("utf-8", "ignore")
            text = f"{InputOutput.text}: ...{tail} {what}"
        return InputOutput(text)

    def _whole_name(self) -> str:
        """The names from the root of the tree to this file."""
        names: list[str] = []
        node = self._node
        try:
            while node.path != self._view.top:
                names.append(node.name)
                node = self._view.node(node.parent)
        except DamagedData:
            names.append("...")
        return "/" + "/".join(reversed(names))

    def list(self, rewind: bool) -> Maybe[Sequence[Stat]]:
        """The next entries."""
        names = self._tree.system.users.names
        return then(self._next(rewind), lambda nodes: [node.stat(names) for node in nodes])

    def entries(self, rewind: bool) -> Maybe[Sequence[bytes]]:
        """The same, packed; most were packed before."""
        names = self._tree.system.users.names
        return then(self._next(rewind), lambda nodes: [node.packed(names) for node in nodes])

    def _next(self, rewind: bool) -> Maybe[Sequence[Node]]:
        """The next files of a directory: of the names that were there at the rewind, those that still are."""
        view, node = self._view, self._node
        look, shows = view.node, self._shows
        if rewind:
            try:
                self._listing = iter(list(view.children(node).items()))
            except Unlisted as unlisted:
                return self._once_listed(unlisted, lambda: self._next(rewind))
            except DamagedData as error:
                raise self._damaged(error) from error
        while batch := list(islice(self._listing, BATCH)):
            found = []
            for name, (path, _) in batch:
                try:
                    entry = look(path)
                except DamagedData as error:
                    if view.children(node).get(name, (0, 0))[0] == path:
                        raise self._damaged(error) from error
                    # It was removed since the rewind.
                    continue
                if not entry.removed and shows(entry):
                    found.append(seen_as(entry, name) if entry.links else entry)
            if found:
                return found
        return ()

    def stat(self) -> Maybe[Stat]:
        """The entry."""
        return self._node.stat(self._tree.system.users.names)
