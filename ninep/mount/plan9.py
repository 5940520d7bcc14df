"""A mounted server of 9P2000: what that cannot say is refused, or done with what it can.

Renaming over a file that is there removes that first, so that there is a moment without either; nothing moves between
directories (programs copy when they get EXDEV). Owners are names; those that this machine does not know are ``nobody``.
"""

from __future__ import annotations

import os
import stat as unix
from collections.abc import Sequence

from ninep import messages as m
from ninep.attributes import SECOND, Attributes, SetAttributes, Statfs, attributes_of, plan9_mode, unix_mode
from ninep.errors import (
    CrossDevice,
    FileError,
    FileNotFound,
    IsDirectory,
    NotDirectory,
    NotPermitted,
    NotSupported,
    ReadOnly,
)
from ninep.ids import Ids
from ninep.mount.server import Entry
from ninep.remote import RemoteFile
from ninep.stat import DMDIR, NO32, NO64, Stat

_MODES = {os.O_RDONLY: m.OREAD, os.O_WRONLY: m.OWRITE, os.O_RDWR: m.ORDWR}


class Plan9Server:
    """A ``MountedServer`` in 9P2000."""

    def __init__(self, ids: Ids) -> None:
        """``ids`` says which local users the server's are."""
        self._ids = ids

    async def attributes(self, file: RemoteFile) -> Attributes:
        return attributes_of(await file.stat(), self._ids)

    async def change(self, file: RemoteFile, changes: SetAttributes) -> None:
        if changes.uid is not None or changes.gid is not None:
            current = await self.attributes(file)
            if changes.uid not in (None, current.uid):
                raise NotPermitted
            gid = "" if changes.gid in (None, current.gid) else self._ids.group(changes.gid or 0)
        else:
            gid = ""
        mode = NO32
        if changes.mode is not None:
            mode = (await file.stat()).mode & ~0o777 | changes.mode & 0o777
        length = NO64 if changes.size is None else changes.size
        mtime = NO32 if changes.mtime is None else changes.mtime // SECOND & NO32
        atime = NO32 if changes.atime is None else changes.atime // SECOND & NO32
        wanted = Stat(mode=mode, length=length, mtime=mtime, gid=gid)
        try:
            await file.wstat(wanted._replace(atime=atime)) if (wanted, atime) != (Stat(), NO32) else None
        except FileError:
            # Plan 9's own servers let nobody set the time of the last access.
            if atime == NO32:
                raise
            if wanted != Stat():
                await file.wstat(wanted)

    async def open(self, file: RemoteFile, flags: int) -> RemoteFile:
        mode = _MODES.get(flags & os.O_ACCMODE, m.OREAD) | (m.OTRUNC if flags & os.O_TRUNC else 0)
        opened = await file.walk([])
        try:
            await opened.open(mode)
        except BaseException:
            await opened.leave()
            raise
        return opened

    async def create(self, directory: RemoteFile, name: str, flags: int, mode: int, gid: int) -> RemoteFile:
        made = await directory.walk([])
        try:
            await made.create(name, mode & 0o777, _MODES.get(flags & os.O_ACCMODE, m.OREAD))
        except BaseException:
            await made.leave()
            raise
        return made

    async def entries(self, directory: RemoteFile) -> Sequence[Entry]:
        async with await directory.walk([]) as listing:
            await listing.open()
            return [
                Entry(stat.name, unix.S_IFMT(unix_mode(stat.mode, stat.extension)), stat.qid.path)
                for stat in await listing.list()
            ]

    async def mkdir(self, directory: RemoteFile, name: str, mode: int, gid: int) -> None:
        async with await directory.walk([]) as made:
            await made.create(name, DMDIR | mode & 0o777, m.OREAD)

    async def mknod(self, directory: RemoteFile, name: str, mode: int, rdev: int, gid: int) -> None:
        if not unix.S_ISREG(mode):
            raise NotPermitted
        async with await directory.walk([]) as made:
            await made.create(name, plan9_mode(mode) & 0o777, m.OREAD)

    async def symlink(self, directory: RemoteFile, name: str, target: str, gid: int) -> None:
        raise NotPermitted

    async def readlink(self, file: RemoteFile) -> str:
        raise NotSupported

    async def link(self, directory: RemoteFile, name: str, file: RemoteFile) -> None:
        raise NotPermitted

    async def rename(self, source: RemoteFile, name: str, target: RemoteFile, newname: str) -> None:
        if source.qid.path != target.qid.path:
            raise CrossDevice
        if name == newname:
            return
        async with await source.walk([name]) as moved:
            try:
                await moved.wstat(Stat(name=newname))
            except FileError as refusal:
                if isinstance(refusal, FileNotFound | ReadOnly):
                    raise
                try:
                    there = await source.walk([newname])
                except FileError:
                    raise refusal from None
                if there.qid.is_directory is not moved.qid.is_directory:
                    await there.leave()
                    raise (IsDirectory if there.qid.is_directory else NotDirectory) from None
                if there.qid.path == moved.qid.path:
                    await there.leave()
                    return
                await there.remove()
                await moved.wstat(Stat(name=newname))

    async def unlink(self, directory: RemoteFile, name: str, *, folder: bool) -> None:
        file = await directory.walk([name])
        if file.qid.is_directory is not folder:
            await file.leave()
            raise NotDirectory if folder else IsDirectory
        await file.remove()

    async def sync(self, file: RemoteFile, *, data_only: bool) -> None:
        # A server that cannot say so has no other way of being asked.
        await file.safe()

    async def room(self, file: RemoteFile) -> Statfs:
        return Statfs()

    async def xattrs(self, file: RemoteFile) -> Sequence[str]:
        raise NotSupported

    async def xattr(self, file: RemoteFile, name: str) -> bytes:
        raise NotSupported

    async def set_xattr(self, file: RemoteFile, name: str, value: bytes) -> None:
        raise NotSupported

    async def remove_xattr(self, file: RemoteFile, name: str) -> None:
        raise NotSupported
