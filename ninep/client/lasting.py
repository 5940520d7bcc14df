"""A remote tree that reconnects: after its connection broke it dials, attaches, and reopens the open files.

::

    async with lasting("tcp!fs!9fs", patience=300) as tree, tree.open("log") as file:
        ...

What can be repeated without harm is repeated, and the caller notices nothing but the time it took: reading, asking,
writing at a place, making a file's content. What cannot (removing, renaming, making something that must be new) is
not: if the link breaks on it ``ConnectionLost`` says so, and whether it took effect is unknown. The next call works
again.

An open file is the same one as before, by its qid; where another has its name by now, ``FileRemoved`` is raised.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from ninep.client.file_object import FileObject, open_mode
from ninep.client.lasting_file import LastingFile
from ninep.client.link import PATIENCE, Link, linked
from ninep.client.remote import RemoteFile
from ninep.client.tree import RemoteTree, connect, open_file
from ninep.protocol import messages as m
from ninep.protocol.errors import NotSupported
from ninep.protocol.stat import Stat
from ninep.wire.dialect import Buffer


class LastingTree:
    """A tree by paths; see ``client.RemoteTree`` for what each method does and raises."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._files: set[FileObject] = set()

    @asynccontextmanager
    async def open(self, path: str, mode: int = m.OREAD) -> AsyncIterator[LastingFile]:
        """A file that stays open. Remove-on-close and exclusive-use files end with their connection.

        Raises:
            NotSupported: it is one of those.
        """
        if mode & m.ORCLOSE:
            raise NotSupported("a file that is removed when it is closed does not outlive its connection")

        async def opening(tree: RemoteTree) -> RemoteFile:
            file = await tree.walk(path)
            try:
                await file.open(mode)
            except BaseException:
                await file.leave()
                raise
            return file

        file = LastingFile(self._link, path, mode)
        await file.begin(opening)
        async with file:
            yield file

    async def open_file(self, path: str, mode: str = "r", perm: int = 0o666) -> FileObject:
        """A file with a place in it; see ``RemoteTree.open_file``. ``x`` is not repeated if the link breaks on it.

        What was written and not answered is written again in the next connection. Of an append-only file that cannot be
        done: its writes fail with ``ConnectionLost``, and may have been done.

        Raises:
            NotSupported: it is an exclusive-use file.
        """

        async def opening(tree: RemoteTree) -> RemoteFile:
            return await open_file(tree, path, mode, perm)

        flags, append = open_mode(mode)
        file = LastingFile(self._link, path, flags)
        await file.begin(opening, harmless="x" not in mode)
        return FileObject(file, append=append, among=None if flags == m.OREAD else self._files)

    async def close_files(self) -> None:
        """Closes the files that ``open_file`` gave for writing and that are open still; raises what goes wrong."""
        while self._files:
            await next(iter(self._files)).aclose()

    async def read_bytes(self, path: str) -> bytes:
        """The content of a file."""
        return await self._link.repeated(lambda tree: tree.read_bytes(path))

    async def write_bytes(self, path: str, data: Buffer, perm: int = 0o666) -> None:
        """Makes ``data`` the content of a file."""
        await self._link.repeated(lambda tree: tree.write_bytes(path, data, perm))

    async def listdir(self, path: str = "") -> list[Stat]:
        """The entries of a directory."""
        return await self._link.repeated(lambda tree: tree.listdir(path))

    async def stat(self, path: str) -> Stat:
        """The entry of a file."""
        return await self._link.repeated(lambda tree: tree.stat(path))

    async def exists(self, path: str) -> bool:
        """Whether there is a file."""
        return await self._link.repeated(lambda tree: tree.exists(path))

    async def readlink(self, path: str) -> str:
        """The target of a symbolic link."""
        return await self._link.repeated(lambda tree: tree.readlink(path))

    async def mkdir(self, path: str, perm: int = 0o777) -> None:
        """Makes a directory; not repeated."""
        await (await self._link.tree()).mkdir(path, perm)

    async def rename(self, path: str, new: str) -> None:
        """Renames a file; not repeated."""
        await (await self._link.tree()).rename(path, new)

    async def remove(self, path: str) -> None:
        """Removes a file; not repeated."""
        await (await self._link.tree()).remove(path)


@asynccontextmanager
async def lasting(address: str, *, patience: float = PATIENCE, **keywords: Any) -> AsyncIterator[LastingTree]:
    """Like ``client.connect``, with the same arguments; ``patience`` is how long a call waits for a lost server.

    Raises:
        Unreachable, BadAddress, NinepError: as ``connect``, at the start, where nothing is repeated.
    """
    async with lasting_by(lambda: connect(address, **keywords), patience=patience) as tree:
        yield tree


@asynccontextmanager
async def lasting_by(
    make: Callable[[], AbstractAsyncContextManager[RemoteTree]], *, patience: float = PATIENCE
) -> AsyncIterator[LastingTree]:
    """The same for any way to come to a tree."""
    async with linked(make, patience=patience) as link:
        tree = LastingTree(link)
        yield tree
        await tree.close_files()
