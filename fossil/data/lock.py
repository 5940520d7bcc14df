"""Locks a data directory for one process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fossil.errors import DataInUse, NoDataDirectory
from ninep.disk import AlreadyLocked, LockFile, make_folders

_OURS = frozenset(
    ("metadata", "data", "redo", "lock", "venti", "srv", "console", "metadata-head", "settled", "spare", "lost+found")
)
"""What a data directory has; what begins with ``metadata`` is the database and its files."""


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


def check_free(folder: Path) -> None:
    """Raises ``NoDataDirectory`` where something else is kept: a file system is not strewn among it."""
    try:
        names = set(os.listdir(folder))
    except OSError:
        # Not there, or whoever makes the file system in it will say what is wrong.
        return
    others = sorted(names - _OURS)
    if others and "metadata" not in names:
        some = ", ".join(others[:3]) + (" ..." if len(others) > 3 else "")
        raise NoDataDirectory(
            f"{folder} holds other files ({some}) and no file system: name an empty directory with --data, or a new one"
        )
