"""Tells whether the venti that answers is the one that has what was archived.

An address says nothing: another store may be behind it, an empty one, or an older state of the right one. So each time
before what venti has is noted here, a *mark* is written there, a small block that is like no other, and each time a
venti is connected to it is asked for the newest mark, for the roots of archives, and for some of what it should have.
Where one of these is missing nothing is claimed of it any more, until ``refill`` has gone through everything.

Nothing but ordinary reads and writes is needed for that, so any venti will do.
"""

from __future__ import annotations

import json
import logging
import random
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import trio

from fossil.errors import FossilError
from fossil.live.filesystem import FileSystem
from fossil.metadata.tables import VENTI
from fossil.past.history import ARCHIVE
from ninep.protocol.errors import FileError
from ninep.tasks import for_each
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import DamagedArchive, VentiError
from venti.blocks.score import ZERO_SCORE, Score
from venti.protocol.messages import LARGEST_BLOCK
from venti.stores.fetch import WINDOW
from venti.stores.interface import BlockStore
from venti.trees.entry import SIZE as ENTRY_SIZE
from venti.trees.entry import Entry
from venti.trees.links import Link
from venti.trees.root import NO_ROOT
from venti.vac import label

log = logging.getLogger(__name__)

SAMPLES = 16
"""Trees of each kind that a venti is asked for when it is connected to."""
FIRST_SAMPLES = 256
"""The same where there is no mark yet."""
ROOTS = 1000
"""Roots of archives that are then asked for, too; else the oldest and the newest."""
ADDRESSES = 8
"""Earlier archives that are remembered."""
AGAIN = 3600.0
"""Seconds after everything was looked for until a single missing block is a reason to do so again."""


def new_mark() -> bytes:
    """A block that nobody has written before."""
    return b"fossil's mark: it has all that was noted until then. " + secrets.token_hex(16).encode()


def tops(entries: bytes) -> list[Link]:
    """The top blocks of the trees of a file or directory, given its packed entries.

    Raises:
        DamagedArchive: they are none.
    """
    found = [Entry.unpack(entries, at) for at in range(0, len(entries), ENTRY_SIZE)]
    return [Link(entry.score, entry.type) for entry in found if entry.score not in (ZERO_SCORE, NO_ROOT)]


class Trust:
    """Of one file system.

    Attributes:
        archiving: whether there is an archive at all.
        met: whether a venti has answered since the start.
        lacking: what the one that answered last was found to lack, as people are told it; None if nothing.
    """

    def __init__(
        self, system: FileSystem, where: Callable[[], str], noticed: Callable[[], None], *, archiving: bool = True
    ) -> None:
        """``where`` gives the address of the archive; empty for the embedded one. ``noticed`` is called when something
        was found to be lacking.
        """
        self.archiving = archiving
        self._system = system
        self._where = where
        self._checked = float("-inf")
        self._noticed = noticed
        self.met = False
        self.lacking: str | None = "not everything has been written again yet" if self.pending() else None

    def expects(self) -> bool:
        """Whether there is anything that venti should have."""
        run = self._system.database.execute
        return any(
            run(f"SELECT 1 FROM {what} LIMIT 1").fetchone() is not None
            for what in ("archived", "unlisted", "source", "snapshot WHERE score IS NOT NULL")
        )

    def used(self) -> bool:
        """Whether there is a venti that should answer."""
        return self.archiving and (bool(self._where()) or self.expects())

    def wants_to_meet(self) -> bool:
        """Whether venti should be connected to, only to see whether it is there and what it has."""
        return not self.met and self.used()

    # What is kept in the database

    def get(self, name: str) -> Any:
        """A value that was kept, or None."""
        row = self._system.database.sound(VENTI, "WHERE name=?", (name,))
        try:
            return None if row is None else json.loads(row[1])
        except ValueError:
            return None

    def set(self, name: str, value: Any) -> None:
        """Keeps a value; None removes it. Raises ``WritesStopped``, ``FileSystemFull``."""
        with self._system.transaction() as database:
            if value is None:
                database.execute("DELETE FROM venti WHERE name=?", (name,))
            else:
                database.put(VENTI, (name, json.dumps(value)))

    def keep(self, mark: Score) -> None:
        """Whoever has this mark has all that was noted until now."""
        self.set("mark", str(mark))

    def pending(self) -> dict[str, Any] | None:
        """How far ``refill`` has come; None if everything is there as far as is known."""
        found = self.get("refill")
        return found if isinstance(found, dict) else None

    def addresses(self) -> list[str]:
        """Where the archive has been, the latest first; empty for the embedded one."""
        found = self.get("addresses")
        return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []

    # Looking

    async def meet(self, store: BlockStore) -> None:
        """Looks whether a venti that was just connected to has what it should. Raises what says that it is gone."""
        missing = await self._missing(store, self._wanted())
        pending = self.pending()
        mark = _score((pending or {}).get("mark"))
        if mark is not None and await self._missing(store, [Link(mark, BlockType.DATA)]):
            # What has been done was done at another one.
            pending = {} if missing else None
            self._try_to_set("refill", pending)
        self.met = True
        if missing:
            self.doubt(missing)
        elif pending is None:
            if self.lacking is not None:
                log.warning("venti%s has everything", self.name())
            self.lacking = None
            self._settle_in()
            if self.get("mark") is None and self.expects():
                await self._first_mark(store)

    def doubt(self, missing: str) -> None:
        """Something is missing: nothing is claimed any more until all has been looked for."""
        if self.lacking is None:
            log.error("venti%s does not have everything that was archived: %s", self.name(), missing)
        self.lacking = missing
        if self.pending() is None:
            self._try_to_set("refill", {})
        self._noticed()

    def suspect(self, missing: str) -> None:
        """The same for what was met by chance, unless all has been looked for lately."""
        if self.lacking is None and trio.current_time() - self._checked > AGAIN:
            self.doubt(missing)

    def complete(self, mark: Score) -> None:
        """Everything has been looked for and is there; ``mark`` has been written since."""
        self._checked = trio.current_time()
        self.keep(mark)
        self.set("refill", None)
        self.lacking = None
        self._settle_in()

    def name(self) -> str:
        """How the archive is called in a sentence, with a space before it."""
        return f" {self._where()}" if self._where() else ""

    def _settle_in(self) -> None:
        address, known = self._where(), self.addresses()
        if known[:1] != [address] and (address or self.expects()):
            self._try_to_set("addresses", [address, *(each for each in known if each != address)][:ADDRESSES])

    async def _first_mark(self, store: BlockStore) -> None:
        try:
            mark = await store.write(BlockType.DATA, new_mark())
            await store.sync()
        except VentiError as error:
            log.debug("no mark could be written: %s", error)
        else:
            self._try_to_set("mark", str(mark))

    def _try_to_set(self, name: str, value: Any) -> None:
        """Keeps what is found again if it cannot be kept: the disk may be full just now."""
        try:
            self.set(name, value)
        except (FossilError, FileError) as error:
            log.debug("not kept: %s", error)

    async def _missing(self, store: BlockStore, wanted: list[Link]) -> str:
        """What is missing of some blocks, in a sentence; empty if nothing is."""
        failures: list[VentiError] = []

        async def ask(link: Link) -> None:
            try:
                await store.read(link.score, link.type, LARGEST_BLOCK)
            except VentiError as error:
                failures.append(error)

        await for_each(wanted, ask, WINDOW)
        return f"{len(failures)} of {len(wanted)} blocks asked for are not there: {failures[0]}" if failures else ""

    def _wanted(self) -> list[Link]:
        mark = _score(self.get("mark"))
        count = SAMPLES if mark is not None else FIRST_SAMPLES
        wanted = {} if mark is None else {Link(mark, BlockType.DATA): None}
        roots = [score for (text,) in self._scores() if (score := _score(text)) is not None]
        for score in roots if mark is None else [*roots[:1], *roots[-1:]]:
            wanted[Link(score, BlockType.ROOT)] = None
        for table, key in (("archived", "path"), ("source", "id"), ("unlisted", "path")):
            for entries in self._some(table, key, count):
                try:
                    wanted.update(dict.fromkeys(tops(entries)))
                except DamagedArchive:
                    continue
        return list(wanted)

    def _scores(self) -> list[tuple[str]]:
        query = "SELECT score FROM snapshot WHERE kind=? AND score<>'' ORDER BY epoch DESC LIMIT ?"
        newest = self._system.database.execute(query, (ARCHIVE, ROOTS)).fetchall()
        oldest = self._system.database.execute(query.replace("DESC", "ASC"), (ARCHIVE, 1)).fetchall()
        return newest + oldest

    def _some(self, table: str, key: str, count: int) -> Iterator[bytes]:
        """Entries of some rows that were chosen by chance."""
        run = self._system.database.execute
        # One query for both would go through the whole table.
        low, high = (run(f"SELECT {which}({key}) FROM {table}").fetchone()[0] for which in ("min", "max"))
        if low is None:
            return
        column = "entry" if table == "source" else "entries"
        for _ in range(count):
            at = random.randint(low, high)
            yield run(f"SELECT {column} FROM {table} WHERE {key}>=? ORDER BY {key} LIMIT 1", (at,)).fetchone()[0]


def _score(text: object) -> Score | None:
    """The score that a text of 40 digits stands for, with or without ``vac:``."""
    try:
        return label.parse(text) if isinstance(text, str) else None
    except ValueError:
        return None
