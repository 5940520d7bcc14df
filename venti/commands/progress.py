"""One line on a terminal that tells how far long work is."""

from __future__ import annotations

import sys
import time

EVERY = 0.1
"""Seconds between two versions of the line."""


class ProgressLine:
    """Shows numbers of files and bytes on standard error if that is a terminal; a context manager."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._next = 0.0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and self._next:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def show(self, files: int, size: int) -> None:
        """Shows them, unless it did so just now."""
        if not self._shown:
            return
        now = time.monotonic()
        if now >= self._next:
            self._next = now + EVERY
            print(f"\r\x1b[K{files} files, {size / 1e6:.1f} MB", end="", file=sys.stderr, flush=True)
