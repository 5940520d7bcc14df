"""Snapshots, archives and expiry by the clock. Source: snaptime of fossilcons(8).

What is set here is remembered in the file system. A time that passed while the server was not running is made up for:
an archive by the day, as the original does; a snapshot at the next of its times, which is soon enough.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import trio

from fossil.errors import FossilError
from fossil.live.filesystem import FileSystem
from fossil.past.history import ARCHIVE, SNAPSHOT, History
from ninep.protocol.errors import FileSystemFull
from ninep.tasks.rounds import Rounds

log = logging.getLogger(__name__)

TICK = 10.0
"""Seconds between two looks at the clock."""


class SnapTime(NamedTuple):
    """When things are done. None is never.

    Attributes:
        archive: minutes after midnight, local time, at which an archive is made each day.
        snapshot: minutes between two snapshots; they are made when the minutes since 1970 are a multiple of it.
        life: minutes after which a snapshot is forgotten.
    """

    archive: int | None = None
    snapshot: int | None = None
    life: int | None = None

    def text(self) -> str:
        """As the console prints and takes it: ``-a 0500 -s 60 -t 2880``."""
        at = "none" if self.archive is None else f"{self.archive // 60:02}{self.archive % 60:02}"
        return f"-a {at} -s {self.snapshot or 'none'} -t {self.life or 'none'}"


def parse_clock(text: str) -> int | None:
    """``0500`` as minutes after midnight; ``none`` as None.

    Raises:
        ValueError: it is neither.
    """
    if text == "none":
        return None
    if len(text) != 4 or not text.isdecimal() or int(text[:2]) > 23 or int(text[2:]) > 59:
        raise ValueError(f"{text!r} is no time of day: write hhmm, such as 0500, or none")
    return int(text[:2]) * 60 + int(text[2:])


def parse_minutes(text: str) -> int | None:
    """A number of minutes from one on; ``none`` or ``0`` as None.

    Raises:
        ValueError: it is neither.
    """
    if text in ("none", "0"):
        return None
    if not text.isdecimal() or len(text) > 9:
        raise ValueError(f"{text!r} is no number of minutes: write one, or none")
    return int(text)


def archive_day(now: float, at: int) -> str:
    """The name of the archive that should be there by now, where one is made each day at ``at``.

    Before that time of day it is yesterday's.
    """
    today = time.localtime(now)
    if today.tm_hour * 60 + today.tm_min < at:
        noon = time.mktime((today.tm_year, today.tm_mon, today.tm_mday - 1, 12, 0, 0, 0, 0, -1))
        today = time.localtime(noon)
    return time.strftime("%Y/%m%d", today)


class Schedule:
    """Does at its time what ``when`` says.

    Attributes:
        when: the settings; change them with ``set``.
    """

    def __init__(self, system: FileSystem, history: History, archive: Callable[[], None]) -> None:
        """``archive`` is called when an archive has been taken and is to be written."""
        self._system = system
        self._history = history
        self._archive = archive
        found = {name.removeprefix("snaptime "): value for name, value in system.settings.all().items()}
        self.when = SnapTime(*(found.get(name) for name in SnapTime._fields))
        self._slot = self._slot_now()
        self._tried = ""

    def _slot_now(self) -> int:
        every = self.when.snapshot
        return self._system.now() // 60 // every if every else 0

    def set(self, when: SnapTime) -> None:
        """Changes the settings, which outlast a restart. Raises ``FileSystemFull``, ``WritesStopped``."""
        settings = self._system.settings
        with self._system.transaction():
            for name, value in when._asdict().items():
                if value is None:
                    settings.remove(f"snaptime {name}")
                else:
                    settings.set(f"snaptime {name}", value)
        self.when = when
        self._slot = self._slot_now()
        self._tried = ""

    def tick(self) -> None:
        """Does what is due now. Raises ``FileSystemFull``, ``WritesStopped``."""
        system, when = self._system, self.when
        if system.halted:
            return
        now = system.now()
        if when.archive is not None:
            day = archive_day(now, when.archive)
            if day != self._tried and not self._made(day, when.archive):
                self._history.take(ARCHIVE)
                self._archive()
            self._tried = day
        if when.snapshot is not None and self._slot != (slot := now // 60 // when.snapshot):
            self._history.take(SNAPSHOT)
            self._slot = slot
        if when.life is not None and (count := self._history.expire(now - 60 * when.life)):
            log.info("%d snapshots older than %d minutes are forgotten", count, when.life)

    def _made(self, day: str, at: int) -> bool:
        """Whether an archive was taken since that day's time ``at``; its name may be that of the day after."""
        newest = self._history.newest(ARCHIVE)
        return newest is not None and archive_day(newest.time, at) >= day

    async def run(self) -> None:
        """Looks at the clock until cancelled."""
        rounds = Rounds(log, "what is due by the clock")
        while True:
            await trio.sleep(TICK)
            with rounds.one(), suppress(FossilError, FileSystemFull):
                self.tick()
