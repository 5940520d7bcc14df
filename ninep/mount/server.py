"""What a mounted file system needs of a server, whatever dialect that speaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ninep.attributes import Attributes, SetAttributes, Statfs
from ninep.remote import RemoteFile


class Entry(NamedTuple):
    """One name in a directory.

    Attributes:
        name: as it is called there.
        mode: its kind, as the upper bits of ``st_mode``.
        path: that of its qid.
    """

    name: str
    mode: int
    path: int


class MountedServer(Protocol):
    """Operations on files by their fids. None of them changes the fids that it is given, or gives them up.

    All raise ``FileError`` for a refusal and ``ConnectionLost`` when the link broke.
    """

    async def attributes(self, file: RemoteFile) -> Attributes:
        """What Unix wants to know."""
        ...

    async def change(self, file: RemoteFile, changes: SetAttributes) -> None:
        """Changes them."""
        ...

    async def open(self, file: RemoteFile, flags: int) -> RemoteFile:
        """Opens the same file under a new fid; ``flags`` are those that Unix programs open with."""
        ...

    async def create(self, directory: RemoteFile, name: str, flags: int, mode: int, gid: int) -> RemoteFile:
        """A new plain file, open. Raises ``FileExists``."""
        ...

    async def entries(self, directory: RemoteFile) -> Sequence[Entry]:
        """Everything in a directory."""
        ...

    async def mkdir(self, directory: RemoteFile, name: str, mode: int, gid: int) -> None:
        """Makes a directory."""
        ...

    async def mknod(self, directory: RemoteFile, name: str, mode: int, rdev: int, gid: int) -> None:
        """Makes a file of any kind."""
        ...

    async def symlink(self, directory: RemoteFile, name: str, target: str, gid: int) -> None:
        """Makes a symbolic link."""
        ...

    async def readlink(self, file: RemoteFile) -> str:
        """The target of a symbolic link."""
        ...

    async def link(self, directory: RemoteFile, name: str, file: RemoteFile) -> None:
        """Gives a file another name."""
        ...

    async def rename(self, source: RemoteFile, name: str, target: RemoteFile, newname: str) -> None:
        """Moves a name; what is there already is replaced."""
        ...

    async def unlink(self, directory: RemoteFile, name: str, *, folder: bool) -> None:
        """Removes a name."""
        ...

    async def sync(self, file: RemoteFile, *, data_only: bool) -> None:
        """Returns when what was written to this open file is on stable storage."""
        ...

    async def room(self, file: RemoteFile) -> Statfs:
        """The room of the file system."""
        ...

    async def xattrs(self, file: RemoteFile) -> Sequence[str]:
        """The names of its extended attributes."""
        ...

    async def xattr(self, file: RemoteFile, name: str) -> bytes:
        """One of them. Raises ``NoAttribute``."""
        ...

    async def set_xattr(self, file: RemoteFile, name: str, value: bytes) -> None:
        """Sets one of them."""
        ...

    async def remove_xattr(self, file: RemoteFile, name: str) -> None:
        """Removes one of them."""
        ...
