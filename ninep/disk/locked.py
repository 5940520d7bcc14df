"""A lock file: the process that holds its lock (flock) owns the directory; the content names that process."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from ninep.disk.positioned import pwrite_all


class AlreadyLocked(BlockingIOError):
    """Another process has it.

    Attributes:
        holder: its number, None where the file does not tell of one that lives: readers do not write theirs.
    """

    def __init__(self, path: Path, holder: int | None) -> None:
        super().__init__(f"{path} is locked by {'another process' if holder is None else f'process {holder}'}")
        self.holder = holder


class LockFile:
    """A lock that this process holds until ``release``, or until it ends."""

    def __init__(self, path: str | Path, *, shared: bool = False, make: bool = True) -> None:
        """Locks the file without waiting.

        ``shared``: others may share it at the same time, nobody may have it alone. ``make``: makes the file where
        there is none.

        Raises:
            AlreadyLocked: another process has it, or a descriptor of this one.
            OSError: it cannot be opened.
        """
        path = Path(path)
        flags = os.O_RDONLY if shared and not make else os.O_RDWR | (os.O_CREAT if make else 0)
        self._descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        self._noted = False
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(self._descriptor)
            os.close(self._descriptor)
            raise AlreadyLocked(path, holder) from error
        except BaseException:
            os.close(self._descriptor)
            raise

    def note(self) -> None:
        """Writes the number of this process into the file, for messages; a disk that refuses is no matter."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            self._noted = True
            pwrite_all(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Unlocks it, and takes the number out; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if self._noted:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
        os.close(descriptor)


def _holder(descriptor: int) -> int | None:
    """Whoever wrote its number into the lock, if it lives."""
    number = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
    return int(number) if number.isdecimal() and Path("/proc", number).exists() else None
