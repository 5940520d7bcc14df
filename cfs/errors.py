"""Errors of the cache itself.

Refusals by the file server are ``ninep.protocol.errors`` and pass through unchanged.

``CfsError``

* ``CacheInUse``: another process has the directory.
* ``NotACache``: the directory holds something else, and is left alone.
* ``BadBound``: the byte bound is too small to be of use.
* ``NoCache``: what answers at an address is not one of these.

``ninep.protocol.errors.FileError``: refusals of our own, in words that Linux knows.

* ``ServerGone``: the file server cannot be reached.

  * ``Interrupted``: it went away in the middle of a request that must not be repeated.

* ``StaleFile``: the link was lost, and what is there now is not the same file.
* ``ProofLost``: the link was lost, and with it the proof of who the client is. This one says what to do, as the
  Linux kernel never authenticates.
"""

from __future__ import annotations

import errno
from pathlib import Path

from ninep.protocol.errors import FileError


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


class NoCache(CfsError):
    """The server has no statistics file, so it is no cache."""

    def __init__(self) -> None:
        super().__init__("what answers there is no cfs: say with -a where the cache serves")


class ServerGone(FileError):
    """The file server cannot be reached; the client may try again. The log has the reason."""

    text, errno = "Host is down", errno.EHOSTDOWN


class Interrupted(ServerGone):
    """The link broke before the answer came. Whether the request took effect is unknown, so it is not repeated."""

    text, errno = "Connection reset by peer", errno.ECONNRESET


class StaleFile(FileError):
    """The file that a fid stood for is not where it was any more."""

    text, errno = "file has been removed", errno.ESTALE


class ProofLost(FileError):
    """The link was lost on which the client had proven who it is. Only the client can do so again: it has the keys."""

    text = "authentication was lost with the link to the file server: authenticate and attach again"
    errno = errno.ENOKEY
