"""The redo log on disk: one file of fixed size, so that it can be written even on a full disk.

A group is one ``pwrite`` into room that the file has already. The operating system keeps it when the process is killed;
it is not for surviving a loss of power, and nothing of it is ever synced. While the database takes over what one half
has, groups go to the other.
"""

from __future__ import annotations

import os
from pathlib import Path

from fossil.metadata import redo
from fossil.metadata.settled import boot

SIZE = 2 * redo.HALF
"""Bytes of the file."""


class RedoLog:
    """The groups of one generation, one after the other from the start of one half of the file.

    Attributes:
        end: where the next one goes.
    """

    def __init__(self, path: Path) -> None:
        """Makes one, or begins with what is there, which is of older generations. Raises OSError."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(self._descriptor, 0, SIZE)
            os.pwrite(self._descriptor, redo.header(boot()), 0)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._start = self.end = redo.HEADER
        self._limit = redo.HALF

    def append(self, group: bytes) -> bool:
        """Hands a group to the operating system; False if that could not be done, and the group is not there."""
        end = self.end + len(group)
        if end > self._limit:
            return False
        try:
            whole = os.pwrite(self._descriptor, group, self.end) == len(group)
        except OSError:
            return False
        if whole:
            self.end = end
        return whole

    def restart(self) -> None:
        """What is in it is of an older generation now and will be written over."""
        self.end = self._start

    def turn(self) -> None:
        """The next group begins the other half. What is there is of an older generation."""
        self._start, self._limit = (redo.HEADER, redo.HALF) if self._start == redo.HALF else (redo.HALF, SIZE)
        self.end = self._start

    def close(self) -> None:
        """Releases the file."""
        os.close(self._descriptor)
