"""Directories whose names survive a loss of power: a name is durable when the directory that it is in was synced."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: str | Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(folder: str | Path, mode: int = 0o777) -> None:
    """Makes a directory and those above it that are missing, durably; one that is there already is left as it is.

    ``mode`` is of ``folder`` itself, before the umask; those above it get 0777, as with ``Path.mkdir``.
    """
    path = Path(folder)
    try:
        path.mkdir(mode)
    except FileNotFoundError:
        make_folders(path.parent)
        path.mkdir(mode, exist_ok=True)
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    sync_folder(path.parent)
