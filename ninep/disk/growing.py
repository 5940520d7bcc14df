"""A bound on how far to read a file that may grow meanwhile, or whose length is unknown."""

from __future__ import annotations

import os

PROBE = 64 * 1024
"""Bytes asked for where there should be none: mostly there are none."""


class ReadBound:
    """What is read of a file from its start: all that it had when it was opened, and an end to it.

    A file that grows while it is read is read as far as it went before, so that a reader who makes it grow, such as an
    archive of its own store, comes to an end. A file that tells no length, or a wrong one, as those of ``/proc`` and of
    other file systems that are made by programs, is read until nothing comes.
    """

    def __init__(self, descriptor: int) -> None:
        """Raises OSError."""
        self._descriptor = descriptor
        self._end = os.fstat(descriptor).st_size

    def next(self, done: int, most: int) -> int:
        """How many bytes to ask for after the first ``done``, at most ``most``; 0 if what comes is not to be read.

        Raises OSError.
        """
        if done >= self._end:
            size = os.fstat(self._descriptor).st_size
            if size <= self._end:
                return min(most, PROBE)
            if self._end:
                return 0
            # It was empty. What it has by now counts as what it had.
            self._end = size
        return max(0, min(most, self._end - done))
