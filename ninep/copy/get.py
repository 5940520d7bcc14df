"""Copies whole trees from a server. No name that the server lists can make it write outside the destination."""

from __future__ import annotations

import logging
import os
import stat as unix
from pathlib import Path

from ninep.client.remote import RemoteFile
from ninep.copy.mark import LocalMark
from ninep.copy.transfer import PIECE, Branch, Entries, NeedsRecursion, Transfer, local
from ninep.disk import Destination
from ninep.protocol import messages as m
from ninep.protocol.errors import IllegalName, NinepError, NotDirectory
from ninep.protocol.listing import shown
from ninep.protocol.stat import DMSYMLINK, Stat, changed_at

log = logging.getLogger(__name__)

RIGHTS = 0o777


class _LocalBranch(Branch):
    """A directory under way, with its entry on the server."""

    __slots__ = ("stat",)
    stat: Stat


class Get(Transfer):
    """Copies from a server, with modification times and permissions."""

    _mark: LocalMark

    async def get(self, path: str, target: Path, *, recursive: bool = False) -> None:
        """Makes ``target`` a copy of ``path``. Of a directory, files that are only here stay.

        A symbolic link below a directory becomes one, wherever it leads, where the dialect has links. In 9P2000 it is
        a file that holds the target, and is copied as that; a warning says so.

        Raises:
            OSError: ``target`` cannot be written.
            NeedsRecursion: ``path`` is a directory and ``recursive`` was not said.
            IntoItself: ``path`` is ``target`` itself.
            Incomplete: something below it could not be copied; so it is with ``target`` if it is in ``path``.
        """
        file = await self.tree.walk(path)
        try:
            stat = await file.stat()
            if not stat.is_directory:
                await self._copy(file, stat, os.fspath(target), follow=True)
                await file.leave()
                return
            if not recursive:
                raise NeedsRecursion(path or "/")
            target.parent.mkdir(parents=True, exist_ok=True)
            branch = self._branch(os.fspath(target), file, stat, None)
            self._mark = LocalMark(branch.path)
        except BaseException:
            await file.leave()
            raise
        try:
            await self._mark.check(file)
            await self._fill(branch)
            await self.finished()
        finally:
            self._mark.remove()

    def _branch(self, target: str, file: RemoteFile, stat: Stat, parent: Branch | None) -> Branch:
        """A local directory that can be filled."""
        try:
            os.mkdir(target, 0o700)
        except FileExistsError:
            status = os.lstat(target) if parent else os.stat(target)
            if not unix.S_ISDIR(status.st_mode):
                raise NotDirectory("a directory on the server, something else here") from None
            if status.st_mode & 0o700 != 0o700 and status.st_uid == os.geteuid():
                os.chmod(target, status.st_mode & RIGHTS | 0o700)
        branch = _LocalBranch(target, file, parent, self._settle)
        branch.stat = stat
        return branch

    async def _fill(self, branch: Branch) -> None:
        await self._some(branch, await Entries.begin(branch.file))
        await branch.end()

    async def _rest(self, branch: Branch, _: str, listing: Entries) -> None:
        await self._some(branch, listing)

    async def _some(self, branch: Branch, listing: Entries) -> None:
        """Some entries of a directory; the next when those are done, as jobs that were added last are done first."""
        entries = await listing.next()
        if len(entries) == PIECE:
            self.add(branch, branch.path, self._rest, listing)
        for entry in reversed(entries):
            if entry.is_directory:
                self.add(branch, f"{branch.path}/{entry.name}", self._directory, entry)
        for entry in reversed(entries):
            if not entry.is_directory:
                self.add(branch, f"{branch.path}/{entry.name}", self._file, entry)

    async def _file(self, branch: Branch, path: str, entry: Stat) -> None:
        _checked(entry.name)
        async with await branch.file.walk([entry.name]) as file:
            if entry.mode & DMSYMLINK:
                if self.tree.connection.version != m.VERSION:
                    _link(await file.readlink(), path, changed_at(entry if entry.is_known else await file.stat()))
                    self.done(0)
                    return
                log.warning("%s: a symbolic link, becomes a file that holds its target: say -D 9P2000.L", shown(path))
            await self._copy(file, entry if entry.is_known else await file.stat(), path)

    async def _directory(self, branch: Branch, path: str, entry: Stat) -> None:
        _checked(entry.name)
        file = await branch.file.walk([entry.name])
        try:
            await self._mark.check(file)
            inner = self._branch(path, file, entry if entry.is_known else await file.stat(), branch)
        except BaseException:
            await file.leave()
            raise
        branch.begin()
        try:
            await self._fill(inner)
        except (NinepError, OSError) as error:
            self.failed(inner, path, error)
            await inner.end()

    async def _settle(self, branch: Branch) -> None:
        assert isinstance(branch, _LocalBranch)
        if branch.parent is None:
            self._mark.remove()
        try:
            os.chmod(branch.path, branch.stat.mode & RIGHTS)
            os.utime(branch.path, ns=(changed_at(branch.stat),) * 2)
        except OSError as error:
            self.failed(branch, branch.path, error)
        await branch.file.leave()

    async def _copy(self, file: RemoteFile, stat: Stat, path: str, *, follow: bool = False) -> None:
        """Makes the local file a copy. It has its old content or the new one, whatever happens. Zeros become holes."""
        await file.open()
        with Destination(path, follow=follow) as place:
            size = 0
            async for piece in file.reading(length=stat.length):
                size += len(piece)
                await local(len(piece), place.write, piece)
            place.commit(mode=stat.mode & RIGHTS, mtime_ns=changed_at(stat))
        self.done(size)


def _link(target: str, path: str, mtime: int) -> None:
    """A symbolic link of a time in nanoseconds. What stands in the way is replaced, but no directory is."""
    try:
        os.symlink(target, path)
    except FileExistsError:
        os.unlink(path)
        os.symlink(target, path)
    os.utime(path, ns=(mtime, mtime), follow_symlinks=False)


def _checked(name: str) -> None:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise IllegalName(f"the server lists a file called {name!r}, which cannot be kept here")
