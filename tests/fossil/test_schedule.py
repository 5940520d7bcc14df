"""Snapshots, archives and expiry by the clock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fossil.past.history import ARCHIVE, SNAPSHOT
from fossil.past.schedule import Schedule, SnapTime, archive_day, parse_clock, parse_minutes
from programs.opened_fossil import Opened


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    old = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    if old is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = old
    time.tzset()


MIDNIGHT = 1_795_478_400
"""2026-11-24 00:00 UTC."""
MINUTE, HOUR, DAY = 60, 3600, 86400


class Run:
    """A file system whose clock is moved by hand, looked at every ten seconds."""

    def __init__(self, path: Path, now: int) -> None:
        self.now = now
        self.archived = 0
        self.opened = Opened(path)
        self.opened.system.clock = lambda: self.now
        self.history = self.opened.history
        self.restart()

    def _archive(self) -> None:
        self.archived += 1

    def restart(self) -> None:
        self.schedule = Schedule(self.opened.system, self.history, self._archive)

    def until(self, now: int, step: int = 10) -> None:
        while self.now < now:
            self.now += step
            self.schedule.tick()

    def names(self, kind: str) -> list[str]:
        return [snapshot.name for snapshot in self.history.all(kind)]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path, MIDNIGHT + 10 * HOUR + 7)
    yield run
    run.opened.system.close()


@pytest.mark.parametrize(("text", "minutes"), [("0000", 0), ("0500", 300), ("2359", 1439), ("none", None)])
def test_times_of_day(text: str, minutes: int | None) -> None:
    assert parse_clock(text) == minutes


@pytest.mark.parametrize("text", ["", "500", "2400", "0060", "05:00", "-100", "noon", "05 0"])
def test_bad_times_of_day(text: str) -> None:
    with pytest.raises(ValueError, match="hhmm"):
        parse_clock(text)


def test_minutes() -> None:
    assert [parse_minutes(text) for text in ("none", "0", "1", "2880")] == [None, None, 1, 2880]
    for text in ("", "-1", "x", "1.5", "9" * 10):
        with pytest.raises(ValueError, match="minutes"):
            parse_minutes(text)


def test_text_is_the_originals() -> None:
    assert SnapTime().text() == "-a none -s none -t none"
    assert SnapTime(300, 60, 2880).text() == "-a 0500 -s 60 -t 2880"


def test_nothing_is_done_unless_asked(run: Run) -> None:
    """The original forgets all snapshots ten seconds after each start when nothing is set."""
    run.history.take(SNAPSHOT)
    run.until(run.now + 3 * DAY, 600)
    assert len(run.names(SNAPSHOT)) == 1
    assert run.names(ARCHIVE) == []


def test_snapshots_when_the_minutes_are_a_multiple(run: Run) -> None:
    run.schedule.set(SnapTime(snapshot=15))
    run.until(MIDNIGHT + 11 * HOUR + 5)
    assert run.names(SNAPSHOT) == ["2026/1124/1015", "2026/1124/1030", "2026/1124/1045", "2026/1124/1100"]


def test_one_snapshot_for_times_that_were_missed(run: Run) -> None:
    run.schedule.set(SnapTime(snapshot=15))
    run.until(MIDNIGHT + 10 * HOUR + 16 * MINUTE)
    run.now += 5 * HOUR
    run.schedule.tick()
    assert run.names(SNAPSHOT) == ["2026/1124/1015", "2026/1124/1516"]


def test_expiry(run: Run) -> None:
    run.schedule.set(SnapTime(snapshot=10, life=60))
    run.until(MIDNIGHT + 14 * HOUR)
    names = run.names(SNAPSHOT)
    assert names[-1] == "2026/1124/1400"
    assert names[0] == "2026/1124/1300"
    archive = run.history.take(ARCHIVE)
    run.until(MIDNIGHT + 3 * DAY, 600)
    assert run.names(ARCHIVE) == [archive.name]


def test_an_archive_each_day(run: Run) -> None:
    """The first at once, because that of today is missing; then at five each morning."""
    run.schedule.set(SnapTime(archive=5 * 60))
    run.until(run.now + 10)
    assert run.names(ARCHIVE) == ["2026/1124"]
    assert run.archived == 1
    run.until(MIDNIGHT + 3 * DAY, 60)
    assert run.names(ARCHIVE) == ["2026/1124", "2026/1125", "2026/1126"]
    times = [snapshot.time - MIDNIGHT for snapshot in run.history.all(ARCHIVE)[1:]]
    assert [when // HOUR for when in times] == [24 + 5, 48 + 5]


def test_missed_archives_are_made_up_for(run: Run) -> None:
    run.schedule.set(SnapTime(archive=5 * 60))
    run.until(run.now + 10)
    run.now = MIDNIGHT + 4 * DAY + 2 * HOUR
    run.restart()
    run.until(run.now + 600)
    # That of the 27th, made in the night to the 28th; then that of the 28th in the morning.
    assert run.names(ARCHIVE) == ["2026/1124", "2026/1128"]
    run.until(MIDNIGHT + 4 * DAY + 6 * HOUR, 60)
    assert run.names(ARCHIVE) == ["2026/1124", "2026/1128", "2026/1128.1"]
    run.restart()
    run.until(MIDNIGHT + 4 * DAY + 20 * HOUR, 600)
    assert len(run.names(ARCHIVE)) == 3


def test_settings_outlast_a_restart(tmp_path: Path) -> None:
    run = Run(tmp_path, MIDNIGHT)
    run.schedule.set(SnapTime(300, 60, 2880))
    run.opened.system.close()
    again = Run(tmp_path, MIDNIGHT)
    assert again.schedule.when == SnapTime(300, 60, 2880)
    again.schedule.set(SnapTime(snapshot=5))
    again.restart()
    assert again.schedule.when == SnapTime(snapshot=5)
    again.opened.system.close()


def test_the_archive_day_begins_at_its_time() -> None:
    assert archive_day(MIDNIGHT + 4 * HOUR, 300) == "2026/1123"
    assert archive_day(MIDNIGHT + 5 * HOUR, 300) == "2026/1124"
    assert archive_day(MIDNIGHT, 0) == "2026/1124"


def test_a_halted_file_system_is_left_alone(run: Run) -> None:
    run.schedule.set(SnapTime(snapshot=1))
    run.opened.system.halted = True
    run.until(run.now + 600)
    assert run.names(SNAPSHOT) == []
