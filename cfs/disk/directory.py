"""The directory of a cache: who may use it, and what may be removed from it.

The file ``lock`` marks a directory as a cache. It is locked (flock) by the process whose number is in it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cfs.disk.layout import INDEX, LOCK, segment_number
from cfs.errors import CacheInUse, NotACache
from ninep.disk import AlreadyLocked, LockFile, make_folders, sync_folder


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
        make_folders(path, 0o700)
        fresh = not (path / LOCK).exists()
        if fresh and any(path.iterdir()):
            raise NotACache(path)
        try:
            self._lock = LockFile(path / LOCK)
        except AlreadyLocked as error:
            raise CacheInUse(path, error.holder) from error
        self._lock.note()
        if fresh:
            # What marks the directory is on the disk before anything else of it.
            sync_folder(path)

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
        self._lock.release()
