"""Reserves disk space for the operations that free more of it."""

from __future__ import annotations

import os
from pathlib import Path

from fossil.data.disk import DiskFile
from ninep.protocol.attributes import Statfs
from ninep.protocol.errors import FileSystemFull

KEPT = 16 * 1024 * 1024
"""Bytes of the disk, at most a fiftieth of it, that are kept free of data, so that files can be removed."""
UNCHECKED = 1024 * 1024
"""Bytes that are taken before the disk is asked again how much is left."""


class Room:
    """What is left on the disk of a file, and of the directory that it is in."""

    def __init__(self, file: DiskFile, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self._unchecked = UNCHECKED

    def take(self, size: int, *, full: bool = False) -> None:
        """About ``size`` bytes are going to be taken; ``full``: the disk has said already that it is.

        Raises:
            FileSystemFull: they must not be.
        """
        self._unchecked += size
        if self._unchecked < UNCHECKED and not full:
            return
        free, total = self._file.room()
        if full or free < min(KEPT, total // 50):
            raise FileSystemFull
        self._unchecked = 0

    def statfs(self) -> Statfs:
        """What the disk has, without what is kept."""
        found = os.statvfs(self._folder)
        reserved = min(KEPT // found.f_frsize, found.f_blocks // 50)
        return Statfs(
            bsize=found.f_frsize,
            blocks=found.f_blocks,
            bfree=found.f_bfree,
            bavail=max(found.f_bavail - reserved, 0),
            files=found.f_files,
            ffree=found.f_favail,
        )
