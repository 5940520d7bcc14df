"""A tree on a 9P server, by paths. Source: 9pclient(3).

::

    async with connect("tcp!fs!9fs") as tree:
        text = await tree.read_bytes("lib/profile")
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from ninep.client.connection import Connection, check_version, connected
from ninep.client.file_object import FileObject, open_mode
from ninep.client.remote import RemoteFile
from ninep.client.replacing import create, masked, replacing
from ninep.net.dial import dial
from ninep.net.errors import WireError
from ninep.net.identity import Nameless, user_name
from ninep.net.networks import Networks
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.dialect import MSIZE
from ninep.protocol.errors import CrossDevice, FileError, FileExists, FileNotFound, IsDirectory, NinepError
from ninep.protocol.stat import DMDIR, NO32, Stat
from ninep.wire.dialect import Buffer

__all__ = ["Connection", "RemoteFile", "RemoteTree", "connect", "connected", "split"]


class RemoteTree:
    """A tree on a server, by paths. ``root`` is its root, ``connection`` what it is reached by.

    Paths are relative to the root, with or without ``/`` before; ``.`` and empty elements mean nothing.
    """

    def __init__(self, root: RemoteFile) -> None:
        self.root = root
        self.connection = root.connection
        self._files: set[FileObject] = set()

    async def walk(self, path: str) -> RemoteFile:
        """The file at ``path``, not open. The caller clunks it."""
        return await self.root.walk(split(path))

    @asynccontextmanager
    async def open(self, path: str, mode: int = m.OREAD) -> AsyncIterator[RemoteFile]:
        """The file at ``path``, open until the context ends."""
        async with await self.walk(path) as file:
            await file.open(mode)
            yield file

    @asynccontextmanager
    async def create(self, path: str, perm: int = 0o666, mode: int = m.OWRITE) -> AsyncIterator[RemoteFile]:
        """A new file, or an old one truncated, open until the context ends."""
        folder, name = _place(path)
        async with (
            await self.root.walk(folder) as directory,
            await create(directory, name, perm, mode) as file,
        ):
            yield file

    async def open_file(self, path: str, mode: str = "r", perm: int = 0o666) -> FileObject:
        """A file with a place in it, as Python's ``open`` has it for bytes: ``r``, ``w``, ``a``, ``x``, with ``+``.

        To be used as a context: ``async with await tree.open_file("log") as file: ...``

        Raises:
            ValueError: there is no such mode.
            FileNotFound, FileExists: as the mode wants it.
            IsDirectory: a directory has entries and no content.
        """
        flags, append = open_mode(mode)
        file = await open_file(self, path, mode, perm)
        return FileObject(file, append=append, among=None if flags == m.OREAD else self._files)

    async def close_files(self) -> None:
        """Closes the files that ``open_file`` gave for writing and that are open still: then all is at the server.

        Raises:
            FileError, ConnectionLost: the first of what went wrong with them.
        """
        first: Exception | None = None
        for file in list(self._files):
            try:
                await file.aclose()
            except (FileError, WireError) as error:
                first = first or error
        if first is not None:
            try:
                raise first
            finally:
                del first

    async def read_bytes(self, path: str) -> bytes:
        """The content of a file. Raises ``IsDirectory``: that is what ``listdir`` is for."""
        async with await self.walk(path) as file:
            if file.qid.is_directory:
                raise IsDirectory
            await file.open(m.OREAD)
            return await file.read_all()

    async def write_bytes(self, path: str, data: Buffer, perm: int = 0o666) -> None:
        """Makes ``data`` the content of a file, which is created if need be.

        Where the server can rename, the file has its old content or the new one, whatever happens, see ``replacing``.

        Raises:
            TypeError: ``data`` is no bytes.
        """
        view = memoryview(data)
        async with self.replacing(path, perm, size=view.nbytes) as file:
            await file.write_range(0, view)

    @asynccontextmanager
    async def replacing(self, path: str, perm: int = 0o666, *, size: int | None = None) -> AsyncIterator[RemoteFile]:
        """An empty file, open for writing, that is at ``path`` when the context has ended without an error.

        Until then, and after an error, there is what was there before; see ``replacing.replacing``. ``size`` is how
        many bytes are going to be written, if that is known.
        """
        folder, name = _place(path)
        async with (
            await self.root.walk(folder) as directory,
            replacing(directory, name, perm, size=size) as file,
        ):
            yield file

    async def mkdir(self, path: str, perm: int = 0o777) -> None:
        """Makes a directory. Raises ``FileExists``."""
        folder, name = _place(path)
        async with await self.root.walk(folder) as file:
            await file.create(name, await masked(file, DMDIR | perm), m.OREAD)

    async def listdir(self, path: str = "") -> list[Stat]:
        """The entries of a directory, in the server's order. Raises ``NotDirectory``."""
        async with self.open(path) as file:
            return await file.list()

    @asynccontextmanager
    async def scandir(self, path: str = "") -> AsyncIterator[AsyncGenerator[Stat, None]]:
        """The entries of a directory one by one as they come, for those too large to be had at once.

        ``async with tree.scandir("big") as entries: async for entry in entries: ...``
        """
        async with self.open(path) as file, aclosing(file.scan()) as entries:
            yield entries

    async def stat(self, path: str) -> Stat:
        """The entry of a file."""
        async with await self.walk(path) as file:
            return await file.stat()

    async def wstat(self, path: str, changes: Stat) -> None:
        """Changes fields of a file's entry. Of a mode only permissions need be said: a directory stays one."""
        async with await self.walk(path) as file:
            if file.qid.is_directory and changes.mode != NO32:
                changes = changes._replace(mode=changes.mode | DMDIR)
            await file.wstat(changes)

    async def rename(self, path: str, new: str) -> None:
        """Gives a file another name in its directory, or, where ``new`` has a slash, another place.

        In 9P2000 a file cannot be moved to another directory, and a name that is taken is refused; in 9P2000.L the file
        there is replaced, in one step.

        Raises:
            FileExists, CrossDevice: that cannot be done in this dialect.
        """
        folder, name = _place(path)
        target, newname = _place(new) if "/" in new else (folder, new)
        if target != folder and self.connection.version != lm.VERSION:
            raise CrossDevice
        async with await self.root.walk(folder) as directory:
            if target == folder:
                await directory.renameat(name, directory, newname)
                return
            async with await self.root.walk(target) as other:
                await directory.renameat(name, other, newname)

    async def symlink(self, path: str, target: str) -> None:
        """Makes a symbolic link at ``path``. Raises ``NotPermitted`` where the server or the dialect has none."""
        folder, name = _place(path)
        async with await self.root.walk(folder) as directory:
            await directory.symlink(name, target)

    async def readlink(self, path: str) -> str:
        """The target of a symbolic link. No walk follows links."""
        async with await self.walk(path) as file:
            return await file.readlink()

    async def remove(self, path: str) -> None:
        """Removes a file or an empty directory."""
        await (await self.walk(path)).remove()

    async def exists(self, path: str) -> bool:
        """Whether there is a file at ``path``."""
        try:
            async with await self.walk(path):
                return True
        except FileNotFound:
            return False


def split(path: str | os.PathLike[str]) -> list[str]:
    """The elements of a path, a ``str`` or something like ``PurePosixPath``. Raises ``TypeError`` for anything else."""
    path = os.fspath(path)
    if not isinstance(path, str):
        raise TypeError(f"a path is a str, and not {type(path).__name__}")
    return [name for name in path.split("/") if name not in ("", ".")]


def _place(path: str) -> tuple[list[str], str]:
    """The directory and the name of something to be made."""
    names = split(path)
    if not names:
        raise FileExists
    return names[:-1], names[-1]


async def open_file(tree: RemoteTree, path: str, mode: str, perm: int) -> RemoteFile:
    """The file that ``RemoteTree.open_file`` puts a place in. Raises as that does."""
    flags, _ = open_mode(mode)
    mode = mode.replace("b", "")
    if mode.startswith("r"):
        file = await tree.walk(path)
        if file.qid.is_directory:
            await file.leave()
            raise IsDirectory
        await _open(file, flags)
        return file
    folder, name = _place(path)
    async with await tree.root.walk(folder) as directory:
        file = await directory.walk([])
        try:
            await file.create(name, await masked(directory, perm), flags & ~m.OTRUNC)
        except FileError as refusal:
            await file.leave()
            if mode.startswith("x"):
                raise
            try:
                file = await directory.walk([name])
            except FileNotFound:
                raise refusal from None
            await _open(file, flags)
        except BaseException:
            await file.leave()
            raise
        return file


async def _open(file: RemoteFile, mode: int) -> None:
    """Opens a file, which is given up where that fails."""
    try:
        await file.open(mode)
    except BaseException:
        await file.leave()
        raise


@asynccontextmanager
async def connect(
    address: str,
    *,
    uname: str | None = None,
    aname: str = "",
    msize: int = MSIZE,
    version: str = m.VERSION,
    networks: Networks | None = None,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[RemoteTree]:
    """Dials a server and attaches to the tree ``aname`` as ``uname``, by default whoever runs this program.

    ``version`` is the highest dialect wanted, ``9P2000``, ``9P2000.u`` or ``9P2000.L``; the server may know less.
    ``context`` is for ``tls!`` addresses: whom to trust, and who we are; see ``wire.tls``.

    Raises:
        Unreachable, BadAddress: there is nobody at ``address``.
        FileError: the server does not let us attach.
        NinepError: it does not speak our 9P.
    """
    check_version(version)
    user = uname if uname is not None else local_user()
    stream = await dial(address, service="9fs", networks=networks, context=context)
    async with connected(stream, msize=msize, version=version) as connection:
        tree = RemoteTree(await connection.attach(user, aname))
        yield tree
        # What was written to a file that nobody closed is not lost without a word.
        await tree.close_files()


def local_user() -> str:
    """The name of the user who runs this program."""
    try:
        return user_name()
    except Nameless as error:
        raise NinepError(f"{error}, or say as which user to attach (-u)") from error
