"""Checks every row of the database against its checksum and its counts, and restores what it can.

A row with one damaged byte is brought back from its checksum. Names are told by the files that have them, what is in
venti by what was noted of the archives, and the bytes of a file by an archive of it. Nothing is ever made up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fossil.archive.handover import archived_entry
from fossil.archive.listing import source_of
from fossil.live.filesystem import FileSystem
from fossil.metadata import lookup
from fossil.metadata.node import Node
from fossil.metadata.schema import DamagedDatabase
from fossil.metadata.tables import (
    ALIVE,
    ARCHIVED,
    EXTENT,
    FETCHED,
    NAME,
    NODE,
    SETTING,
    SNAPSHOT,
    SOURCE,
    UNLISTED,
    VENTI,
    Table,
)
from ninep.protocol.stat import DMDIR
from venti.trees.entry import Entry

ORDER = (SNAPSHOT, SETTING, ARCHIVED, UNLISTED, FETCHED, NODE, NAME, EXTENT, SOURCE, VENTI)
"""The tables in the order in which they are looked at: what others are brought back from comes first."""
PAGE = 200
"""Rows that are looked at in one step."""

Found = Callable[[str, str, bool], None]
"""Is told where something is wrong, what, and whether it is not any more."""


class RowCheck:
    """One look at the rows of one file system."""

    def __init__(self, system: FileSystem, found: Found, path: Callable[[int, int], str], *, repair: bool) -> None:
        """``path`` says the path of a file that is seen until before an epoch."""
        self._system = system
        self._database = system.database
        self._found = found
        self._path = path
        self._repair = repair

    def settle(self) -> None:
        """Lets the database have whole groups of changes; all of them where it is going to be repaired.

        Raises:
            FileSystemFull, WritesStopped
        """
        if self._repair:
            self._system.commit()
        else:
            self._system.complete()

    def pages(self, table: Table) -> Iterator[list[lookup.Row]]:
        """All rows of a table, unverified, a page at a time; the database has whole groups of changes then."""
        after: lookup.Row = ()
        while True:
            self.settle()
            rows = lookup.page(self._database, table, after, PAGE)
            if not rows:
                return
            yield rows
            after = rows[-1][: table.key]

    def sums(self, table: Table) -> Iterator[None]:
        """Every row has its checksum."""
        for rows in self.pages(table):
            for row in rows:
                if not table.verified(row):
                    self._damaged(table, row)
            yield

    def _damaged(self, table: Table, row: tuple[Any, ...]) -> None:
        better = table.mended(row) or self._derived(table, row)
        repaired = self._repair and self._repaired(table, row, better)
        self._found(self._where(table, better or row), f"a row of the table {table.name} is damaged", repaired)

    def _repaired(self, table: Table, row: tuple[Any, ...], better: tuple[Any, ...] | None) -> bool:
        if better is None and table is EXTENT:
            return self._replaced(row)
        if better is None and table not in (ARCHIVED, FETCHED, NAME, VENTI):
            return False
        try:
            with self._system.transaction() as database:
                lookup.delete(database, table, row)
                if better is not None:
                    database.execute(table.insert, better)
        except DamagedDatabase:
            return False
        self._forget(table, better or row)
        # A name that is gone is told again by the file that has it.
        return True

    def _replaced(self, row: tuple[Any, ...]) -> bool:
        """Lets the file of a damaged extent have its bytes from archives, in all epochs of the extent."""
        nodes = lookup.nodes_in_span(self._database, row[0], row[2], row[-2])
        sound = [found for found in nodes if NODE.verified(found)]
        done = [self._from_archive(Node.loaded(found), found[-2]) for found in sound]
        return bool(done) and all(done)

    def _where(self, table: Table, row: tuple[Any, ...]) -> str:
        if table in (NODE, EXTENT, NAME, UNLISTED) and isinstance(row[0], int) and isinstance(row[-2], int):
            return self._path(row[0], row[-2])
        return "the database"

    def _derived(self, table: Table, row: tuple[Any, ...]) -> tuple[object, ...] | None:
        """What a row must have been, by what other tables say."""
        database = self._database
        if table is UNLISTED:
            found = lookup.archived(database, row[0], row[1])
            return None if found is None else UNLISTED.row((*row[:2], found), row[-2])
        if table is SOURCE:
            for path, _, born, *_, died, _ in lookup.extents_of_piece(database, -row[0]):
                entry = archived_entry(self._system, path, born, died)
                if entry is not None:
                    return SOURCE.row((row[0], entry))
        return None

    def _forget(self, table: Table, row: tuple[Any, ...]) -> None:
        """Lets what is in memory be read anew."""
        if table in (EXTENT, SOURCE):
            self._system.content.moved += 1
        node = self._system.loaded(row[0]) if table in (EXTENT, NAME) else None
        if node is not None:
            node.extents = node.children = None

    def snapshots(self) -> None:
        """None is lost from the table of snapshots."""
        if not self._system.settings.snapshots_whole():
            count = lookup.count(self._database, SNAPSHOT)
            self._found("the database", f"snapshots are lost: there are {count}", False)

    def holds(self, node: Node, died: int) -> None:
        """A file has the extents, and a directory the names, that its row counts."""
        if node.holds < 0:
            return
        if node.mode & DMDIR:
            count = lookup.count_names(self._database, node.path, node.born)
            if count != node.holds:
                what = f"has {count} names in the database, and had {node.holds}"
                self._found(self._path(node.path, died), what, False)
            return
        size = lookup.size_of_extents(self._database, node.path, node.born)
        if size != node.holds:
            what = f"has extents of {size} bytes in the database, and had {node.holds}"
            done = self._repair and self._from_archive(node, died)
            self._found(self._path(node.path, died), what, done)

    def _from_archive(self, node: Node, died: int) -> bool:
        """Lets a file have its bytes from an archive in the epochs of its row, if one has it as it was in them."""
        try:
            return self._put_from_archive(node, died)
        except DamagedDatabase:
            return False

    def _put_from_archive(self, node: Node, died: int) -> bool:
        system, database = self._system, self._database
        entry = lookup.archived(database, node.path, node.changed)
        if entry is None or len(entry) != 40 or Entry.unpack(entry).size != node.length:
            return False
        path, born = node.path, node.born
        with system.transaction():
            gone = lookup.extents_in_span(database, path, born, died)
            for found in gone:
                lookup.delete(database, EXTENT, found)
                if not EXTENT.verified(found):
                    continue
                start, first, rest, last = found[1], found[2], found[3:8], found[8]
                if first < born:
                    database.put(EXTENT, (path, start, first, *rest), born)
                if last > died:
                    database.put(EXTENT, (path, start, died, *rest), last)
            if node.length:
                source = source_of(system, entry)
                database.put(EXTENT, (path, 0, born, node.length, -source, 0, node.length, b""), died)
            node.holds = node.length
            database.put(NODE, node.row(born), died)
        system.freed.add((found[4], found[6]) for found in gone if EXTENT.verified(found))
        system.content.moved += 1
        live = system.loaded(path)
        if live is not None and died == ALIVE:
            live.extents, live.holds = None, node.holds
        return True

    def named(self, node: Node, parent: int, name: str, died: int) -> bool:
        """Gives a file back a name that only it tells of; whether that was done."""
        if not self._repair:
            return False
        try:
            with self._system.transaction() as database:
                database.put(NAME, (parent, name, node.born, node.path), died)
        except DamagedDatabase:
            return False
        directory = self._system.loaded(parent)
        if directory is not None:
            directory.children = None
        return True
