"""A disk that remembers what was written when, so that any state can be made that a crash could leave.

``LoggedFile`` stands for the file of the data log. It keeps every write since the last sync; ``crashed`` gives the file
as it would be found: what was synced is there, and of each later write all, some of it, or nothing.
"""

from __future__ import annotations

import errno
import random
from pathlib import Path

from fossil.data.disk import DiskFile
from ninep.wire.dialect import Buffer


class LoggedFile(DiskFile):
    """A real file besides which everything is noted.

    Attributes:
        room_left: bytes that can still be written, or None for any number.
        failing: whether syncing fails.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.stable = bytearray(path.read_bytes())
        self.unsynced: list[tuple[int, bytes]] = []
        self.room_left: int | None = None
        self.failing = False

    def write(self, data: Buffer, place: int) -> None:
        if self.room_left is not None:
            if len(data) > self.room_left:
                # As a real disk does, some of it before the error.
                super().write(memoryview(data)[: self.room_left], place)
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room_left -= len(data)
        super().write(data, place)
        self.unsynced.append((place, bytes(data)))

    def reserve(self, place: int, count: int) -> bool:
        return self.room_left is None and super().reserve(place, count)

    def room(self) -> tuple[int, int]:
        return (1 << 40, 1 << 41) if self.room_left is None or self.room_left else (0, 1 << 41)

    def punch(self, place: int, count: int) -> None:
        super().punch(place, count)
        # What is given back is gone at once, however the machine ends.
        end = min(place + count, len(self.stable))
        if place < end:
            self.stable[place:end] = bytes(end - place)
        self.unsynced = [
            (at, data) for at, data in self.unsynced if not (place <= at and at + len(data) <= place + count)
        ]

    def sync(self) -> None:
        if self.failing:
            raise OSError(errno.EIO, "Input/output error")
        super().sync()
        for place, data in self.unsynced:
            _put(self.stable, place, data)
        self.unsynced.clear()

    def crashed(self, source: random.Random) -> bytes:
        """The content after a loss of power: later writes came to the disk in any order, whole, torn, or not."""
        content = bytearray(self.stable)
        for place, data in source.sample(self.unsynced, len(self.unsynced)):
            fate = source.choice(("whole", "torn", "lost"))
            if fate == "whole":
                _put(content, place, data)
            elif fate == "torn":
                cut = source.randrange(0, len(data), 512) if len(data) > 512 else 0
                _put(content, place, data[:cut] + bytes(len(data) - cut) if source.random() < 0.5 else data[:cut])
        return bytes(content)


def _put(content: bytearray, place: int, data: bytes) -> None:
    if len(content) < place:
        content.extend(bytes(place - len(content)))
    content[place : place + len(data)] = data
