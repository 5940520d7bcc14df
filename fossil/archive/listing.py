"""Fetches the names of a directory that came with an archive when somebody first looks into it.

What is fetched becomes ordinary rows, born in the epoch of the directory, so that the live tree and every snapshot
that shows the directory see the same. Until all of a directory is there nothing of it is.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import trio

from fossil.archive.away import LOST, Away
from fossil.archive.vacmode import from_vac
from fossil.errors import DamagedData, Unlisted
from fossil.live.filesystem import FileSystem
from fossil.metadata import lookup
from fossil.metadata.node import Node
from fossil.metadata.settings import NEXT_PATH, SAME_PATHS
from fossil.metadata.tables import ALIVE, ARCHIVED, EXTENT, NAME, NODE, SOURCE, UNLISTED
from fossil.past.qidspace import TREES
from ninep.protocol.stat import NO32, SECOND
from venti.blocks.errors import VentiError
from venti.trees.entry import Entry
from venti.vac import mode
from venti.vac.direntry import DirEntry
from venti.vac.reader import VacFile

log = logging.getLogger(__name__)

PIECE = 100
"""Names that are put into the database at once; clients are served in between."""
JUMP = 1 << 20
"""What is added to the versions of files that come from an archive.

Files that were changed after the archive was made had versions above those in it, and somebody may remember what they
had in them.
"""
ABOVE = max(TREES.values()) + 1
"""The original gives files paths from here on."""


class _Where(NamedTuple):
    """The directory under work: its path, the epochs in which it is seen, and whether files keep their paths."""

    path: int
    born: int
    died: int
    same_paths: bool


class Lister:
    """Fetches the names of directories."""

    def __init__(self, system: FileSystem, away: Away) -> None:
        self._system = system
        self._away = away
        self._under_way: dict[tuple[int, int], trio.Event] = {}

    async def fetch(self, unlisted: Unlisted) -> None:
        """Fetches the names of a directory, once however many ask; what raised ``Unlisted`` can then be done again.

        Raises:
            DamagedData: venti does not have them as they were.
            ArchiveAway: venti does not answer.
            FileSystemFull, WritesStopped: they cannot be kept.
        """
        key = (unlisted.path, unlisted.born)
        while key in self._under_way:
            await self._under_way[key].wait()
        row = self._system.database.row(UNLISTED, "WHERE path=? AND born=?", key)
        if row is None:
            await trio.lowlevel.checkpoint()
            return
        self._under_way[key] = trio.Event()
        try:
            _, _, entries, died, _ = row
            await self._fetch(_Where(*key, died, bool(self._system.settings.get(SAME_PATHS, 1))), entries)
        finally:
            self._under_way.pop(key).set()

    async def _fetch(self, where: _Where, entries: bytes) -> None:
        info = DirEntry("", mode.DIRECTORY | 0o555)
        directory = VacFile(self._away.store, info, "", 0, Entry.unpack(entries, 0), Entry.unpack(entries, 40))
        listing = directory.listing()
        count = 0
        try:
            while files := await listing.next():
                rest = iter(files)
                while piece := list(islice(rest, PIECE)):
                    count += self._store(where, piece)
                    await trio.lowlevel.checkpoint()
        except VentiError as error:
            raise DamagedData(f"directory {where.path:x} cannot be fetched from venti: {error}") from error
        with self._system.transaction() as database:
            database.execute("DELETE FROM unlisted WHERE path=? AND born=?", (where.path, where.born))
            self._count(where, count)

    def _count(self, where: _Where, count: int) -> None:
        """Lets the rows of the directory tell how many names it has."""
        database = self._system.database
        rows = database.sound_rows(NODE, "WHERE path=? AND born>=? AND died<=?", (where.path, where.born, where.died))
        for row in rows:
            node = Node.loaded(row)
            node.holds = count
            database.put(NODE, node.row(node.born), row[-2])
        live = self._system.loaded(where.path)
        if live is not None and where.died == ALIVE:
            live.holds = count

    def _store(self, where: _Where, files: Sequence[VacFile]) -> int:
        """Puts files into the database; how many names the directory has of them."""
        system, count = self._system, 0
        with system.transaction() as database:
            for file in files:
                name = _name(file.info.name)
                if not name:
                    log.warning("a file called %r cannot be shown and is left out", file.info.name)
                    continue
                path = self._path(where, name, file.qid)
                row = (path, where.born, where.died, where.path, name)
                database.put(NAME, (where.path, name, where.born, path), where.died)
                self._store_file(file, row)
                count += 1
            system.settings.set(NEXT_PATH, system.next_path)
        system.ledger.tell_next_path()
        return count

    def _path(self, where: _Where, name: str, qid: int) -> int:
        """Its own where that is free and no new file can get it; one that was begun with, where fetching was
        interrupted; else a new one.
        """
        begun = self._system.database.execute(
            "SELECT child FROM name WHERE parent=? AND name=? AND born=?", (where.path, name, where.born)
        ).fetchone()
        if begun is not None:
            return int(begun[0])
        own = where.same_paths and ABOVE <= qid < self._system.next_path
        if own and not lookup.has_node(self._system.database, qid, where.born, where.died):
            return qid
        return self._system.take_path()

    def _store_file(self, file: VacFile, row: tuple[int, int, int, int, str]) -> None:
        put = self._system.database.put
        path, born, died, parent, name = row
        info, length = file.info, 0
        kept = b""
        try:
            kept = file.entry.pack()
            if info.directory:
                kept += file.meta.pack()
                put(UNLISTED, (path, born, kept), died)
            else:
                length = file.size
        except VentiError as error:
            log.warning("%s: %s", name, error)
            length = 0 if info.directory else 1
        if kept:
            put(ARCHIVED, (path, born, kept))
        put(NODE, columns(info, path, born, parent, name, length), died)
        if length:
            source = source_of(self._system, kept) if kept else LOST
            put(EXTENT, (path, 0, born, length, -source, 0, length, b""), died)


def source_of(system: FileSystem, entry: bytes) -> int:
    """The number of the source with this entry; call it within a transaction."""
    database = system.database
    found = database.sound(SOURCE, "WHERE entry=?", (entry,))
    if found is not None:
        return int(found[0])
    (last,) = database.execute("SELECT coalesce(max(id), 0) FROM source").fetchone()
    database.put(SOURCE, (last + 1, entry))
    return int(last) + 1


def columns(info: DirEntry, path: int, born: int, parent: int, name: str, length: int) -> tuple[int | str | None, ...]:
    """The row of ``node`` for an entry of an archive."""
    version = (info.mcount + JUMP) & NO32
    uid, gid, muid = (_name(text) or "none" for text in (info.uid, info.gid, info.mid))
    return (
        path,
        born,
        parent,
        name,
        version,
        from_vac(info.mode),
        info.atime * SECOND,
        info.mtime * SECOND,
        info.mtime * SECOND,
        length,
        -1 if info.directory else length,
        uid,
        gid,
        muid,
        born,
        None,
    )


def _name(name: str) -> str:
    """The name as it can be shown, with bytes that are not UTF-8 written in hexadecimal. Nothing, if it cannot be."""
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if shown in (".", "..") or "/" in shown or any(letter < " " or letter == "\x7f" for letter in shown):
        return ""
    return shown
