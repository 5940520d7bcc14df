"""A tree that is there again after its connection broke: dialled and attached anew, its open files opened again.

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

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import trio

from ninep import messages as m
from ninep.client import RemoteTree, connect
from ninep.errors import FileRemoved, NotSupported
from ninep.qid import QTAPPEND, QTEXCL
from ninep.remote import RemoteFile
from ninep.stat import Stat
from ninep.wire.dialect import Buffer
from ninep.wire.errors import ConnectionLost, Unreachable

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that a call waits for the server to come back."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds between two attempts, growing from the one to the other."""


class Link:
    """The present connection, and the next when that broke.

    Attributes:
        patience: seconds that ``tree`` tries to have one.
    """

    def __init__(
        self, nursery: trio.Nursery, make: Callable[[], AbstractAsyncContextManager[RemoteTree]], patience: float
    ) -> None:
        self._nursery = nursery
        self._make = make
        self.patience = patience
        self._tree: RemoteTree | None = None
        self._lock = trio.Lock()

    async def tree(self) -> RemoteTree:
        """A tree whose connection is not known to be broken.

        Raises:
            Unreachable: the server did not come back in time.
            FileError, NinepError: it came back, and does not let us in.
        """
        tree = self._tree
        if tree is not None and tree.connection.lost is None:
            return tree
        async with self._lock:
            if self._tree is not None and self._tree.connection.lost is None:
                return self._tree
            if self._tree is None:
                self._tree = await self._nursery.start(self._hold)
            else:
                self._tree = await self._again()
            return self._tree

    async def _again(self) -> RemoteTree:
        deadline, pause = trio.current_time() + self.patience, FIRST_PAUSE
        log.info("the connection broke: dialling again")
        while True:
            try:
                made: RemoteTree = await self._nursery.start(self._hold)
            except (Unreachable, ConnectionLost) as error:
                if trio.current_time() + pause > deadline:
                    raise Unreachable(f"the server did not come back within {self.patience:g} s: {error}") from error
                await trio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                return made

    async def _hold(self, *, task_status: trio.TaskStatus[RemoteTree]) -> None:
        async with self._make() as tree:
            task_status.started(tree)
            await tree.connection.wait_lost()

    async def repeated(self, work: Callable[[RemoteTree], Awaitable[T]]) -> T:
        """Does ``work`` until a connection lives long enough for it."""
        while True:
            tree = await self.tree()
            try:
                return await work(tree)
            except ConnectionLost:
                if tree.connection.lost is None:
                    raise


class LastingTree:
    """A tree by paths; see ``client.RemoteTree`` for what each method does and raises."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @asynccontextmanager
    async def open(self, path: str, mode: int = m.OREAD) -> AsyncIterator[LastingFile]:
        """A file that stays open. Remove-on-close and exclusive-use files end with their connection.

        Raises:
            NotSupported: it is one of those.
        """
        if mode & m.ORCLOSE:
            raise NotSupported("a file that is removed when it is closed does not outlive its connection")
        file = LastingFile(self._link, path, mode)
        await file.begin()
        try:
            yield file
        finally:
            await file.end()

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


class LastingFile:
    """An open file of a ``LastingTree``."""

    def __init__(self, link: Link, path: str, mode: int) -> None:
        self._link = link
        self._path = path
        self._mode = mode
        self._tree: RemoteTree | None = None
        self._file: RemoteFile | None = None
        self._lock = trio.Lock()

    async def begin(self) -> None:
        """Opens it for the first time."""
        await self._link.repeated(self._current)

    async def end(self) -> None:
        """Gives it up. A link that broke meanwhile is no error: the fid is gone with it."""
        if self._file is not None and self._tree is not None and self._tree.connection.lost is None:
            await self._file.clunk()

    async def read(self, offset: int, count: int) -> bytes:
        """At most ``count`` bytes in one message; empty at the end."""
        return await self._done(lambda file: self._bytes(file, offset, count))

    async def _bytes(self, file: RemoteFile, offset: int, count: int) -> bytes:
        return bytes(await file.read(offset, count))

    async def read_range(self, offset: int, count: int) -> bytes:
        """``count`` bytes, fewer only where the file ends."""
        return await self._done(lambda file: file.read_range(offset, count))

    async def read_all(self) -> bytes:
        """The whole file."""
        return await self._done(lambda file: file.read_all())

    async def reading(self, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """The bytes from ``offset`` to the end in pieces, with many messages in flight; each byte once.

        Give it up with ``contextlib.aclosing`` where it may not come to its end.
        """
        while True:
            tree = await self._link.tree()
            try:
                file = await self._current(tree)
                async for piece in file.reading(offset):
                    offset += len(piece)
                    yield bytes(piece)
            except ConnectionLost:
                if tree.connection.lost is None:
                    raise
            else:
                return

    async def write(self, offset: int, data: Buffer) -> None:
        """Writes all of ``data`` at a place.

        Raises:
            ConnectionLost: an append-only file may have got it, or not.
        """
        await self._done(lambda file: file.write_range(offset, data), harmless=not self._appends)

    async def stat(self) -> Stat:
        """The entry."""
        return await self._done(lambda file: file.stat())

    async def wstat(self, changes: Stat) -> None:
        """Changes the entry."""
        await self._done(lambda file: file.wstat(changes))

    @property
    def _appends(self) -> bool:
        return self._file is not None and bool(self._file.qid.type & QTAPPEND)

    async def _done(self, work: Callable[[RemoteFile], Awaitable[T]], *, harmless: bool = True) -> T:
        async def once(tree: RemoteTree) -> T:
            return await work(await self._current(tree))

        return await self._link.repeated(once) if harmless else await once(await self._link.tree())

    async def _current(self, tree: RemoteTree) -> RemoteFile:
        """The file in the connection of ``tree``, opened there if it is a new one."""
        async with self._lock:
            if self._tree is tree and self._file is not None:
                return self._file
            file = await tree.walk(self._path)
            try:
                before = self._file
                if before is not None and file.qid.path != before.qid.path:
                    raise FileRemoved(f"{self._path}: another file has that name since the connection broke")
                if file.qid.type & QTEXCL:
                    raise NotSupported("an exclusive-use file does not outlive its connection")
                await file.open(self._mode if before is None else self._mode & ~m.OTRUNC)
            except BaseException:
                await file.leave()
                raise
            self._tree, self._file = tree, file
            return file


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
        yield LastingTree(link)


@asynccontextmanager
async def linked(
    make: Callable[[], AbstractAsyncContextManager[RemoteTree]], *, patience: float = PATIENCE
) -> AsyncIterator[Link]:
    """The link alone, for those who look after their files themselves."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        link = Link(nursery, make, patience)
        try:
            await link.tree()
            yield link
        except Exception as error:
            # Out of the nursery's reach, so that it comes to the caller as it is and not in a group.
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
