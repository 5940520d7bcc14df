"""Shows the progress of a long command as one line, if standard error is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ninep.copy.transfer import Progress

INTERVAL = 0.1
"""Seconds between two changes of the line."""


@contextmanager
def status_line(what: str) -> Iterator[Callable[[Progress], None]]:
    """A function to be told of progress. Where standard error is no terminal nothing is shown."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    begun = time.monotonic()
    with Console(stderr=True).status(what) as line:
        shown = begun

        def report(done: Progress) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown >= INTERVAL:
                shown = now
                rate = done.size / 1e6 / (now - begun)
                line.update(f"{what}: {done.files} files, {done.size / 1e6:.1f} MB, {rate:.1f} MB/s")

        yield report
