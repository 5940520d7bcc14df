"""A file on a server that speaks 9P2000.u: links, special files, and owners by number."""

from __future__ import annotations

from ninep.client.remote import RemoteFile
from ninep.protocol import messages as m
from ninep.protocol import stat as st
from ninep.protocol.attributes import SetAttributes, device_extension, plan9_mode
from ninep.protocol.emulation import changed_mode
from ninep.protocol.errors import CrossDevice, InvalidArgument
from ninep.protocol.stat import NO32, NO64, Stat, seconds


class UnixFile(RemoteFile):
    """One fid; see ``RemoteFile``."""

    __slots__ = ()

    _unpack = staticmethod(Stat.unpack_unix)

    async def setattr(self, changes: SetAttributes) -> None:
        """In one message."""
        mode = NO32
        if changes.mode is not None:
            mode = changed_mode((await self.stat()).mode, changes.mode)
        wstat = Stat(
            mode=mode,
            atime=NO32 if changes.atime is None else seconds(changes.atime),
            mtime=NO32 if changes.mtime is None else seconds(changes.mtime),
            length=NO64 if changes.size is None else changes.size,
            n_uid=NO32 if changes.uid is None else changes.uid,
            n_gid=NO32 if changes.gid is None else changes.gid,
        )
        if not wstat.touches_nothing:
            await self.wstat(wstat)

    async def mkdir(self, name: str, perm: int = 0o777, gid: int = m.NOFID) -> None:
        """As it says; the group cannot be chosen."""
        await self._make(name, st.DMDIR | plan9_mode(perm & 0o7777), "")

    async def mknod(self, name: str, mode: int, rdev: int = 0, gid: int = m.NOFID) -> None:
        """As it says; the group cannot be chosen."""
        perm = plan9_mode(mode)
        await self._make(name, perm, device_extension(mode, rdev) if perm & st.DMDEVICE else "")

    async def symlink(self, name: str, target: str, gid: int = m.NOFID) -> None:
        """As it says; the group cannot be chosen."""
        await self._make(name, st.DMSYMLINK | 0o777, target)

    async def link(self, name: str, file: RemoteFile) -> None:
        """As it says."""
        await self._make(name, st.DMLINK, str(file.fid))

    async def _make(self, name: str, perm: int, extension: str) -> None:
        async with await self.walk([]) as view:
            await view.connection.ask(m.Tcreate(view.fid, name, perm, m.OREAD, extension))

    async def readlink(self) -> str:
        """From the directory entry."""
        stat = await self.stat()
        if not stat.mode & st.DMSYMLINK:
            raise InvalidArgument
        return stat.extension

    async def renameat(self, name: str, directory: RemoteFile, newname: str) -> None:
        """Within a directory, ``directory`` being this object; what is there is replaced where the server does that."""
        if directory is not self:
            raise CrossDevice
        async with await self.walk([name]) as file:
            await file.wstat(Stat(name=newname))
