"""Opens the directory of a cache: keeps what is sound, recreates what is not, and logs why."""

from __future__ import annotations

import logging
import sqlite3
from typing import TypeAlias

from cfs.disk.directory import Directory
from cfs.disk.index import Index, Unusable
from cfs.disk.layout import segment_size
from cfs.disk.segments import Files, Segments

log = logging.getLogger(__name__)


Opened: TypeAlias = tuple[Index, Segments]
"""An index, and what fills the segments according to it."""


def open_cache(directory: Directory, files: Files, bound: int, server: str) -> Opened:
    """Takes up what the directory holds of ``server``, or begins an empty cache.

    Raises:
        OSError: neither can be done.
    """
    if directory.empty:
        return make_cache(directory, files, bound, server, 0)
    try:
        index = Index(directory.path, bound)
    except sqlite3.Error as error:
        return remake_cache(directory, files, bound, server, 0, f"its index is damaged: {error}")
    try:
        return _take_up(index, files, bound, server)
    except (Unusable, sqlite3.Error) as error:
        index.close(clean=False)
        foreign = isinstance(error, Unusable) and error.foreign
        reason = f"name mismatch: {error}" if foreign else str(error)
        return remake_cache(directory, files, bound, server, 0, reason)
    except BaseException:
        index.close(clean=False)
        raise


def remake_cache(directory: Directory, files: Files, bound: int, server: str, last: int, reason: str) -> Opened:
    """Begins an empty cache in place of one that is of no use, and says why; see ``make_cache``."""
    log.warning("cache %s: %s; made anew", directory.path, reason)
    files.close()
    directory.wipe()
    return make_cache(directory, files, bound, server, last)


def make_cache(directory: Directory, files: Files, bound: int, server: str, last: int) -> Opened:
    """Begins an empty cache; its segments are numbered after ``last``.

    Raises:
        OSError: it can't be written.
    """
    try:
        index = Index(directory.path, bound)
        try:
            index.create(server)
            index.check(server)
        except BaseException:
            index.close(clean=False)
            raise
    except (Unusable, sqlite3.Error) as error:
        raise OSError(f"no cache can be made in {directory.path}: {error}") from error
    return index, Segments(segment_size(bound), last, punching=files.can_punch())


def _take_up(index: Index, files: Files, bound: int, server: str) -> Opened:
    clean = index.check(server)
    filling = index.filling()
    numbers = files.numbers()
    last = max((0, *numbers, *(segment for segment, _ in filling)))
    segments = Segments(segment_size(bound), last, punching=files.can_punch())
    for segment, size in filling:
        segments.known(segment, size)
    for number in set(numbers) - {segment for segment, _ in filling}:
        files.remove(number)
    if not clean:
        files.punch_between(index.places())
    return index, segments
