"""An open directory of the mount: it reads only as far as the kernel asks, so an endless one takes little memory."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import trio

from ninep.client.remote import RemoteFile
from ninep.mount import requests
from ninep.mount.nodes import KernelNode, Use
from ninep.net.errors import Malformed
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.codec_linux import unpack_entries
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat, unpack_directory

log = logging.getLogger(__name__)

LONGEST = 1024
"""Bytes of a name that FUSE takes."""


class Listed(NamedTuple):
    """A name in a directory, and the qid that the directory tells of it."""

    name: str
    qid: Qid


class Listing:
    """One opendir(3). Positions count its names from 0.

    Names are kept from the position that was asked for last. Whoever goes back further, as rewinddir(3) does, has the
    directory read again.

    Attributes:
        node: the directory.
    """

    def __init__(self, node: KernelNode, use: Callable[[KernelNode], Use]) -> None:
        """``use`` gives the fid of a node."""
        self.node = node
        self._use = use
        self._file: RemoteFile | None = None
        self._names: deque[Listed] = deque()
        self._first = 0
        self._cookie = 0
        self._ended = self._complained = False
        self._lock = trio.Lock()

    async def open(self) -> None:
        """Opens the directory, from its start. Raises ``FileError``, ``WireError``."""
        await self.close()
        async with self._use(self.node) as file:
            self._file = await requests.opened(file, os.O_RDONLY | os.O_DIRECTORY)
        self._names.clear()
        self._first = self._cookie = 0
        self._ended = False

    async def close(self) -> None:
        """Gives its fid up."""
        file, self._file = self._file, None
        if file is not None:
            await file.leave()

    async def names(self, start: int, most: int) -> list[Listed]:
        """At most ``most`` names from position ``start`` on; none at the end."""
        async with self._lock:
            if self._file is None or self._file.connection.lost is not None or start < self._first:
                await self.open()
            while True:
                while self._names and self._first < start:
                    self._names.popleft()
                    self._first += 1
                if self._ended or self._first + len(self._names) >= start + most:
                    break
                await self._more()
            return list(islice(self._names, most)) if self._first == start else []

    async def _more(self) -> None:
        """Reads one message more."""
        assert self._file is not None
        connection, fid = self._file.connection, self._file.fid
        before = self._cookie
        if connection.version == lm.VERSION:
            reply = await connection.ask(lm.Treaddir(fid, before, connection.iounit))
            entries = unpack_entries(reply.data)
            found = [Listed(name, qid) for qid, _, _, name in entries]
            self._cookie = entries[-1][1] if entries else before
        else:
            data = await self._file.read(before, connection.iounit)
            unpack = Stat.unpack if connection.version == m.VERSION else Stat.unpack_unix
            found = [Listed(stat.name, stat.qid) for stat in unpack_directory(data, unpack)]
            self._cookie = before + len(data)
        if not found:
            self._ended = True
        elif self._cookie == before:
            raise Malformed("a directory goes on from where it was")
        self._names += [one for one in found if self._is_name(one.name)]

    def _is_name(self, name: str) -> bool:
        """Whether the kernel takes it: one that it does not take would cost all others of the directory."""
        if name in (".", ".."):
            return False
        try:
            fine = 0 < len(os.fsencode(name)) <= LONGEST and "/" not in name and "\0" not in name
        except UnicodeError:
            fine = False
        if not fine and not self._complained:
            self._complained = True
            log.warning("the server lists a name that no file can have here, which is left out: %.200r", name)
        return fine
