"""The directory of a cache: who may use it, and what may be removed from it.

The file ``lock`` marks a directory as a cache. It is locked (flock) by the process whose number is in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from cfs.errors import CacheInUse, NotACache
from cfs.layout import INDEX, LOCK, segment_number


class Directory:
    """A cache directory that is ours until ``release``."""

    def __init__(self, path: Path) -> None:
        """Makes the directory where there is none, for its owner alone, and locks it.

        Raises:
            CacheInUse: another process has it.
            NotACache: it holds something else.
            OSError: it can't be made or read.
        """
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (path / LOCK).exists() and any(path.iterdir()):
            raise NotACache(path)
        self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            text = os.pread(self._lock, 32, 0).strip()
            os.close(self._lock)
            if not isinstance(error, BlockingIOError):
                raise
            raise CacheInUse(path, int(text) if text.isdigit() else None) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)

    @property
    def empty(self) -> bool:
        """Whether there is no index, so that a cache is to be made."""
        return not (self.path / INDEX).exists()

    def wipe(self) -> None:
        """Removes the files of the cache and no others."""
        for entry in list(os.scandir(self.path)):
            if entry.name.startswith(INDEX) or segment_number(entry.name) is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.path)

    def release(self) -> None:
        """Unlocks the directory; a second call does nothing."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
