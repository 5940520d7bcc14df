"""All disk access of a store's arenas: reads, writes, syncs. Tests replace it to simulate crashes.

``ArenaFolder`` and ``ArenaFile`` are what the store asks for; ``OsFolder`` gives it from a directory. Tests give it
from memory, where writes and syncs are recorded, lost and torn.

Methods raise ``OSError``. They wait for the disk, except where the name says otherwise; a thread may call them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from ninep.disk import PositionedFile, sync_folder
from ninep.wire.dialect import Buffer

READ_ONLY = 0o400
"""Mode of a file that never changes again."""


class ArenaFile(Protocol):
    """One arena's bytes."""

    def read(self, size: int, offset: int) -> bytes:
        """``size`` bytes, fewer only where the file ends."""
        ...

    def read_nowait(self, buffer: bytearray, offset: int) -> int:
        """Fills ``buffer`` as far as memory has it, without waiting; returns how many bytes that are.

        Raises:
            BlockingIOError: the disk would have to be asked.
            OSError: EOPNOTSUPP and the like: this file can only be waited for.
        """
        ...

    def write(self, pieces: Sequence[Buffer], offset: int) -> None:
        """Hands all the pieces to the system, one behind the other; after an error any part of them may be there."""
        ...

    def sync(self) -> None:
        """Returns when everything written is on stable storage."""
        ...

    def truncate(self, size: int) -> None:
        """Cuts the file."""
        ...

    def size(self) -> int:
        """Bytes in the file."""
        ...

    def duplicate(self) -> ArenaFile:
        """The same file, to be closed on its own: for a thread that must not lose it."""
        ...

    def close(self) -> None:
        """Gives it back to the system; says nothing about stable storage."""
        ...


class ArenaFolder(Protocol):
    """The directory of the arenas."""

    def names(self) -> list[str]:
        """What there is."""
        ...

    def create(self, name: str) -> ArenaFile:
        """An empty file that was not there before, to be written."""
        ...

    def open(self, name: str, *, writable: bool) -> ArenaFile:
        """A file that is there."""
        ...

    def remove(self, name: str) -> None:
        """Only for a file whose creation failed."""
        ...

    def writable(self, name: str) -> AbstractContextManager[ArenaFile]:
        """A file that may be protected, open for writing; it is protected again afterwards."""
        ...

    def protect(self, name: str) -> None:
        """Nobody may write this file any more."""
        ...

    def protected(self, name: str) -> bool:
        """Whether nobody may write this file."""
        ...

    def sync(self) -> None:
        """Returns when names that were made or removed are on stable storage."""
        ...

    def free(self) -> int:
        """Bytes that the disk has left for us."""
        ...

    def where(self, name: str) -> str:
        """What to call a file in a message."""
        ...


class OsFolder:
    """An ``ArenaFolder`` that is a directory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        """See ``ArenaFolder``."""
        return os.listdir(self._path)

    def create(self, name: str) -> PositionedFile:
        """See ``ArenaFolder``."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        return PositionedFile.open(self._path / name, flags)

    def open(self, name: str, *, writable: bool) -> PositionedFile:
        """See ``ArenaFolder``."""
        return PositionedFile.open(self._path / name, os.O_RDWR if writable else os.O_RDONLY)

    def remove(self, name: str) -> None:
        """See ``ArenaFolder``."""
        (self._path / name).unlink(missing_ok=True)

    @contextmanager
    def writable(self, name: str) -> Iterator[PositionedFile]:
        """See ``ArenaFolder``."""
        path = self._path / name
        mode = path.stat().st_mode & 0o7777
        path.chmod(mode | 0o600)
        try:
            file = self.open(name, writable=True)
            try:
                yield file
            finally:
                file.close()
        finally:
            path.chmod(mode)

    def protect(self, name: str) -> None:
        """See ``ArenaFolder``. On a disk without modes nothing is lost but this safeguard."""
        with suppress(OSError):
            (self._path / name).chmod(READ_ONLY)

    def protected(self, name: str) -> bool:
        """See ``ArenaFolder``."""
        return not (self._path / name).stat().st_mode & 0o222

    def sync(self) -> None:
        """See ``ArenaFolder``."""
        sync_folder(self._path)

    def free(self) -> int:
        """See ``ArenaFolder``."""
        status = os.statvfs(self._path)
        return status.f_bavail * status.f_frsize

    def where(self, name: str) -> str:
        """See ``ArenaFolder``."""
        return str(self._path / name)


def numbers(folder: ArenaFolder) -> list[int]:
    """The arenas that there are."""
    names = (name.removesuffix(".arena") for name in folder.names() if name.endswith(".arena"))
    return sorted(int(name) for name in names if name.isdecimal())
