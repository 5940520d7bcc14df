"""Replaces a file so that after a crash it has the old content or the new, never a mixture."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ninep.disk.folders import sync_folder
from ninep.disk.positioned import Data, pwrite_all

SUFFIX = ".new"
"""Of the file that is written beside the old one; one that a crash left is written over."""


def replace_file(path: str | Path, data: Data, *, mode: int = 0o600) -> None:
    """Puts ``data`` in the place of what the file holds, or makes it; durable when it returns.

    One caller at a time for a file. After an error the old file is there as it was. ``mode`` is of a file that is new,
    before the umask; one that is replaced keeps its own.
    """
    path = Path(path)
    kept: int | None = None
    with suppress(FileNotFoundError):
        kept = path.stat().st_mode & 0o7777
    new = path.with_name(path.name + SUFFIX)
    with suppress(FileNotFoundError):
        new.unlink()
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            if kept is not None:
                os.fchmod(descriptor, kept)
            pwrite_all(descriptor, data, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
    sync_folder(path.parent)
