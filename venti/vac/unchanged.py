"""Decides which files are unchanged since an older archive, without reading them. Source: vac(1), options -d and -q."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from venti.vac.direntry import DirEntry
from venti.vac.reader import VacFile

Unchanged: TypeAlias = Callable[[VacFile, DirEntry, int], bool]
"""Whether a plain file of an older archive is the local one with these attributes and this size in bytes."""


def by_change(old: VacFile, info: DirEntry, size: int) -> bool:
    """Times of the last change of contents and of attributes are equal, and so is the size.

    Nothing can change a file without changing the latter time. An archive does not hold it of files that had changed
    just before they were read (see ``local.YOUNG``), because in one second a file can change twice.
    """
    return bool(old.info.ctime) and (old.info.mtime, old.info.ctime, old.size) == (info.mtime, info.ctime, size)


def by_time(old: VacFile, info: DirEntry, size: int) -> bool:
    """Time of the last change of contents, which any program can set, and size are equal."""
    return (old.info.mtime, old.size) == (info.mtime, size)


def never(old: VacFile, info: DirEntry, size: int) -> bool:
    """Every file is read."""
    del old, info, size
    return False
