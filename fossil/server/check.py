"""Looks for damage in a file system that is being served: what its rows say of each other, its data, its archives.

Clients are served all the while: a page of rows at a time, and data is read in threads. What is damaged here and safe
in venti can be repaired: the rows then refer to the archive, and reading fetches the bytes from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import trio

from fossil.archive.handover import Row, hand_over, rows_of
from fossil.console.report import Verdict
from fossil.data.datalog import BLOCK
from fossil.errors import ArchiveAway, DamagedData, NoSnapshot
from fossil.live.filesystem import ROOT
from fossil.live.hardlinks import places
from fossil.metadata import lookup
from fossil.metadata.node import Node
from fossil.metadata.schema import DamagedDatabase, faults
from fossil.metadata.tables import ALIVE, EXTENT, NAME, NODE
from fossil.server.rowcheck import ORDER, RowCheck
from fossil.server.service import Fossil
from ninep.tasks.nursery import open_nursery
from venti.blocks.errors import VentiError
from venti.vac import label
from venti.vac.check import ArchiveFault, Checker

PAGE = 200
"""Rows that are looked at in one step."""
MOST_FAULTS = 20
"""Things wrong with the pages of the database that are told."""
AT_ONCE = 8
"""Pieces that are read at the same time."""


class Finding(NamedTuple):
    """Something that is not as it should be.

    Attributes:
        where: the path of the file that is concerned, or what else is.
        what: what is wrong.
        repaired: whether it is not wrong any more.
    """

    where: str
    what: str
    repaired: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}{' (repaired)' if self.repaired else ''}"


@dataclass
class Checked:
    """What has been looked at so far.

    Attributes:
        names, files, extents: rows.
        pieces: of the data log; ``size`` bytes of them.
        blocks: of archives in venti.
        unused: bytes of the log that nothing refers to and that had not been given back.
        damaged: findings that are still wrong.
        away: whether there are archives that should have been looked at and could not be.
    """

    names: int = 0
    files: int = 0
    extents: int = 0
    pieces: int = 0
    size: int = 0
    blocks: int = 0
    unused: int = 0
    damaged: int = 0
    away: bool = False

    @property
    def verdict(self) -> Verdict:
        """What that comes to."""
        if self.damaged:
            return Verdict.DAMAGED
        return Verdict.AWAY if self.away else Verdict.OK

    def __str__(self) -> str:
        archives = f", {self.blocks} blocks in venti" if self.blocks else ""
        unused = f"; {self.unused} bytes were not in use" if self.unused else ""
        found = "no damage" if not self.damaged else f"{self.damaged} things are damaged"
        return (
            f"{self.files} files, {self.names} names, {self.extents} extents, "
            f"{self.pieces} pieces of {self.size} bytes{archives}: {found}{unused}"
        )


class Check:
    """One check of one file system.

    Attributes:
        checked: how far it has come.
    """

    def __init__(
        self, fossil: Fossil, report: Callable[[Finding], None], *, repair: bool = False, archives: bool = False
    ) -> None:
        """``report`` gets each finding. ``archives``: whether the newest archive and all in it are read through."""
        self._fossil = fossil
        self._system = fossil.system
        self._report = report
        self._repair = repair
        self._archives = archives
        self.checked = Checked()
        self._rows = RowCheck(self._system, self._told, self._path, repair=repair)

    async def run(self) -> Checked:
        """Looks at everything.

        Raises:
            ArchiveAway: the archives could not be looked at; everything else was.
            FileSystemFull, WritesStopped: nothing can be changed, not even to see everything that was.
        """
        self._system.commit()
        for line in await trio.to_thread.run_sync(faults, self._fossil.folder / "metadata", MOST_FAULTS):
            self._found("the database", line)
        self._rows.snapshots()
        looks: list[Callable[[], Iterator[None]]] = [partial(self._rows.sums, table) for table in ORDER]
        for rows in (*looks, self._nodes, self._names, self._contents, self._extents):
            try:
                for _ in rows():
                    await trio.lowlevel.checkpoint()
            except DamagedDatabase as error:
                self._found("the database", str(error))
        try:
            await self._pieces()
        except DamagedDatabase as error:
            self._found("the database", str(error))
        if self._archives:
            self.checked.away = True
            await self._venti()
            self.checked.away = False
        if not self.checked.damaged:
            self._system.content.damage = ""
        return self.checked

    def _found(self, where: str, what: str, *, repaired: bool = False) -> None:
        self.checked.damaged += not repaired
        where, what = (text.encode("utf-8", "backslashreplace").decode() for text in (where, what))
        self._report(Finding(where, what, repaired))

    def _told(self, where: str, what: str, repaired: bool) -> None:
        self._found(where, what, repaired=repaired)

    # What rows say of each other

    def _seen(self, born: int, died: int) -> bool:
        """Whether anybody can see what is there in these epochs; rows that nobody sees may go one by one."""
        if born >= died:
            return False
        return died == ALIVE or self._fossil.history.shows(born, died)

    def _names(self) -> Iterator[None]:
        """Every name leads to a file, as long as it is there."""
        for rows in self._rows.pages(NAME):
            for row in rows:
                if not NAME.verified(row):
                    continue
                parent, name, born, child, died, _ = row
                lives = []
                for file in lookup.nodes_in_span(self._system.database, child, born, died):
                    if NODE.verified(file):
                        node = Node.loaded(file)
                        if (parent, name) in places(node):
                            lives.append((node.born, file[-2]))
                ends = [born, *(last for _, last in lives)]
                starts = [*(first for first, _ in lives), died]
                if any(self._seen(end, start) for end, start in zip(ends, starts, strict=True)):
                    self._found(self._path(parent, died), f"the name {name!r} leads to nothing")
                self.checked.names += 1
            yield

    def _nodes(self) -> Iterator[None]:
        """Every file has a name in a directory."""
        database = self._system.database
        for rows in self._rows.pages(NODE):
            for row in rows:
                died = row[-2]
                self.checked.files += died == ALIVE
                if not NODE.verified(row) or not self._seen(row[1], died):
                    continue
                node = Node.loaded(row)
                if node.path != ROOT:
                    for parent, name in places(node):
                        if not lookup.has_name(database, parent, name, node.path, node.born, died):
                            done = self._rows.named(node, parent, name, died)
                            self._found(self._path(node.path, died), "is in no directory", repaired=done)
            yield

    def _contents(self) -> Iterator[None]:
        """Every file has what its row counts."""
        for rows in self._rows.pages(NODE):
            for row in rows:
                if NODE.verified(row) and self._seen(row[1], row[-2]):
                    self._rows.holds(Node.loaded(row), row[-2])
            yield

    def _extents(self) -> Iterator[None]:
        """Extents belong to files, do not overlap, and lie within their pieces and the log."""
        database = self._system.database
        earlier: list[tuple[int, int, int, int]] = []
        for rows in self._rows.pages(EXTENT):
            for row in rows:
                self.checked.extents += 1
                if not EXTENT.verified(row):
                    continue
                path, start, born, length, place, skip, stored, _, died, _ = row
                earlier = [each for each in earlier if each[0] == path and each[1] > start]
                if any(each[2] < died and each[3] > born for each in earlier):
                    self._found(self._path(path, died), f"two extents have the byte at {start}")
                earlier.append((path, start + length, born, died))
                if (
                    length <= 0
                    or start < 0
                    or (place >= 0 and (skip + length > stored or place + stored > self._system.log.tail))
                ):
                    self._found(self._path(path, died), f"the extent at {start} cannot be")
                if not lookup.has_node(database, path, born, died) and self._seen(born, died):
                    self._found(f"file {path:x}", f"has bytes at {start} and does not exist")
            yield

    # Data

    async def _pieces(self) -> None:
        """Every piece is what was written; between them nothing takes room."""
        self._system.commit()
        end = self._system.log.tail
        at, done = -1, 0
        while rows := lookup.pieces(self._system.database, at, end, PAGE):
            at = rows[-1][0]
            # Rows that are damaged are told already.
            rows = [row for row in rows if (type(row[1]), type(row[2])) == (int, bytes)]
            await self._verify(rows)
            for place, stored, _, _ in rows:
                if place < done:
                    self._found(f"the data log at {place}", "two pieces overlap")
                self._unused(done, min(place, end))
                done = max(done, place + stored)
        self._unused(done, end)

    async def _verify(self, rows: list[lookup.Row]) -> None:
        waiting = iter(rows)

        async def work() -> None:
            for place, stored, digest, fetched in waiting:
                self._system.log.hold([place])
                try:
                    await trio.to_thread.run_sync(self._system.log.verify, place, stored, digest)
                except DamagedData as error:
                    await self._damaged(place, stored, bool(fetched), error)
                finally:
                    self._system.log.release([place])
                self.checked.pieces += 1
                self.checked.size += stored

        async with open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(work)

    async def _damaged(self, place: int, stored: int, fetched: bool, error: DamagedData) -> None:
        system = self._system
        system.commit()
        if fetched:
            if not lookup.is_fetched(system.database, place):
                return
            if self._repair:
                with system.transaction() as database:
                    lookup.forget_fetched(database, place)
                system.freed.add([(place, stored)])
            self._found("a copy of what is in venti", str(error), repaired=self._repair)
            return
        rows = rows_of(system, place)
        if self._repair:
            safe = [row for row in rows if await self._in_venti(row)]
            if safe:
                with system.transaction():
                    hand_over(system, place, safe)
                system.freed.add([(place, stored)])
        else:
            safe = []
        for row in rows:
            died = lookup.death_of_extent(system.database, row.path, row.start, row.born)
            if died is None:
                continue
            there = "" if row in safe or row.entry is not None else ", and it is in no archive"
            self._found(
                self._path(row.path, died),
                f"bytes {row.start} to {row.start + row.length - 1} are damaged: {error}{there}",
                repaired=row in safe,
            )

    async def _in_venti(self, row: Row) -> bool:
        if row.entry is None:
            return False
        try:
            return await self._fossil.away.has(row.entry, row.start, row.length)
        except ArchiveAway:
            return False

    def _unused(self, start: int, end: int) -> None:
        """Nothing refers to these bytes of the log. Blocks of the disk that are in use in part stay as they are."""
        start, end = -(-start // BLOCK) * BLOCK, end // BLOCK * BLOCK
        log = self._system.log
        if end <= start or not log.file.has_data(start, end):
            return
        for place, stored in self._system.waiting_to_be_freed():
            if place < end and place + stored > start:
                return
        self.checked.unused += end - start
        if self._repair and not self.checked.damaged:
            # Where rows are damaged nobody knows what they referred to.
            log.file.punch(start, end - start)

    # Archives

    async def _venti(self) -> None:
        try:
            score = self._fossil.history.last().score
        except NoSnapshot:
            return

        def fault(found: ArchiveFault) -> None:
            self._found(f"archive {score} /{found.path}", f"{found.problem} {found.detail}".strip())

        async with self._fossil.vault.use() as store:
            checker = Checker(store, fault)
            try:
                await checker.run(label.parse(score or ""))
            except VentiError as error:
                self._found(f"archive {score}", str(error))
            self.checked.blocks = checker.blocks

    def _path(self, path: int, died: int) -> str:
        """The path of a file in the live tree, or in a snapshot that shows it."""
        epoch = self._system.epoch if died == ALIVE else died - 1
        names: list[str] = []
        while path != ROOT and len(names) < 10_000:
            row = lookup.first_place(self._system.database, path, epoch)
            if row is None or (type(row[0]), type(row[1])) != (int, str):
                names.append(f"(file {path:x})")
                break
            path = row[0]
            names.append(row[1])
        if died == ALIVE:
            names.append("active")
        else:
            found = self._fossil.history.of_epoch(epoch)
            names += [found[1], found[0]] if found else [f"epoch {epoch}"]
        return "/" + "/".join(reversed(names))
