"""Writes blocks of the archives again that a venti lacks because it is another one or an older copy.

All that the file system knows to be in venti is looked for there, block by block: trees that files were evicted to,
files and directories as they were archived, directories that came with an archive and nobody has looked into, and the
tops of archives. A block that is not there comes from an earlier archive. What is nowhere is forgotten, as far as its
bytes are here, with every directory and archive above it, and the archiver then writes that again. What is nowhere and
not here either is named, and nothing is archived until it is brought back.

How far it has come is noted after every page of rows, with a mark in venti, so that it goes on after an interruption
if the venti is still the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import trio

from fossil.archive.sources import Sources
from fossil.archive.trust import Trust, new_mark, tops
from fossil.errors import FossilError
from fossil.live.filesystem import ROOT, FileSystem
from fossil.metadata.schema import open_reader
from fossil.metadata.tables import ARCHIVED, IN_SPAN, SNAPSHOT, SOURCE, UNLISTED
from fossil.past.history import ARCHIVE, History
from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, DamagedArchive, DamagedBlock, ReadTooSmall, VentiError
from venti.blocks.score import Score
from venti.protocol.messages import LARGEST_BLOCK
from venti.stores.interface import BlockStore
from venti.stores.readback import ReadBack
from venti.trees.copy import Copier
from venti.trees.links import Link, links
from venti.vac import label

log = logging.getLogger(__name__)

PAGE = 100
"""Rows that are looked at at once."""
STAGES = ("source", "archived", "unlisted", "snapshot")
"""What is looked at, in this order."""
_gone = (BlockNotFound, DamagedBlock, DamagedArchive, ReadTooSmall)


@dataclass
class Refilled:
    """How far it has come.

    Attributes:
        seen, total: files, directories and archives that were looked for, and all of them.
        written, size: blocks that were written again, and their bytes.
    """

    seen: int = 0
    total: int = 0
    written: int = 0
    size: int = 0

    def __str__(self) -> str:
        return (
            f"{self.seen} of {self.total} files, directories and archives looked for, "
            f"{self.written} blocks of {self.size} bytes written again"
        )


class _Item(NamedTuple):
    """A row: its key in the table, and the blocks that it leads to."""

    key: tuple[int, ...]
    tops: list[Link]


class _Wanted:
    """A ``BlockStore``: what venti does not have comes from the sources, and only that is written."""

    def __init__(self, venti: BlockStore, sources: Sources, progress: Refilled) -> None:
        self._venti = ReadBack(venti, doubtful=True)
        self._sources = sources
        self._progress = progress
        self._missing: set[tuple[Score, int]] = set()

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        try:
            return await self._venti.read(score, type, limit)
        except VentiError as error:
            try:
                data = await self._sources.read(score, type, limit)
            except BlockNotFound:
                raise error from None
        self._missing.add((score, type.wire))
        return data

    async def write(self, type: BlockType, data: Buffer) -> Score:
        score = Score.of(data)
        if (score, type.wire) in self._missing:
            await self._venti.write(type, data)
            self._missing.discard((score, type.wire))
            self._progress.written += 1
            self._progress.size += len(data)
        return score

    async def sync(self) -> None:
        """Everything is synced, and read back, when the page is noted."""

    async def note(self) -> Score:
        """Makes everything safe, with a mark."""
        mark = await self._venti.write(BlockType.DATA, new_mark())
        await self._venti.sync()
        return mark

    async def aclose(self) -> None:
        """The stores belong to whoever opened them."""


class Refill:
    """Of one file system; made for one call of ``run``.

    Attributes:
        progress: how far it has come.
        lost: some of the files that are in no archive that answers, and not here: blocks to look for.
        complaint: what people are told of them.
    """

    def __init__(self, system: FileSystem, history: History, trust: Trust) -> None:
        self._system = system
        self._history = history
        self._trust = trust
        self._known: set[Score] = set()
        self._names: list[str] = []
        self.progress = Refilled()
        self.lost: list[Link] = []
        self.complaint = ""

    async def run(self, store: BlockStore, sources: Sources) -> None:
        """Goes through everything; what the venti ``store`` lacked is safe there, or will be archived anew.

        Raises:
            FossilError: something is nowhere; the text says what, and what to do.
            LostBlock: venti does not keep what is written to it.
            And what ``store`` raises, ``ReadOnlyStore`` or ``StoreFull``, say.
        """
        state = self._trust.pending() or {}
        begun = state.get("stage")
        place: Any = state.get("place")
        first = STAGES.index(begun) if begun in STAGES and isinstance(place, list) else 0
        self.progress.total = await trio.to_thread.run_sync(_count, self._system.database.path)
        mark: Score | None = None
        for number in range(first, len(STAGES)):
            stage = STAGES[number]
            place = tuple(place) if number == first and place else ()
            below = self._below(stage)
            while rows := self._rows(stage, place):
                wanted = _Wanted(store, sources, self.progress)
                lost = await self._look(wanted, rows, below)
                mark = await wanted.note()
                for row in lost:
                    self._forget(stage, row)
                    await trio.lowlevel.checkpoint()
                place = rows[-1].key
                self._trust.set("refill", {"stage": stage, "place": place, "mark": str(mark)})
                self.progress.seen += len(rows)
        self._archive_again()
        if self.lost:
            self._trust.set("refill", {})
            self.complaint = self._describe(sources)
            raise FossilError(self.complaint)
        self._trust.complete(mark or await _Wanted(store, sources, self.progress).note())
        log.warning("venti%s has everything again: %s", self._trust.name(), self.progress)

    async def found(self, store: BlockStore, sources: Sources) -> bool:
        """Whether some of what was lost can be read now."""
        wanted = _Wanted(store, sources, Refilled())
        for link in self.lost:
            try:
                await wanted.read(link.score, link.type, LARGEST_BLOCK)
            except VentiError:
                continue
            return True
        return False

    def _describe(self, sources: Sources) -> str:
        some = ", ".join(self._names[:3]) + (" ..." if len(self._names) > 3 else "")
        away = "".join(f"; {name} cannot be asked: {why}" for name, why in sources.away.items())
        return (
            f"venti{self._trust.name()} lacks {len(self._names)} things that are in no archive that answers, "
            f"and not here ({some}){away}; bring back the venti that has them, or copy its archives with "
            "'python -m venti copy OLD NEW SCORE': nothing is archived until then"
        )

    # Rows

    def _rows(self, stage: str, place: tuple[int, ...]) -> list[_Item]:
        database = self._system.database
        beyond = place or (-1, -1)
        if stage == "source":
            rows = database.sound_rows(SOURCE, "WHERE id>? ORDER BY id LIMIT ?", (beyond[0], PAGE))
            return [_Item((number,), _tops(entry)) for number, entry, _ in rows]
        if stage == "snapshot":
            rest = "WHERE kind=? AND epoch>? AND score<>'' ORDER BY epoch LIMIT ?"
            rows = database.sound_rows(SNAPSHOT, rest, (ARCHIVE, beyond[0], PAGE))
            return [_Item((row[0],), [Link(label.parse(row[4]), BlockType.ROOT)]) for row in rows]
        table, key = (ARCHIVED, "path, changed") if stage == "archived" else (UNLISTED, "path, born")
        rows = database.sound_rows(table, f"WHERE ({key}) > (?, ?) ORDER BY {key} LIMIT ?", (*beyond, PAGE))
        return [_Item((row[0], row[1]), _tops(row[2])) for row in rows]

    def _below(self, stage: str) -> Callable[[BlockType, bytes], list[Link]]:
        """What each block leads to that is not looked at by itself."""
        if stage == "unlisted":
            return links
        if stage != "snapshot":
            # Files in a directory have rows of their own.
            return lambda type, block: [] if type == BlockType.DIR else links(type, block)
        self._known = self._trees_of_archives()
        return self._below_top

    def _below_top(self, type: BlockType, block: bytes) -> list[Link]:
        found = links(type, block)
        # An earlier archive has a row of its own.
        return found[:1] if type == BlockType.ROOT else [link for link in found if link.score not in self._known]

    def _trees_of_archives(self) -> set[Score]:
        rows = self._system.database.execute(
            "SELECT entries FROM archived WHERE path IN (SELECT DISTINCT top FROM snapshot UNION SELECT ?)", (ROOT,)
        )
        return {link.score for (entries,) in rows.fetchall() for link in _tops(entries)}

    async def _look(
        self, wanted: _Wanted, rows: Sequence[_Item], below: Callable[[BlockType, bytes], list[Link]]
    ) -> list[_Item]:
        """Looks for all blocks of these rows; those of which some are nowhere."""
        try:
            await Copier(wanted, wanted, below=below).run_all(link for row in rows for link in row.tops)
        except _gone:
            lost = []
            for row in rows:
                try:
                    await Copier(wanted, wanted, below=below).run_all(row.tops)
                except _gone as error:
                    log.debug("%s: %s", row.key, error)
                    lost.append(row)
            return lost
        return []

    # What is nowhere

    def _forget(self, stage: str, row: _Item) -> None:
        if stage == "archived":
            self._forget_version(*row.key)
        elif stage == "snapshot":
            self._forget_archives(row.key[0])
        elif stage == "unlisted":
            self._lose(row, self._name(row.key[0]))
        else:
            user = self._system.database.execute(
                "SELECT path FROM extent WHERE place=? LIMIT 1", (-row.key[0],)
            ).fetchone()
            if user is not None:
                self._lose(row, self._name(user[0]))

    def _lose(self, row: _Item, name: str) -> None:
        self._names.append(name)
        if len(self.lost) < PAGE:
            self.lost += row.tops[:1]
        log.error("venti%s lacks %s, and so does every other archive that answers", self._trust.name(), name)

    def _forget_version(self, path: int, changed: int) -> None:
        """A file or directory as it was is not in venti, and so no directory is that shows it."""
        waiting, seen = [(path, changed)], {(path, changed)}
        with self._system.transaction() as database:
            run = database.execute
            while waiting:
                version = waiting.pop()
                run("DELETE FROM archived WHERE path=? AND changed=?", version)
                for parent, born, died in run(
                    "SELECT parent, born, died FROM node WHERE path=? AND changed=?", version
                ).fetchall():
                    for above in run(
                        f"SELECT DISTINCT path, changed FROM node WHERE path=? AND {IN_SPAN}",
                        (parent, died, born),
                    ).fetchall():
                        if above not in seen:
                            seen.add(above)
                            waiting.append(above)

    def _forget_archives(self, epoch: int) -> None:
        """An archive, and with it all later ones, which show it, are to be written anew."""
        with self._system.transaction() as database:
            for found in database.sound_rows(
                SNAPSHOT, "WHERE kind=? AND epoch>=? AND score IS NOT NULL", (ARCHIVE, epoch)
            ):
                number, time, kind, name, score, shown, top, _ = found
                log.warning("/archive/%s is not whole in venti as %s: it is written anew", name, score)
                database.put(SNAPSHOT, (number, time, kind, name, None, shown, top))

    def _archive_again(self) -> None:
        """Archives whose trees were forgotten are not whole."""
        for snapshot in self._history.all(ARCHIVE):
            for past in (self._history.past(snapshot.epoch), self._history.live_at(snapshot)):
                root = past.root
                if snapshot.score is not None and self._history.archived(root.path, root.changed) is None:
                    self._forget_archives(snapshot.epoch)
                    return

    def _name(self, path: int) -> str:
        """What a file was called last."""
        names: list[str] = []
        while path != ROOT and len(names) < 1000:
            row = self._system.database.execute(
                "SELECT parent, name FROM node WHERE path=? ORDER BY born DESC LIMIT 1", (path,)
            ).fetchone()
            if row is None:
                names.append(f"(file {path:x})")
                break
            path = row[0]
            names.append(row[1])
        return "/" + "/".join(reversed(names))


def _count(path: Path) -> int:
    """How many rows there are to look at; in any thread, since that goes through the tables."""
    with closing(open_reader(path)) as reader:
        tables = (*STAGES[:-1], "snapshot WHERE score<>''")
        return sum(reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)


def _tops(entries: bytes) -> list[Link]:
    try:
        return tops(entries)
    except DamagedArchive:
        return []
