"""Serves an archive over 9P, read-only, and fetches only what is looked at. Source: vacfs(4)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from blake3 import blake3

from fossil.archive.vacmode import from_vac
from fossil.errors import ArchiveAway
from ninep.net.errors import WireError
from ninep.protocol import stat as st
from ninep.protocol.errors import FileNotFound, InputOutput, NotDirectory, PermissionDenied, ReadOnly
from ninep.protocol.ids import Ids
from ninep.protocol.messages import ORCLOSE, OTRUNC
from ninep.protocol.permissions import EXECUTE, WRITE, granted, wanted
from ninep.protocol.qid import Qid
from ninep.protocol.stat import NO32, Stat
from ninep.server.files import File, FileTree
from ninep.server.host_ids import HostIds
from ninep.wire.dialect import Buffer, Maybe
from venti.blocks.errors import DamagedArchive, VentiError
from venti.blocks.score import Score
from venti.stores.interface import BlockStore
from venti.vac import mode as modes
from venti.vac.reader import Listing, VacFile, open_archive

log = logging.getLogger(__name__)

NOBODY = "none"
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_WITH_TEXT = st.DMSYMLINK | st.DMDEVICE
LONGEST_TEXT = 4095
"""Bytes of a link's target, or of what there is to say of a device."""


class VacTree(FileTree):
    """An archive. ``permissions`` false lets everybody read everything, as ``vacfs -p`` does."""

    ids: Ids

    def __init__(self, store: BlockStore, score: Score, *, permissions: bool = True) -> None:
        self._store = store
        self._score = score
        self._top: VacFile | None = None
        self.permissions = permissions
        self.ids = HostIds()

    async def top(self) -> VacFile:
        """The directory at the top.

        Raises:
            VentiError, WireError, ArchiveAway: it cannot be read.
        """
        if self._top is None:
            self._top = (await open_archive(self._store, self._score)).top
        return self._top

    def qid(self, file: VacFile) -> Qid:
        """A qid that no other file of this or another archive has.

        Those in the archive will not do: ``vac -a`` and ``vac -m`` give several files the same, and a client that keeps
        content by qid would mix them up.
        """
        what = self._score + file.path.encode("utf-8", "surrogateescape")
        return Qid(_mode(file) >> 24, file.info.mcount & NO32 or 1, int.from_bytes(blake3(what).digest(8), "little"))

    def stat(self, file: VacFile) -> Stat:
        """The entry of a file."""
        info = file.info
        try:
            length = file.size
        except DamagedArchive:
            # Whoever reads it is told.
            length = 0
        times = info.atime & NO32, info.mtime & NO32
        return Stat(0, 0, self.qid(file), _mode(file), *times, length, _name(file), info.uid, info.gid, info.mid)

    async def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        """The top, or the directory below it that the attach name leads to."""
        async with _told(str(self._score)):
            top = await self.top()
        file: File = VacView(self, (top,), uname or NOBODY)
        for name in aname.split("/"):
            if name:
                assert isinstance(file, VacView)
                file = await file.step(name)
        return file


class VacView(File):
    """A fid's view of a file in an archive; ``path`` has all directories from the top to it, and the file."""

    ids: Ids
    qid: Qid

    def __init__(self, tree: VacTree, path: tuple[VacFile, ...], user: str) -> None:
        self._tree = tree
        self._path = path
        self._file = path[-1]
        self._user = user
        self._listing: Listing | None = None
        self._mode = _mode(self._file)
        self.ids = tree.ids
        self.qid = tree.qid(self._file)

    def clone(self) -> File:
        """A second view."""
        return VacView(self._tree, self._path, self._user)

    def _may(self, rights: int) -> None:
        info, user = self._file.info, self._user
        own = user != NOBODY
        have = granted(self._mode, owner=own and user == info.uid, member=own and user == info.gid)
        if self._tree.permissions and rights & ~have:
            raise PermissionDenied

    async def step(self, name: str) -> File:
        """A child, or the parent."""
        if not self._file.info.directory:
            raise NotDirectory
        if name == "..":
            return VacView(self._tree, self._path[:-1] or self._path, self._user)
        self._may(EXECUTE)
        async with _told(self._file.path):
            found = await self._file.step(name)
            if found is None and UNKNOWN in name:
                found = next((file for file in await self._file.files() if _name(file) == name), None)
        if found is None:
            raise FileNotFound
        return VacView(self._tree, (*self._path, found), self._user)

    def open(self, mode: int) -> None:
        """Checks rights."""
        if mode & (OTRUNC | ORCLOSE) or wanted(mode) & WRITE:
            raise ReadOnly
        self._may(wanted(mode))

    def create(self, name: str, perm: int, mode: int) -> File:
        """An archive never changes."""
        raise ReadOnly

    async def read(self, offset: int, count: int) -> Buffer:
        """Bytes of the file; what is damaged is an error."""
        async with _told(f"{self._file.path} at {offset}"):
            return await self._file.read(offset, count)

    async def list(self, rewind: bool) -> Sequence[Stat]:
        """The next entries."""
        async with _told(self._file.path):
            if rewind or self._listing is None:
                self._listing = self._file.listing()
            return [await _with_text(self._tree.stat(file), file) for file in await self._listing.next()]

    def stat(self) -> Maybe[Stat]:
        """The entry, with what 9P2000.u says of links and devices: it is their content."""
        stat = self._tree.stat(self._file)
        if stat.mode & _WITH_TEXT:
            return self._with_text(stat)
        return stat if len(self._path) > 1 else stat._replace(name="/")

    async def _with_text(self, stat: Stat) -> Stat:
        async with _told(self._file.path):
            return await _with_text(stat, self._file)

    def wstat(self, changes: Stat) -> None:
        """An archive never changes, and is as safe as it can be."""
        if not changes.touches_nothing:
            raise ReadOnly

    def remove(self) -> None:
        """An archive never changes."""
        raise ReadOnly


async def _with_text(stat: Stat, file: VacFile) -> Stat:
    if not stat.mode & _WITH_TEXT:
        return stat
    try:
        text = await file.read(0, LONGEST_TEXT)
    except DamagedArchive:
        # Whoever reads it is told.
        return stat
    return stat._replace(extension=text.decode("utf-8", "replace"))


def _mode(file: VacFile) -> int:
    return from_vac(file.info.mode) | (st.DMTMP if file.info.mode & modes.TEMPORARY else 0)


def _name(file: VacFile) -> str:
    """A name as 9P can carry it; bytes that are no UTF-8 cannot be told apart any more."""
    name = file.info.name
    if name.isascii() and "/" not in name:
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("/", UNKNOWN)


@asynccontextmanager
async def _told(what: str) -> AsyncIterator[None]:
    """What goes wrong with the archive is told in full in the log, and the client gets an i/o error."""
    try:
        yield
    except (VentiError, WireError, ArchiveAway, OSError) as error:
        log.error("%s: %s", what or "/", error)
        raise InputOutput from error
