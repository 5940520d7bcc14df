"""Progress of long work: one line on a terminal, with rate and time to go."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

EVERY = 0.2
"""Seconds between two versions of the line."""


class Gauge:
    """Counts bytes and things; shows them on standard error if that is a terminal. A context manager.

    Attributes:
        total: bytes that there are in all; without it there is no time to go.
    """

    def __init__(
        self,
        label: str,
        total: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        things: str = "blocks",
    ) -> None:
        self._label = label
        self.total = total
        self._clock = clock
        self._things = things
        self._shown = sys.stderr.isatty()
        self._start = self._next = clock()
        self._drawn = False
        self.bytes = 0
        self.blocks = 0

    def __enter__(self) -> Gauge:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def add(self, size: int, blocks: int = 1) -> None:
        """So much more is done."""
        self.show(self.blocks + blocks, self.bytes + size)

    def show(self, count: int, size: int) -> None:
        """So much is done in all."""
        self.bytes = size
        self.blocks = count
        if self._shown:
            now = self._clock()
            if now >= self._next:
                self._next = now + EVERY
                self._drawn = True
                print(f"\r\x1b[K{self.text(now - self._start)}", end="", file=sys.stderr, flush=True)

    @property
    def shown(self) -> bool:
        """Whether somebody looks."""
        return self._shown

    def clear(self) -> None:
        """Takes the line away, so that something else can be printed."""
        if self._drawn:
            self._drawn = False
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def text(self, elapsed: float) -> str:
        """The line, after so many seconds."""
        rate = self.bytes / elapsed if elapsed > 0 else 0.0
        done = f"{self._label}: {self.blocks} {self._things}, {_mega(self.bytes)}"
        if self.total is None:
            return f"{done} MB, {_mega(rate)} MB/s"
        share = f"{done} of {_mega(self.total)} MB, {_mega(rate)} MB/s"
        left = max(0, self.total - self.bytes)
        return f"{share}, {_clock_time(left / rate)} to go" if rate else share


def _mega(size: float) -> str:
    return f"{size / 1e6:.1f}"


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
