"""Room that is kept for the moment in which the disk is full: without any, not even removing would be possible.

It is given up when the database finds no room for a change, and when a file system is opened on a disk that has none;
then the write-ahead log has it. It is taken again when there is room.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ninep.disk import PositionedFile, has_space

NAME = "spare"
SIZE = 1024 * 1024
"""Bytes: the write-ahead log of some 80 removed files, and SQLite's index of it."""


class Spare:
    """The file that takes the room, in the data directory."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def take(self) -> None:
        """Takes the room, where the disk has four times as much; otherwise nothing happens."""
        with suppress(OSError):
            if self._path.exists() or not has_space(self._path.parent, 4 * SIZE):
                return
            file = PositionedFile.open(self._path, os.O_RDWR | os.O_CREAT)
            try:
                # Where room cannot be taken beforehand a file of zeros would be as good as none.
                taken = file.reserve(0, SIZE)
            except OSError:
                taken = False
            finally:
                file.close()
            if not taken:
                self._path.unlink()

    def give_up(self) -> bool:
        """Gives the room to whoever wants it; whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def give_up_if_full(self) -> None:
        """The same before a file system is opened, if the disk has no room for that."""
        with suppress(OSError):
            if not has_space(self._path.parent, SIZE):
                self.give_up()
