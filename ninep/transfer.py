"""Whole trees to and from a server, many files at once."""

from __future__ import annotations

import logging
import os
import stat as unix
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import trio

from ninep import messages as m
from ninep.client import RemoteTree
from ninep.errors import FileError, FileExists, FileNotFound, IsDirectory, NinepError, NotDirectory
from ninep.remote import RemoteFile
from ninep.stat import DMDIR, Stat

T = TypeVar("T")

log = logging.getLogger(__name__)

AT_ONCE = 48
"""Files under way at the same time."""
PIECE = 4 * 1024 * 1024
"""Bytes of a local file in memory at once."""


class Progress(NamedTuple):
    """How far a transfer is: files done and bytes done."""

    files: int
    size: int


class Transfer:
    """Copies between a local directory and a server.

    Times and permissions go along where the server lets us set them. What is neither file nor directory is left out
    and logged. Cancelled or failed, what has been copied so far stays.
    """

    def __init__(self, tree: RemoteTree, progress: Callable[[Progress], None] = lambda _: None) -> None:
        self._tree = tree
        self._progress = progress
        self.files = 0
        self.size = 0

    async def put(self, local: Path, remote: str, *, recursive: bool = False) -> None:
        """Makes ``remote`` a copy of ``local``. Files that are only in ``remote`` stay.

        Raises:
            OSError: something local cannot be read.
            IsDirectory: ``local`` is a directory and ``recursive`` was not said.
        """
        if not local.is_dir():
            *folder, name = [part for part in remote.split("/") if part not in ("", ".")] or [local.name]
            async with await self._tree.root.walk(folder) as directory:
                await self._put_file(local, directory, name)
            return
        if not recursive:
            raise IsDirectory(f"{local} is a directory: say -r to copy it")
        await self._put_directory(local, remote)

    async def get(self, remote: str, local: Path, *, recursive: bool = False) -> None:
        """Makes ``local`` a copy of ``remote``. Files that are only in ``local`` stay.

        Raises:
            OSError: something local cannot be written.
            NinepError: a name from the server is none that could be kept below ``local``.
        """
        async with await self._tree.walk(remote) as source:
            stat = await source.stat()
            if not stat.is_directory:
                await self._get_file(source, stat, local)
            elif recursive:
                await self._get_directory(source, stat, local)
            else:
                raise IsDirectory(f"{remote or '/'} is a directory: say -r to copy it")

    async def remove(self, remote: str) -> None:
        """Removes ``remote`` and everything below it."""
        file = await self._tree.walk(remote)
        if file.qid.is_directory:
            await self._empty(file)
        await file.remove()

    async def _empty(self, directory: RemoteFile) -> None:
        """Removes everything in a directory. Two levels never run at once, so that tasks stay bounded."""
        async with await directory.walk([]) as listing:
            await listing.open()
            entries = await listing.list()

        async def remove(entry: Stat) -> None:
            with suppress(FileNotFound):
                await (await directory.walk([entry.name])).remove()

        await _each((entry for entry in entries if not entry.is_directory), remove)
        for entry in entries:
            if entry.is_directory:
                inner = await directory.walk([entry.name])
                await self._empty(inner)
                await inner.remove()

    def _done(self, files: int, size: int) -> None:
        self.files += files
        self.size += size
        self._progress(Progress(self.files, self.size))

    async def _put_directory(self, local: Path, remote: str) -> None:
        target = await self._made_directory(self._tree.root, remote, local.stat())
        async with target:
            await self._put_entries(local, target)
            await _set(target, local.stat())

    async def _put_entries(self, local: Path, target: RemoteFile) -> None:
        directories: list[os.DirEntry[str]] = []

        def files() -> Iterator[os.DirEntry[str]]:
            with os.scandir(local) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(entry)
                    elif entry.is_file():
                        yield entry
                    else:
                        log.warning("%s is neither file nor directory, left out", entry.path)

        await _each(files(), lambda entry: self._put_file(Path(entry.path), target, entry.name))
        for entry in directories:
            inner = await self._made_directory(target, entry.name, entry.stat())
            async with inner:
                await self._put_entries(Path(entry.path), inner)
                await _set(inner, entry.stat())

    async def _made_directory(self, parent: RemoteFile, path: str, status: os.stat_result) -> RemoteFile:
        names = [name for name in path.split("/") if name not in ("", ".")]
        if not names:
            return await parent.walk([])
        perm = DMDIR | unix.S_IMODE(status.st_mode) & 0o777 | 0o700
        async with await parent.walk(names[:-1]) as folder:
            try:
                async with await folder.walk([]) as made:
                    await made.create(names[-1], perm, m.OREAD)
            except FileExists:
                found = await folder.walk([names[-1]])
                if not found.qid.is_directory:
                    await found.clunk()
                    raise NotDirectory(f"{path} is a file on the server, a directory here") from None
                return found
            return await folder.walk([names[-1]])

    async def _put_file(self, local: Path, directory: RemoteFile, name: str) -> None:
        with local.open("rb") as source:
            status = os.fstat(source.fileno())
            file = await directory.walk([])
            try:
                await file.create(name, unix.S_IMODE(status.st_mode) & 0o777, m.OWRITE)
            except FileExists:
                await file.clunk()
                file = await directory.walk([name])
                try:
                    await file.open(m.OWRITE | m.OTRUNC)
                except BaseException:
                    await file.clunk()
                    raise
            except BaseException:
                await file.clunk()
                raise
            async with file:
                offset = 0
                while data := source.read(PIECE):
                    await file.write_range(offset, data)
                    offset += len(data)
                await _set(file, status)
        self._done(1, offset)

    async def _get_directory(self, source: RemoteFile, stat: Stat, local: Path) -> None:
        local.mkdir(parents=True, exist_ok=True)
        async with await source.walk([]) as listing:
            await listing.open()
            entries = await listing.list()
        for entry in entries:
            if entry.name in ("", ".", "..") or "/" in entry.name or "\0" in entry.name:
                raise NinepError(f"the server lists a file called {entry.name!r}, which cannot be kept here")

        async def fetch(entry: Stat) -> None:
            async with await source.walk([entry.name]) as file:
                await self._get_file(file, entry, local / entry.name)

        await _each((entry for entry in entries if not entry.is_directory), fetch)
        for entry in entries:
            if entry.is_directory:
                async with await source.walk([entry.name]) as inner:
                    await self._get_directory(inner, entry, local / entry.name)
        local.chmod(stat.mode & 0o777 | 0o700)
        os.utime(local, (stat.mtime, stat.mtime))

    async def _get_file(self, source: RemoteFile, stat: Stat, local: Path) -> None:
        size = 0
        await source.open()
        if local.is_symlink():
            # What it points to is nobody's business here.
            local.unlink()
        with local.open("wb") as target:
            async for part in source.reading(length=stat.length):
                target.write(part)
                size += len(part)
            os.fchmod(target.fileno(), stat.mode & 0o777)
        os.utime(local, (stat.mtime, stat.mtime))
        self._done(1, size)


async def _set(file: RemoteFile, status: os.stat_result) -> None:
    """Gives a file the time and permissions of a local one, as far as the server allows."""
    mode = unix.S_IMODE(status.st_mode) & 0o777 | (DMDIR if file.qid.is_directory else 0)
    try:
        await file.wstat(Stat(mtime=int(status.st_mtime), mode=mode))
    except FileError as error:
        log.debug("time and permissions not kept: %s", error)


async def _each(items: Iterator[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Runs ``work`` on every item, a bounded number at once. The first error cancels the rest and is raised alone."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:

        async def worker() -> None:
            nonlocal failure
            for item in items:
                try:
                    await work(item)
                except Exception as error:
                    failure = failure or error
                    nursery.cancel_scope.cancel()

        for _ in range(AT_ONCE):
            nursery.start_soon(worker)
    if failure is not None:
        raise failure
