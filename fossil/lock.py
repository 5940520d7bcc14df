"""A data directory belongs to one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fossil.errors import DataInUse, NoDataDirectory


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Has the directory, which is made if it is not there, for this process alone; the end of it frees it in any case.

    Raises:
        DataInUse: another process has it.
        NoDataDirectory: it cannot be made, or not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NoDataDirectory(
            f"cannot have a file system in {folder}: {error.strerror}: choose another --data, or see to the rights of "
            f"{folder.parent}"
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataInUse(f"{folder} is in use by another process: stop it, or choose another --data") from error
        yield
    finally:
        os.close(lock)
