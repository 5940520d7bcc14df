"""Keeps the data log within its bound: frees what is safe in venti, least recently read first.

A piece may go when every row that refers to it was archived, in the live tree and in all snapshots, and its bytes have
just been read from venti: what was written there once may be in another store, or in none. The rows then refer to the
file's tree in the archive instead, in one transaction; the room is given back after that is durable. Reading brings
bytes back; see ``away``. While venti is away nothing goes.

If nothing can go, an archive is made, because after it something can. Nobody is refused for the bound: it is what the
log is brought back to, and the disk's own end is the only one for writers.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import trio

from fossil.archive.away import CHUNK
from fossil.archive.handover import Row, hand_over, rows_of
from fossil.errors import ArchiveAway, FossilError
from fossil.live.filesystem import ROOT, FileSystem
from fossil.live.userfile import PATH as USERS
from fossil.live.userfile import find
from fossil.metadata import lookup
from fossil.past.history import ARCHIVE, History
from ninep.protocol.errors import FileSystemFull
from ninep.tasks import for_each
from ninep.tasks.rounds import Rounds

log = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds between two looks at the size of the log."""
ENOUGH = 0.9
"""Of the bound, what is left when it was reached."""
AT_ONCE = 4
"""Pieces that are looked for in venti at the same time."""
PIECES = 25
"""Pieces that go in one transaction; clients are served in between."""
PAGE = 500
"""Pieces looked at in one step."""
EARLY = 60.0
"""Seconds between two archives that are made for this."""


class _Piece(NamedTuple):
    place: int
    stored: int
    fetched: bool


class _Chunk(NamedTuple):
    """A copy of what is in venti: ``length`` bytes from ``start`` of the file with this ``entry``."""

    entry: bytes
    start: int
    length: int


class Evictor:
    """Of one file system."""

    def __init__(
        self,
        system: FileSystem,
        history: History,
        bound: int,
        archive: Callable[[], None],
        has: Callable[[bytes, int, int], Awaitable[bool]],
    ) -> None:
        """``bound`` is in bytes; ``archive`` is called when an archive was taken and is to be written; ``has`` says
        whether venti gives bytes of an archived file: its entry, the offset, how many.
        """
        self._has = has
        self._system = system
        self._history = history
        self._bound = bound
        self._archive = archive
        self._last_early = -EARLY

    def over(self) -> int:
        """Bytes that should go, counting what is on its way already."""
        used = self._system.log.used() - sum(stored for place, stored in self._system.freed.pieces if place >= 0)
        return used - int(self._bound * ENOUGH) if used > self._bound else 0

    async def run(self) -> None:
        """Looks now and then, until cancelled."""
        rounds = Rounds(log, "giving room back")
        while True:
            await trio.sleep(LOOK)
            with rounds.one(), suppress(FossilError, FileSystemFull):
                await self.evict()

    async def evict(self) -> int:
        """Lets go what should go. Returns how many bytes are on their way.

        Raises:
            FileSystemFull, WritesStopped: the rest was not done.
        """
        wanted = self.over()
        if not wanted or self._system.stopped is not None:
            return 0
        try:
            gone = await self._evict(wanted)
        except ArchiveAway as error:
            log.debug("nothing goes while venti is away: %s", error)
            return 0
        if not gone:
            self._archive_early()
        return gone

    async def _evict(self, wanted: int) -> int:
        gone = 0
        batch: list[_Piece] = []
        for piece in self._in_order():
            if piece is None:
                await trio.lowlevel.checkpoint()
                continue
            batch.append(piece)
            if len(batch) == PIECES or gone + sum(each.stored for each in batch) >= wanted:
                gone += await self._drop(batch)
                batch = []
                await trio.lowlevel.checkpoint()
                if gone >= wanted:
                    return gone
        return gone + await self._drop(batch)

    def _archive_early(self) -> None:
        now = trio.current_time()
        history = self._history
        changed = self._system.node(ROOT).changed
        last = history.newest(ARCHIVE)
        if now - self._last_early < EARLY or history.waiting() or (last is not None and changed <= last.epoch):
            return
        log.info("the data log is over its bound: an archive is made, so that something can go")
        self._last_early = now
        history.take(ARCHIVE)
        self._archive()

    def _in_order(self) -> Iterator[_Piece | None]:
        """Pieces, least recently read first, and None now and then: first those of which no reading is known, the
        oldest in front, then those that were read.
        """
        run, data_log = self._system.database.execute, self._system.log
        recent = set(data_log.by_use())
        at = -1
        while True:
            rows = run(
                "SELECT place, stored, 0 FROM (SELECT DISTINCT place, stored FROM extent WHERE place>? ORDER BY place "
                "LIMIT ?) UNION ALL SELECT place, stored, 1 FROM (SELECT place, stored FROM fetched WHERE place>? "
                "ORDER BY place LIMIT ?) ORDER BY place LIMIT ?",
                (at, PAGE, at, PAGE, PAGE),
            ).fetchall()
            if not rows:
                break
            yield from (_Piece(place, stored, bool(mark)) for place, stored, mark in rows if place not in recent)
            at = rows[-1][0]
            yield None
        for place in list(data_log.by_use()):
            row = run(
                "SELECT stored, 1 FROM fetched WHERE place=? "
                "UNION ALL SELECT stored, 0 FROM extent WHERE place=? LIMIT 1",
                (place, place),
            ).fetchone()
            if row is not None:
                yield _Piece(place, row[0], bool(row[1]))

    async def _drop(self, pieces: list[_Piece]) -> int:
        """Drops those that may go, in one transaction; bytes of them."""
        system = self._system
        system.commit()
        found: dict[int, list[Row] | _Chunk] = {}

        async def look(piece: _Piece) -> None:
            archived = self._archived(piece)
            ranges = archived if isinstance(archived, list) else [archived] if archived is not None else []
            for each in ranges:
                if each.entry is None or not await self._has(each.entry, each.start, each.length):
                    return
            if archived:
                found[piece.place] = archived

        await for_each([piece for piece in pieces if not system.log.is_held(piece.place)], look, AT_ONCE)
        gone: list[_Piece] = []
        with system.transaction() as database:
            users = self._users()
            for piece in pieces:
                archived = found.get(piece.place)
                if not isinstance(archived, _Chunk) and any(row.path == users for row in archived or ()):
                    continue
                # Whoever looked at it meanwhile, or wrote, has it as it is now.
                if archived is None or system.log.is_held(piece.place) or self._archived(piece) != archived:
                    continue
                if isinstance(archived, _Chunk):
                    lookup.forget_fetched(database, piece.place)
                else:
                    hand_over(system, piece.place, archived)
                gone.append(piece)
        system.freed.add((piece.place, piece.stored) for piece in gone)
        return sum(piece.stored for piece in gone)

    def _users(self) -> int | None:
        """The path of the table of users: a server that starts while venti is away needs it."""
        try:
            node = find(self._system, USERS)
        except FossilError:
            return None
        return None if node is None else node.path

    def _archived(self, piece: _Piece) -> list[Row] | _Chunk | None:
        """Where in archived files the bytes of a piece are."""
        if not piece.fetched:
            return rows_of(self._system, piece.place)
        row = self._system.database.execute(
            "SELECT source.entry, number FROM fetched JOIN source ON source.id=source WHERE place=?", (piece.place,)
        ).fetchone()
        return None if row is None else _Chunk(bytes(row[0]), row[1] * CHUNK, piece.stored)
