"""A file on a server that speaks 9P2000.L. The methods of 9P2000 are there, too, and do what they say.

A directory entry does not come with a directory's listing here: ``list`` asks for each, many at a time, ``readdir``
does not.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ninep.client.remote import RemoteFile, check_length
from ninep.client.remote_methods import UnixMethods
from ninep.net.errors import Malformed
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.attributes import (
    SECOND,
    XATTR_REPLACE,
    Attributes,
    SetAttributes,
    Statfs,
    device_extension,
    device_numbers,
    plan9_mode,
)
from ninep.protocol.codec_linux import unpack_entries
from ninep.protocol.errors import (
    BadFidUse,
    FileError,
    FileNotFound,
    FileRemoved,
    NotDirectory,
    NotSupported,
    WstatProhibited,
)
from ninep.protocol.qid import QTDIR, QTSYMLINK, Qid
from ninep.protocol.stat import DMDEVICE, DMDIR, NO32, NO64, Stat, changed_at, listed_only, seconds, timed

if TYPE_CHECKING:
    from ninep.client.connection import Connection

log = logging.getLogger(__name__)

EVERYTHING = 0x3FFF
AT_ONCE = 64
"""Entries of a directory that are asked for at once."""
_FLAGS = (lm.L_RDONLY, lm.L_WRONLY, lm.L_RDWR, lm.L_RDONLY)


Stats: TypeAlias = list[Stat]
Names: TypeAlias = list[str]


class ListedEntry(NamedTuple):
    """What a listing tells of a file: ``kind`` is as ``d_type`` of Linux, 0 where the server does not say."""

    qid: Qid
    kind: int
    name: str


class LinuxFile(RemoteFile):
    """One fid; see ``RemoteFile``. An open directory has a second one, so that it can still be walked from."""

    __slots__ = ("_listing",)

    def __init__(self, connection: Connection, fid: int, qid: Qid, name: str = "") -> None:
        super().__init__(connection, fid, qid, name)
        self._listing: LinuxFile | None = None

    async def open(self, mode: int = m.OREAD) -> None:
        """Prepares for reading or writing. ORCLOSE is not known here."""
        if mode & m.ORCLOSE:
            raise NotSupported("9P2000.L does not remove on close")
        if self.qid.type & QTDIR:
            view = await self.walk([])
            assert isinstance(view, LinuxFile)
            try:
                self._opened(await self.connection.ask(lm.Tlopen(view.fid, _flags(mode) | lm.L_DIRECTORY)), mode)
            except BaseException:
                await view.leave()
                raise
            self._listing = view
            return
        self._opened(await self.connection.ask(lm.Tlopen(self.fid, _flags(mode))), mode)

    async def create(self, name: str, perm: int = 0o666, mode: int = m.OWRITE) -> None:
        """Makes ``name`` in this directory and becomes the new file, open. The server does not mask ``perm``."""
        check_length(name)
        if perm & DMDIR:
            await self.mkdir(name, perm & 0o777)
            made = await self.walk([name])
            self.connection.discard(self.fid)
            self.fid, self.qid, self.name = made.fid, made.qid, name
            made.fid = m.NOFID
            await self.open(mode)
            return
        flags = _flags(mode) | lm.L_CREATE | lm.L_EXCL
        await self._created(lm.Tlcreate(self.fid, name, flags, perm & 0o777, m.NOFID), mode)
        self.name = name

    async def getattr(self) -> Attributes:
        found: Attributes = (await self.connection.ask(lm.Tgetattr(self.fid, EVERYTHING))).attributes
        return found

    async def stat(self) -> Stat:
        """The directory entry, as far as this dialect knows it: not who changed it last."""
        found = await self.getattr()
        target = await self.readlink() if found.qid.type & QTSYMLINK else ""
        return self._entry(found, self.name, target)

    def _entry(self, found: Attributes, name: str, target: str = "") -> Stat:
        mode = plan9_mode(found.mode) | found.qid.type << 24
        entry = Stat(
            0,
            0,
            found.qid,
            mode,
            seconds(found.atime),
            seconds(found.mtime),
            0 if mode & DMDIR else found.size,
            name,
            self.ids.user(found.uid),
            self.ids.group(found.gid),
            "",
            device_extension(found.mode, found.rdev) if mode & DMDEVICE else target,
            found.uid,
            found.gid,
        )
        return timed(entry, found.mtime)

    async def setattr(self, changes: SetAttributes) -> None:
        mode, uid, gid, size, atime, mtime, atime_now, mtime_now = changes
        valid = 0
        for value, bit in ((mode, lm.SET_MODE), (uid, lm.SET_UID), (gid, lm.SET_GID), (size, lm.SET_SIZE)):
            valid |= 0 if value is None else bit
        if atime is not None or atime_now:
            valid |= lm.SET_ATIME | (0 if atime_now else lm.SET_ATIME_SET)
        if mtime is not None or mtime_now:
            valid |= lm.SET_MTIME | (0 if mtime_now else lm.SET_MTIME_SET)
        times = (*_split(atime), *_split(mtime))
        await self.connection.ask(lm.Tsetattr(self.fid, valid, mode or 0, uid or 0, gid or 0, size or 0, *times))

    async def wstat(self, changes: Stat) -> None:
        """Changes what a setattr can, and for nothing to change asks for stable storage.

        Raises:
            WstatProhibited: a new name, for which this dialect wants the directory: see ``renameat``.
        """
        if changes.touches_nothing:
            await self.fsync()
            return
        if changes.name not in ("", self.name):
            raise WstatProhibited("this server renames by directory, with renameat")
        await self.setattr(
            SetAttributes(
                mode=None if changes.mode == NO32 else changes.mode & 0o777,
                gid=None if not changes.gid else self.ids.gid(changes.gid),
                size=None if changes.length == NO64 or self.qid.type & QTDIR else changes.length,
                atime=None if changes.atime == NO32 else changes.atime * SECOND,
                mtime=None if changes.mtime == NO32 else changed_at(changes),
            )
        )

    async def readdir(self) -> list[ListedEntry]:
        """The names in this directory, which is open, in the server's order, without ``.`` and ``..``."""
        return [entry async for entries in self._readdir() for entry in entries]

    async def _readdir(self) -> AsyncGenerator[list[ListedEntry], None]:
        """The same, as they come."""
        if not self.qid.is_directory:
            raise NotDirectory
        if self._listing is None:
            raise BadFidUse("a directory has to be open before it is listed")
        cookie = 0
        while True:
            ask = lm.Treaddir(self._listing.fid, cookie, self.connection.iounit)
            entries = unpack_entries((await self.connection.ask(ask)).data)
            if not entries:
                return
            last, cookie = cookie, entries[-1][1]
            if cookie == last:
                raise Malformed("a directory goes on from where it was")
            yield [ListedEntry(qid, kind, name) for qid, _, kind, name in entries if name not in (".", "..")]

    async def scan(self) -> AsyncGenerator[Stat, None]:
        """The entries of this directory, which is open, some at a time. One that goes away meanwhile is left out.

        Of one that cannot be looked at there is what the directory knows, kind and qid: see ``Stat.is_known``.
        """
        async with aclosing(self._readdir()) as batches:
            async for entries in batches:
                for start in range(0, len(entries), AT_ONCE):
                    for entry in await self._entries(entries[start : start + AT_ONCE]):
                        yield entry

    async def _entries(self, listed: Sequence[ListedEntry]) -> Stats:
        """The entries of some names: all walks together, then all attributes, then all links."""
        connection = self.connection
        client = connection.client
        fids = [connection.take_fid() for _ in listed]
        made: set[int] = set()
        free: set[int] = set()
        asked = 0
        try:
            walks = []
            for entry, fid in zip(listed, fids, strict=True):
                walks.append(client.begin(m.Twalk(self.fid, fid, [entry.name])))
                asked += 1
            refused: list[FileError | None] = []
            for fid, call in zip(fids, walks, strict=True):
                try:
                    await client.wait(call)
                except FileError as error:
                    refused.append(error)
                    free.add(fid)
                else:
                    refused.append(None)
                    made.add(fid)
            calls = [
                None if error is not None else client.begin(lm.Tgetattr(fid, EVERYTHING))
                for fid, error in zip(fids, refused, strict=True)
            ]
            found = [
                error if call is None else await _reply(client, call)
                for error, call in zip(refused, calls, strict=True)
            ]
            links = [
                client.begin(lm.Treadlink(fid))
                if isinstance(reply, lm.Rgetattr) and reply.attributes.qid.type & QTSYMLINK
                else None
                for fid, reply in zip(fids, found, strict=True)
            ]
            targets = [None if call is None else await _reply(client, call) for call in links]
        finally:
            for number, fid in enumerate(fids):
                if fid in made:
                    connection.discard(fid)
                elif fid in free or number >= asked:
                    connection.give_fid(fid)
                else:
                    connection.discard(fid, reuse=False)
        stats = []
        for entry, reply, target in zip(listed, found, targets, strict=True):
            if isinstance(reply, lm.Rgetattr):
                text = target.target if isinstance(target, lm.Rreadlink) else ""
                stats.append(self._entry(reply.attributes, entry.name, text))
            elif not isinstance(reply, FileNotFound | FileRemoved):
                log.debug("%s is listed and cannot be looked at: %s", entry.name, reply)
                stats.append(listed_only(entry.name, entry.qid, plan9_mode(entry.kind << 12)))
        return stats

    async def mkdir(self, name: str, perm: int = 0o777, gid: int = m.NOFID) -> None:
        check_length(name)
        await self.connection.ask(lm.Tmkdir(self.fid, name, perm & 0o7777, gid))

    async def mknod(self, name: str, mode: int, rdev: int = 0, gid: int = m.NOFID) -> None:
        check_length(name)
        await self.connection.ask(lm.Tmknod(self.fid, name, mode, *device_numbers(rdev), gid))

    async def symlink(self, name: str, target: str, gid: int = m.NOFID) -> None:
        check_length(name)
        await self.connection.ask(lm.Tsymlink(self.fid, name, target, gid))

    async def link(self, name: str, file: RemoteFile) -> None:
        await self.connection.ask(lm.Tlink(self.fid, file.fid, name))

    async def readlink(self) -> str:
        target: str = (await self.connection.ask(lm.Treadlink(self.fid))).target
        return target

    async def renameat(self, name: str, directory: RemoteFile, newname: str) -> None:
        """Moves a file; what is there is replaced. A server that is asked for too much is asked as older ones are."""
        check_length(newname)
        try:
            await self.connection.ask(lm.Trenameat(self.fid, name, directory.fid, newname))
        except NotSupported:
            async with await self.walk([name]) as file:
                await self.connection.ask(lm.Trename(file.fid, directory.fid, newname))

    async def unlinkat(self, name: str, *, directory: bool = False) -> None:
        """Removes ``name``; ``directory`` tells whether it has to be one. An older server removes by fid."""
        try:
            await self.connection.ask(lm.Tunlinkat(self.fid, name, lm.L_REMOVEDIR if directory else 0))
        except NotSupported:
            await UnixMethods.unlinkat(self, name, directory=directory)

    async def fsync(self, *, data_only: bool = False) -> None:
        await self.connection.ask(lm.Tfsync(self.fid, int(data_only)))

    async def statfs(self) -> Statfs:
        found: Statfs = (await self.connection.ask(lm.Tstatfs(self.fid))).statfs
        return found

    async def listxattr(self) -> Names:
        names = (await self._xattr("")).decode("utf-8", "surrogateescape")
        return [name for name in names.split("\0") if name]

    async def getxattr(self, name: str) -> bytes:
        return await self._xattr(name)

    async def _xattr(self, name: str) -> bytes:
        connection = self.connection
        fid = connection.take_fid()
        try:
            await connection.make(lm.Txattrwalk(self.fid, fid, name), fid)
        except FileError:
            connection.give_fid(fid)
            raise
        async with LinuxFile(connection, fid, Qid(0, 0, 0)) as value:
            value.mode = m.OREAD
            return await value.read_all()

    async def setxattr(self, name: str, value: bytes, flags: int = 0) -> None:
        view = await self.walk([])
        try:
            await self.connection.ask(lm.Txattrcreate(view.fid, name, len(value), flags))
            view.mode = m.OWRITE
            await view.write_range(0, value)
        except BaseException:
            await view.leave()
            raise
        # The answer to this tells how it went.
        await view.clunk()

    async def removexattr(self, name: str) -> None:
        await self.setxattr(name, b"", XATTR_REPLACE)

    async def lock(self, kind: int, start: int, length: int, *, process: int, client: str) -> bool:
        status = (await self.connection.ask(lm.Tlock(self.fid, kind, 0, start, length, process, client))).status
        if status not in (lm.LOCK_SUCCESS, lm.LOCK_BLOCKED):
            raise FileError("No locks available")
        return bool(status == lm.LOCK_SUCCESS)

    async def remove(self) -> None:
        await self._close_listing()
        await super().remove()

    async def clunk(self) -> None:
        await self._close_listing()
        await super().clunk()

    async def leave(self) -> None:
        await self._close_listing()
        await super().leave()

    async def _close_listing(self) -> None:
        view, self._listing = self._listing, None
        if view is not None:
            await view.leave()


def _flags(mode: int) -> int:
    return _FLAGS[mode & 3] | (lm.L_TRUNC if mode & m.OTRUNC else 0) | (lm.L_APPEND if mode & m.OAPPEND else 0)


def _split(time: int | None) -> tuple[int, int]:
    seconds, nanoseconds = divmod(time or 0, SECOND)
    return seconds & NO64, nanoseconds


async def _reply(client: Any, call: Any) -> Any:
    """The reply, or the refusal."""
    try:
        return await client.wait(call)
    except FileError as error:
        return error
