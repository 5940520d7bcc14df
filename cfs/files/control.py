"""The file ``cfsctl`` at the root of every attach: read it for statistics, write to it to pin. Source: cfs(4).

It is found by its name and not listed. Each open takes a sample and gives the file a new version. A client on this
machine may write commands to it, one a line::

    pin PATH
    unpin PATH

A path starts at the root of the attach.
"""

from __future__ import annotations

from cfs.files.cache import Cache
from cfs.statistics import FILE
from ninep.protocol.errors import FileError, NotDirectory, PermissionDenied
from ninep.protocol.permissions import writable
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat
from ninep.server.files import File
from ninep.wire.dialect import Buffer

PATH = 0xFFFFFFFF_63667363
"""Of its qid; no file server counts so far."""


class Control(File):
    """One fid for it."""

    def __init__(self, cache: Cache, aname: str, *, local: bool) -> None:
        self._cache = cache
        self._aname = aname
        self._local = local
        self._text = b""

    @property
    def qid(self) -> Qid:
        """A new version after each open."""
        return Qid(0, self._cache.samples, PATH)

    def clone(self) -> File:
        """Another view."""
        return Control(self._cache, self._aname, local=self._local)

    def step(self, name: str) -> File:
        """It is no directory."""
        raise NotDirectory

    def open(self, mode: int) -> None:
        """Takes a sample. Only clients on this machine may write."""
        if writable(mode) and not self._local:
            raise PermissionDenied
        self._text = self._cache.statistics().encode()

    def read(self, offset: int, count: int) -> Buffer:
        """The sample of the open."""
        return self._text[offset : offset + count]

    def write(self, offset: int, data: Buffer) -> int:
        """Does what the lines say."""
        try:
            lines = bytes(data).decode().splitlines()
        except UnicodeDecodeError as error:
            raise FileError("cfsctl: commands are UTF-8") from error
        for line in lines:
            word, _, path = line.partition(" ")
            path = "/".join(name for name in path.split("/") if name)
            if word == "pin":
                self._cache.pins.add(self._aname, path)
            elif word == "unpin":
                if not self._cache.pins.remove(self._aname, path):
                    raise FileError(f"cfsctl: {path or '/'} is not pinned")
            elif word:
                raise FileError(f"cfsctl: unknown command {word!r}: write pin PATH or unpin PATH")
        return len(data)

    def stat(self) -> Stat:
        """Readable by all."""
        return Stat(0, 0, self.qid, 0o644, 0, 0, 0, FILE, "cfs", "cfs", "cfs")
