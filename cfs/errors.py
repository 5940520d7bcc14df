"""What can go wrong in the cache itself. Refusals by the file server are ``ninep.errors`` and pass through unchanged.

``CfsError``

* ``CacheInUse``: another process has the directory.
* ``NotACache``: the directory holds something else, and is left alone.
* ``BadBound``: the byte bound is too small to be of use.
"""

from __future__ import annotations

from pathlib import Path


class CfsError(Exception):
    """Anything that keeps the cache from working; the text says what to do next."""


class CacheInUse(CfsError):
    """Another process, ``pid`` if known, has the cache directory."""

    def __init__(self, directory: Path, pid: int | None) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"cache directory {directory} is in use by {who}: stop it, or name another with --cache")
        self.pid = pid


class NotACache(CfsError):
    """The directory has files in it and none of them says that it is a cache."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"{directory} holds files that are no cache: name an empty or a new directory with --cache")


class BadBound(CfsError):
    """A bound below the least that the cache can work with."""

    def __init__(self, size: int, least: int) -> None:
        super().__init__(f"a cache of {size} bytes is too small: give at least {least}")
