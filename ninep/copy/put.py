"""Copies whole trees to a server."""

from __future__ import annotations

import errno
import logging
import os
import stat as unix
from pathlib import Path

from ninep.client.remote import RemoteFile
from ninep.client.remote_io import Writing
from ninep.client.replacing import quietly, replacing, settle
from ninep.client.tree import split
from ninep.copy.mark import RemoteMark
from ninep.copy.transfer import SMALL, Branch, NeedsRecursion, Transfer, local
from ninep.disk import ReadBound
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError, FileExists, FileNotFound, IsDirectory, NotDirectory
from ninep.protocol.listing import shown
from ninep.protocol.qid import QTSYMLINK
from ninep.protocol.stat import DMDIR, Stat, timed

log = logging.getLogger(__name__)

PIECE = 1024 * 1024
"""Bytes of a local file that are read at once."""
RIGHTS = 0o777
BLOCK = 512
"""Bytes in the unit that the system counts the room of a file in."""


class Put(Transfer):
    """Copies to a server: modification times and permissions go along as far as the server lets us set them."""

    _mark: RemoteMark

    async def put(self, source: Path, path: str, *, recursive: bool = False) -> None:
        """Makes ``path`` a copy of ``source``. Of a directory, files that are only on the server stay.

        A symbolic link below a directory becomes one where the dialect has links; in 9P2000 it is followed when it
        leads to a file. What else is neither file nor directory is logged and left out.

        Raises:
            OSError: ``source`` cannot be read.
            NeedsRecursion: ``source`` is a directory and ``recursive`` was not said.
            IntoItself: ``source`` is ``path`` itself.
            Incomplete: something below it could not be copied; so it is with ``path`` if it is in ``source``.
        """
        names = split(path)
        if not source.is_dir():
            if not names:
                raise IsDirectory(f"a directory: say what {source} is to be called in it")
            async with await self.tree.root.walk(names[:-1]) as directory:
                await self._copy(os.fspath(source), directory, names[-1])
            return
        if not recursive:
            raise NeedsRecursion(source)
        file = await self._made(self.tree.root, names, source.stat())
        branch = Branch(os.fspath(source), file, None, self._settle)
        self._mark = RemoteMark(file)
        try:
            await self._mark.make()
            self._mark.check(branch.path)
            await self._fill(branch)
            await self.finished()
        finally:
            await self._mark.remove()

    async def _fill(self, branch: Branch) -> None:
        with os.scandir(branch.path) as entries:
            found = sorted(entries, key=lambda entry: entry.name, reverse=True)
        links = self.tree.connection.version != m.VERSION
        # What is added last is done first: files before directories.
        for entry in found:
            if _is_directory(entry):
                self.add(branch, entry.path, self._directory, entry.name)
        for entry in found:
            if _is_directory(entry):
                continue
            try:
                if links and entry.is_symlink():
                    self.add(branch, entry.path, self._symlink, entry.name)
                elif entry.is_file():
                    self.add(branch, entry.path, self._file, entry.name)
                else:
                    log.warning("%s: left out, as it is neither a file nor a directory", shown(entry.path))
            except OSError as error:
                self.failed(branch, entry.path, error)
        await branch.end()

    async def _file(self, branch: Branch, path: str, name: str) -> None:
        await self._copy(path, branch.file, name)

    async def _symlink(self, branch: Branch, path: str, name: str) -> None:
        target = os.readlink(path)
        try:
            await branch.file.symlink(name, target)
        except FileError as refusal:
            # Servers have many words for a name that is taken.
            try:
                async with await branch.file.walk([name]) as file:
                    if file.qid.type & QTSYMLINK and await file.readlink() == target:
                        self.done(0)
                        return
                await branch.file.unlinkat(name)
            except FileNotFound:
                raise refusal from None
            await branch.file.symlink(name, target)
        self.done(0)

    async def _directory(self, branch: Branch, path: str, name: str) -> None:
        self._mark.check(path)
        inner = Branch(path, await self._made(branch.file, [name], os.stat(path)), branch, self._settle)
        branch.begin()
        try:
            await self._fill(inner)
        except OSError as error:
            self.failed(inner, path, error)
            await inner.end()

    async def _settle(self, branch: Branch) -> None:
        if branch.parent is None:
            await self._mark.remove()
        try:
            await settle(branch.file, _copied(os.stat(branch.path), directory=True))
        except OSError as error:
            self.failed(branch, branch.path, error)
        await branch.file.leave()

    async def _made(self, parent: RemoteFile, names: list[str], status: os.stat_result) -> RemoteFile:
        """The directory at ``names``, made if need be, in such a way that we can fill it."""
        if not names:
            return await parent.walk([])
        async with await parent.walk(names[:-1]) as folder:
            try:
                async with await folder.walk([]) as made:
                    await made.create(names[-1], DMDIR | status.st_mode & RIGHTS | 0o700, m.OREAD)
            except FileExists:
                return await self._fillable(await folder.walk(names[-1:]))
            except FileError as refusal:
                # Servers have many words for a name that is taken.
                try:
                    found = await folder.walk(names[-1:])
                except FileError:
                    raise refusal from None
                return await self._fillable(found)
            return await folder.walk(names[-1:])

    async def _fillable(self, directory: RemoteFile) -> RemoteFile:
        try:
            if not directory.qid.is_directory:
                raise NotDirectory("a file on the server, a directory here")
            mode = (await directory.stat()).mode
            if mode & 0o700 != 0o700:
                await quietly(directory, Stat(mode=mode | 0o700))
        except BaseException:
            await directory.leave()
            raise
        return directory

    async def _copy(self, path: str, directory: RemoteFile, name: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            regular = unix.S_ISREG(status.st_mode)
            size = status.st_size if regular else 0
            sparse = regular and status.st_blocks * BLOCK < size
            async with replacing(directory, name, status.st_mode & RIGHTS, changes=_copied(status), eager=True) as file:
                async with file.writing() as sink:
                    if sparse:
                        size = await _write_sparse(descriptor, size, sink)
                    else:
                        await _write_all(descriptor, size, sink)
                if sparse:
                    await _lengthen(file, size)
        finally:
            os.close(descriptor)
        self.done(sink.offset)


async def _write_all(descriptor: int, size: int, sink: Writing) -> None:
    """A file's content: all that it had when it was opened, whatever length it tells."""
    bound = ReadBound(descriptor)
    while wanted := bound.next(sink.offset, PIECE):
        data = await local(size or SMALL, os.read, descriptor, wanted)
        if not data:
            break
        await sink.write(data)


async def _write_sparse(descriptor: int, size: int, sink: Writing) -> int:
    """Writes what is not a hole of a file, at its places; returns how long the file is.

    That is less than ``size`` where reading ends earlier: the file was cut meanwhile, or tells a length that it does
    not have, as those of ``/sys`` do.
    """
    while sink.offset < size:
        try:
            start = os.lseek(descriptor, sink.offset, os.SEEK_DATA)
            end = min(size, os.lseek(descriptor, start, os.SEEK_HOLE))
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return min(size, os.fstat(descriptor).st_size)
        sink.offset = start
        while sink.offset < end:
            wanted = min(PIECE, end - sink.offset)
            data = await local(wanted, os.pread, descriptor, wanted, sink.offset)
            if not data:
                return sink.offset
            await sink.write(data)
    return sink.offset


async def _lengthen(file: RemoteFile, size: int) -> None:
    """Gives a file the hole at its end."""
    length = (await file.stat()).length
    if length < size:
        try:
            await file.wstat(Stat(length=size))
        except FileError:
            # A server that sets no lengths takes a byte at the end.
            await file.write_range(size - 1, b"\0")


def _is_directory(entry: os.DirEntry[str]) -> bool:
    """Whether it is one; what cannot be looked at is told when it is to be copied."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _copied(status: os.stat_result, *, directory: bool = False) -> Stat:
    """The time and permissions of a local file, for one on the server."""
    mode = status.st_mode & RIGHTS | (DMDIR if directory else 0)
    return timed(Stat(mode=mode), status.st_mtime_ns)
