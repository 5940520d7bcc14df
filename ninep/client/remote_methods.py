"""The Unix operations of a remote file on a server that speaks plain 9P2000, as far as it can express them.

``remote_unix`` and ``remote_linux`` have the same methods for servers that speak more; a program calls them without
asking which. What cannot be done is refused with the error that Unix knows for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ninep.protocol import messages as m
from ninep.protocol.attributes import Attributes, SetAttributes, Statfs, attributes_of
from ninep.protocol.emulation import as_wstat
from ninep.protocol.errors import (
    CrossDevice,
    FunctionNotImplemented,
    InvalidArgument,
    IsDirectory,
    NotDirectory,
    NotPermitted,
    NotSupported,
)
from ninep.protocol.ids import Ids
from ninep.protocol.qid import QTDIR, Qid
from ninep.protocol.stat import DMDIR, DMSYMLINK, Stat

if TYPE_CHECKING:
    from ninep.client.remote import RemoteFile


class _Plan9File(Protocol):
    """What the methods here are made of."""

    @property
    def ids(self) -> Ids: ...
    @property
    def qid(self) -> Qid: ...
    async def walk(self, names: Sequence[str]) -> RemoteFile: ...
    async def stat(self) -> Stat: ...
    async def wstat(self, changes: Stat) -> None: ...


class UnixMethods:
    """The methods. Ids are numbers, times nanoseconds, modes Linux's; see ``attributes``."""

    __slots__ = ()

    async def getattr(self: _Plan9File) -> Attributes:
        """Everything that is known of the file."""
        return attributes_of(await self.stat(), self.ids)

    async def setattr(self: _Plan9File, changes: SetAttributes) -> None:
        """Changes what ``changes`` has. Raises ``NotPermitted`` for what the server cannot change."""
        wstat = as_wstat(self.ids, changes, await self.stat())
        if not wstat.touches_nothing:
            await self.wstat(wstat)

    async def mkdir(self: _Plan9File, name: str, perm: int = 0o777, gid: int = m.NOFID) -> None:
        """Makes a directory in this one, which stays as it is. ``gid`` asks for a group, where the server can."""
        async with await self.walk([]) as file:
            await file.create(name, DMDIR | perm & 0o777, m.OREAD)

    async def mknod(self, name: str, mode: int, rdev: int = 0, gid: int = m.NOFID) -> None:
        """Makes a special file."""
        raise NotPermitted

    async def symlink(self, name: str, target: str, gid: int = m.NOFID) -> None:
        """Makes a symbolic link."""
        raise NotPermitted

    async def link(self, name: str, file: RemoteFile) -> None:
        """Makes ``name`` in this directory another name of ``file``."""
        raise NotPermitted

    async def readlink(self: _Plan9File) -> str:
        """The target of a symbolic link. Raises ``InvalidArgument`` where this is none."""
        if not (await self.stat()).mode & DMSYMLINK:
            raise InvalidArgument
        async with await self.walk([]) as view:
            await view.open(m.OREAD)
            return (await view.read_all()).decode("utf-8", "surrogateescape")

    async def renameat(self: _Plan9File, name: str, directory: RemoteFile, newname: str) -> None:
        """Moves ``name`` in this directory to ``newname`` in another.

        A server that speaks 9P2000 renames within a directory only, and refuses a name that is taken. So ``directory``
        must be this very object: two directories may have one qid path, such as those of a snapshot.
        """
        if directory is not self:
            raise CrossDevice
        async with await self.walk([name]) as file:
            await file.wstat(Stat(name=newname))

    async def unlinkat(self: _Plan9File, name: str, *, directory: bool = False) -> None:
        """Removes ``name`` from this directory; ``directory`` tells whether it has to be one, else it must not."""
        file = await self.walk([name])
        if bool(file.qid.type & QTDIR) is not directory:
            await file.leave()
            raise NotDirectory if directory else IsDirectory
        await file.remove()

    async def fsync(self: _Plan9File, *, data_only: bool = False) -> None:
        """Returns when what was written is on stable storage."""
        await self.wstat(Stat())

    async def statfs(self) -> Statfs:
        """The room of the file system."""
        raise FunctionNotImplemented

    async def listxattr(self) -> list[str]:
        """The names of the file's extended attributes."""
        raise NotSupported

    async def getxattr(self, name: str) -> bytes:
        """The value of one. Raises ``NoAttribute``."""
        raise NotSupported

    async def setxattr(self, name: str, value: bytes, flags: int = 0) -> None:
        """Sets one; ``flags`` are those of ``attributes``."""
        raise NotSupported

    async def removexattr(self, name: str) -> None:
        """Removes one."""
        raise NotSupported

    async def lock(self, kind: int, start: int, length: int, *, process: int, client: str) -> bool:
        """Takes a record lock (``LOCK_READ``, ``LOCK_WRITE``) or gives it back (``LOCK_UNLOCK``); False: not now.

        ``length`` 0 is to the end of the file; ``process`` and ``client`` name the owner. Nobody waits for a lock:
        ask again.
        """
        raise NotSupported
