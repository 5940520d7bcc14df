"""A data directory belongs to one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fossil.errors import DataInUse, NoDataDirectory
from ninep.disk import AlreadyLocked, LockFile, make_folders


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Has the directory, which is made if it is not there, for this process alone; the end of it frees it in any case.

    Raises:
        DataInUse: another process has it.
        NoDataDirectory: it cannot be made, or not be written to.
    """
    try:
        make_folders(folder, 0o700)
        lock = LockFile(folder / "lock")
    except AlreadyLocked as error:
        raise DataInUse(f"{folder} is in use by another process: stop it, or choose another --data") from error
    except OSError as error:
        raise NoDataDirectory(
            f"cannot have a file system in {folder}: {error.strerror} for "
            f"{os.path.abspath(error.filename or folder)}: see to that, or choose another --data"
        ) from error
    try:
        yield
    finally:
        lock.release()
