"""A file server's trees as they look through the cache: a ``FileTree`` in front of a ``FileTree``.

Everything but the reading of plain files goes through: walks, directories, attributes, changes, and refusals word for
word. What is kept of a file belongs to its version, and the version is asked for in one go with every open, so that
an open sees all that was written before it, by whomever. Writes go to the file server first and are answered after it
has answered. A version is never guessed: a file that was written to through the cache is forgotten, and its opens read
past the cache until a later open has learned what it has become.

Not kept: append-only, exclusive-use and authentication files; files of length 0, which on many servers are devices;
files of version 0, which on many servers means that there are no versions.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from types import CoroutineType
from typing import Any

import trio

from cfs.cache import Cache
from cfs.layout import Version
from cfs.reader import Reader
from cfs.upstream import Upstream, asked, passed
from ninep.errors import FileError, InputOutput
from ninep.files import File, FileTree, Walked
from ninep.messages import OTRUNC, Tread, Tstat, Twrite
from ninep.permissions import readable, writable
from ninep.qid import QTDIR, Qid
from ninep.remote import RemoteFile
from ninep.stat import NO64, Stat, unpack_directory
from ninep.wire import Malformed
from ninep.wire.dialect import Buffer, Maybe


class CachedTree(FileTree):
    """What one client sees."""

    def __init__(self, cache: Cache, upstream: Upstream) -> None:
        self.cache = cache
        self.upstream = upstream

    async def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        """Attaches at the file server, as the same user; dials it if need be."""
        connection = await passed(self.upstream.connection())
        return CachedFile(self, aname, await passed(connection.attach(uname, aname)))


class CachedFile(File):
    """One view of a place on the file server."""

    def __init__(self, tree: CachedTree, aname: str, remote: RemoteFile) -> None:
        self._tree = tree
        self._aname = aname
        self._remote: RemoteFile | None = remote
        self._reader: Reader | None = None
        self._written = False
        self._offset = 0
        self.qid: Qid = remote.qid

    @property
    def remote(self) -> RemoteFile:
        """The fid at the file server."""
        assert self._remote is not None
        return self._remote

    async def clone(self) -> File:
        """Another fid at the file server."""
        return CachedFile(self._tree, self._aname, await passed(self.remote.walk(())))

    async def walk(self, names: Sequence[str]) -> Walked:
        """One walk at the file server."""
        qids, remote = await passed(self.remote.walk_far(names))
        return Walked(qids, None if remote is None else CachedFile(self._tree, self._aname, remote))

    async def open(self, mode: int) -> None:
        """Opens at the file server, and learns in the same go what version that is of a file that will be read."""
        remote = self.remote
        if mode & OTRUNC:
            self._forget()
        if remote.qid.type or mode & OTRUNC or not readable(mode):
            await passed(remote.open(mode))
        else:
            stat = await self._open_with_stat(remote, mode)
            if stat is not None and stat.length and stat.qid.version:
                self._reader = self._read_through(remote, stat)
        if mode & OTRUNC:
            self._forget()
        self._opened(remote, mode)

    async def _open_with_stat(self, remote: RemoteFile, mode: int) -> Stat | None:
        """The attributes of the version that was opened, if the file server gives them."""
        # Sent first, answered first: a change in between shows in the qid that the open returns.
        stat = asked(remote.connection, Tstat(remote.fid))
        try:
            await passed(remote.open(mode))
        except BaseException:
            stat.close()
            raise
        # From here on the file is open there; giving up now would leave it so and the client believing it is not.
        with trio.CancelScope(shield=True):
            try:
                found: Stat = (await stat).stat
                return found if found.qid == remote.qid else await passed(remote.stat())
            except FileError:
                pass
        return None

    def _read_through(self, remote: RemoteFile, stat: Stat) -> Reader:
        held = self._tree.cache.store.file(self._aname, stat.qid.path, _version(stat))
        return Reader(self._tree.cache, held, remote, self._tree.upstream.nursery)

    def _opened(self, remote: RemoteFile, mode: int) -> None:
        self.qid = remote.qid
        self._written = writable(mode)
        # What is read through the cache may come in larger pieces than the file server's.
        self.iounit = 0 if self._reader is not None or self.qid.type & QTDIR else remote.iounit

    async def create(self, name: str, perm: int, mode: int) -> File:
        """Creates at the file server; the fid of this directory becomes that of the new file."""
        remote = self.remote
        await passed(remote.create(name, perm, mode))
        made = CachedFile(self._tree, self._aname, remote)
        self._remote = None
        made._opened(remote, mode)
        return made

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        """From the cache as far as it goes, past it where the file is not kept."""
        reader = self._reader
        if reader is None or reader.held.dead:
            return self._read_past(offset, count)
        end = min(offset + count, reader.held.version.length)
        if offset >= end:
            return b""
        data = reader.read(offset, end)
        return passed(data) if isinstance(data, CoroutineType) else data

    def _read_past(self, offset: int, count: int) -> Coroutine[Any, Any, Buffer]:
        remote = self.remote
        unit = remote.iounit
        first = asked(remote.connection, Tread(remote.fid, offset, min(count, unit)))

        async def read() -> Buffer:
            data: Buffer = (await first).data
            if len(data) < unit or count <= unit or self._reader is None:
                return data
            # A file that was kept has promised its client larger pieces.
            return b"".join((data, await passed(remote.read_range(offset + unit, count - unit))))

        return read()

    def write(self, offset: int, data: Buffer) -> Coroutine[Any, Any, int]:
        """Writes at the file server. What is held of the file is of no use from then on."""
        remote = self.remote
        self._forget()
        view = memoryview(data)
        first = asked(remote.connection, Twrite(remote.fid, offset, view[: remote.iounit]))

        async def write() -> int:
            try:
                count: int = (await first).count
                if count < len(view) and count == remote.iounit and not self.qid.type:
                    await passed(remote.write_range(offset + count, view[count:]))
                    count = len(view)
                return count
            finally:
                # Somebody may have opened the file while the write was under way.
                self._forget()

        return write()

    async def list(self, rewind: bool) -> Sequence[Stat]:
        """One read of the directory."""
        if rewind:
            self._offset = 0
        remote = self.remote
        data = await passed(remote.read(self._offset, remote.iounit))
        self._offset += len(data)
        try:
            return unpack_directory(data)
        except Malformed as error:
            raise InputOutput(f"the file server sent a malformed directory: {error}") from error

    def stat(self) -> Coroutine[Any, Any, Stat]:
        """The file server's word. If the file has changed, an open one is not read from the cache any more."""
        remote = self.remote
        reply = asked(remote.connection, Tstat(remote.fid))

        async def stat() -> Stat:
            found: Stat = (await reply).stat
            if self._reader is not None and self._reader.held.version != _version(found):
                self._forget()
            return found

        return stat()

    async def wstat(self, changes: Stat) -> None:
        """Changes at the file server. A length may change there without a new version."""
        if changes.length != NO64:
            self._forget()
        try:
            await passed(self.remote.wstat(changes))
        finally:
            if changes.length != NO64:
                self._forget()

    async def remove(self) -> None:
        """Removes at the file server."""
        self._forget()
        await passed(self._parted().remove())

    def clunk(self) -> Maybe[None]:
        """Gives the fid up; where the answer could not tell the client anything, without waiting for it."""
        if self._remote is None:
            return None
        remote = self._parted()
        return passed(remote.clunk() if self._reader is None or self._written else remote.leave())

    def _parted(self) -> RemoteFile:
        remote, self._remote = self.remote, None
        if self._reader is not None:
            self._reader.close()
        return remote

    def _forget(self) -> None:
        self._tree.cache.store.drop(self._aname, self.qid.path)


def _version(stat: Stat) -> Version:
    return Version(stat.qid.version, stat.mtime, stat.length)
