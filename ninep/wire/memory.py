"""Keeps the memory of large messages for the next ones, so that the kernel need not clear it again.

By default the allocator of glibc gives every large buffer back to the kernel, which fills it with zeros when it is
wanted again, page by page: for messages from 64 KiB on that costs more than all that is done with them. Source:
mallopt(3).
"""

from __future__ import annotations

import ctypes

KEPT = 32 << 20
"""Most bytes at the end of the heap that are free and yet kept."""
LARGE = 4 << 20
"""Buffers up to this size come from the heap. The largest messages have 1 MiB."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_freed() -> bool:
    """Sets it for this process, where the C library can do that; for programs, not for libraries in those of others."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, KEPT) and mallopt(_MMAP_THRESHOLD, LARGE))
