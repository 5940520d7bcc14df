"""Tells a full disk, or a used-up quota, from other disk errors: it is temporary."""

from __future__ import annotations

import errno
import os
from pathlib import Path

FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
"""What a disk says that is full and not broken."""
_PROBE = 64 * 1024


def is_full(error: OSError) -> bool:
    """Whether an error says so."""
    return error.errno in FULL


def has_space(folder: str | Path, size: int) -> bool:
    """Whether the disk of a directory has so many bytes that this user may take, by what it tells of itself."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= size


def has_room(folder: str | Path) -> bool:
    """Whether a little can be written in a directory; for errors of libraries that do not tell what the system said."""
    try:
        descriptor = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, _PROBE)
        finally:
            os.close(descriptor)
    except OSError as error:
        return not is_full(error)
    return True
