"""Verifies a store in the background, slowly, beginning with the arena verified longest ago.

What was seen when is kept in the file ``scrub`` of the store, so that a restart loses nothing: see ``Journal``. One
process at a time does this to a store.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from ninep.disk import AlreadyLocked, LockFile, replace_file
from venti.blocks.errors import StoreInUse
from venti.log import synced
from venti.log.arena import START
from venti.log.damaged import noted
from venti.log.files import OsFolder, numbers
from venti.upkeep.survey import Fault, Survey

log = logging.getLogger(__name__)

STEP = 256 * 1024
"""Bytes between two rests."""
EVERY = 7 * 24 * 3600.0
"""Seconds after which an arena is due again."""
SAVE = 64 * 1024 * 1024
"""Bytes after which the place is written down, at the latest."""
LONGEST_WAIT = 3600.0
"""Seconds after which the arenas are looked at again, when none was due."""


class Journal:
    """What was looked at when: the file ``scrub`` of a store, in JSON.

    Attributes:
        checked: for each arena, when the last whole look at it ended, in seconds since 1970.
        damaged: for each arena, how many blocks that look found damaged beyond healing.
        current: the arena that is being looked at, None between two.
        offset: everything before it in that arena has been seen.
        faults: what was found in it so far.
    """

    def __init__(self, path: Path) -> None:
        """Reads it; one that is not there or cannot be read counts as empty."""
        self._path = path
        self.checked: dict[int, float] = {}
        self.damaged: dict[int, int] = {}
        self.current: int | None = None
        self.offset = START
        self.faults = 0
        try:
            self._load(json.loads(path.read_text()))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            log.warning("%s cannot be read and is begun anew: %s", path, error)

    def _load(self, found: dict[str, Any]) -> None:
        arenas = {int(number): entry for number, entry in found["arenas"].items()}
        checked = {number: float(entry["checked"]) for number, entry in arenas.items()}
        damaged = {number: int(entry["damaged"]) for number, entry in arenas.items()}
        current, offset, faults = found["current"], int(found["offset"]), int(found["faults"])
        self.checked, self.damaged = checked, damaged
        self.current = None if current is None else int(current)
        self.offset, self.faults = max(START, offset), faults

    def save(self) -> None:
        """Writes it, so that a crash leaves the old or the new one."""
        found = {
            "arenas": {str(n): {"checked": when, "damaged": self.damaged[n]} for n, when in self.checked.items()},
            "current": self.current,
            "offset": self.offset,
            "faults": self.faults,
        }
        replace_file(self._path, json.dumps(found).encode())

    def due(self, arenas: list[int], before: float) -> int | None:
        """The arena to look at next: the one begun, else the oldest that was not looked at since ``before``."""
        if self.current in arenas:
            return self.current
        oldest = min(arenas, key=lambda number: (self.checked.get(number, 0.0), number), default=None)
        return oldest if oldest is not None and self.checked.get(oldest, 0.0) <= before else None


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds the right to scrub the store in ``path``.

    Raises:
        StoreInUse: another process has it.
    """
    try:
        lock = LockFile(path / "scrub.lock")
    except AlreadyLocked as error:
        raise StoreInUse(f"{path} is being scrubbed by another process, perhaps its server") from error
    try:
        yield
    finally:
        lock.release()


class Scrubber:
    """Scrubs the store in a directory.

    Attributes:
        journal: what was looked at when.
    """

    def __init__(
        self,
        path: Path,
        *,
        rate: int,
        heal: Callable[[Fault], Awaitable[bool]],
        report: Callable[[Fault], None],
        progress: Callable[[int, int], None] = lambda size, blocks: None,
        every: float = EVERY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepares; the caller is ``alone``.

        ``rate`` is in bytes a second, 0 for no bound. ``heal`` is asked about each fault and says whether its block can
        be read after all, perhaps because it made it so; ``report`` gets the others. ``progress`` gets the bytes and
        blocks of each step. An arena is due again ``every`` so many seconds; ``clock`` gives seconds since 1970.
        """
        self.journal = Journal(path / "scrub")
        self._path = path
        self._arenas = OsFolder(path / "arenas")
        self._rate = rate
        self._heal = heal
        self._report = report
        self._progress = progress
        self._every = every
        self._clock = clock
        self._free_at = 0.0

    async def run(self) -> None:
        """Scrubs until cancelled; the place is kept then."""
        while True:
            if await self.one(self._clock() - self._every) is None:
                last = min(self.journal.checked.values(), default=0.0)
                await trio.sleep(min(max(last + self._every - self._clock(), 1.0), LONGEST_WAIT))

    async def one(self, before: float) -> int | None:
        """Looks through one arena, of those that were not looked at since ``before``; None if there is none.

        Cancelled, it keeps the place for the next call, which may come from another process.
        """
        number = self.journal.due(numbers(self._arenas), before)
        if number is None:
            return None
        journal = self.journal
        if number != journal.current:
            journal.current, journal.offset, journal.faults = number, START, 0
        try:
            survey = Survey(
                self._arenas,
                number,
                journal.offset,
                certain=synced.read(OsFolder(self._path)).get(number, 0),
                noted=noted(self._path).get(number, ()),
            )
        except OSError as error:
            await self._judge(Fault(number, 0, None, None, f"it cannot be read: {error.strerror}"))
        else:
            try:
                await self._look_through(survey)
            finally:
                survey.close()
        journal.checked[number], journal.damaged[number] = self._clock(), journal.faults
        journal.current, journal.offset, journal.faults = None, START, 0
        journal.save()
        return number

    async def _look_through(self, survey: Survey) -> None:
        journal = self.journal
        saved_at = survey.at
        try:
            done = False
            while not done:
                before = survey.at, survey.clumps
                done = await trio.to_thread.run_sync(survey.step, STEP)
                self._progress(survey.at - before[0], survey.clumps - before[1])
                while survey.faults:
                    await self._judge(survey.faults[0])
                    del survey.faults[0]
                journal.offset = survey.at
                if survey.at - saved_at >= SAVE:
                    journal.save()
                    saved_at = survey.at
                await self._rest(survey.at - before[0])
        finally:
            journal.save()

    async def _judge(self, fault: Fault) -> None:
        if not await self._heal(fault):
            self.journal.faults += 1
            self._report(fault)

    async def _rest(self, size: int) -> None:
        """Sleeps until the bytes just read are paid for."""
        if not self._rate:
            await trio.lowlevel.checkpoint()
            return
        self._free_at = max(self._free_at, trio.current_time() - 1.0) + size / self._rate
        await trio.sleep_until(self._free_at)
