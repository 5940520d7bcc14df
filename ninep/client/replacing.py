"""Writing a remote file so that its name stands for the old content or for the new one, each whole.

The new content is written to a file beside the old one, which takes its name at the end. What is interrupted, refused
or cut off by a full disk leaves the old file as it was, and at most a file with a name of its own (``.NAME.*.part``).

9P2000.L puts a file in the place of another in one step. 9P2000 renames to a name that is free: the old file is removed
just before, and for the time of one message the name is missing, while the content is there. Where neither works (a
server that makes or renames no files, a file that belongs to somebody else or is more than its content: append-only,
exclusive-use, a device), it is written in its place, as ``create`` does.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ninep.client.remote import RemoteFile
from ninep.net.errors import WireError
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.errors import (
    FileError,
    FileExists,
    FileNotFound,
    FileSystemFull,
    IsDirectory,
    NameTooLong,
    NinepError,
    PermissionDenied,
)
from ninep.protocol.qid import QTAPPEND, QTAUTH, QTEXCL, QTSYMLINK
from ninep.protocol.stat import DMDEVICE, DMDIR, DMNAMEDPIPE, DMSOCKET, Stat
from ninep.tasks.shielded import has_ended

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that taking away an unfinished file may take, and seconds for the last step once it is cancelled."""
KEPT_NAME = 64
"""Characters of a name that stand in the name of the file beside it."""
_SPECIAL = DMDEVICE | DMSOCKET | DMNAMEDPIPE


async def create(directory: RemoteFile, name: str, perm: int, mode: int = m.OWRITE) -> RemoteFile:
    """Makes the file ``name`` in ``directory``, or truncates the one that is there, and opens it.

    Raises:
        PermissionDenied: it is there and may not be written.
    """
    file = await directory.walk([])
    try:
        try:
            await file.create(name, await masked(directory, perm), mode)
        except FileError as refusal:
            await file.leave()
            # Servers have many words for a name that is taken; the name itself tells best.
            try:
                file = await directory.walk([name])
            except FileNotFound:
                raise refusal from None
            await file.open(mode | m.OTRUNC)
    except BaseException:
        await file.clunk()
        raise
    return file


async def rename_over(directory: RemoteFile, name: str, newname: str) -> None:
    """Renames a file within ``directory``, which is not open; a file that has the new name is replaced.

    Raises:
        IsDirectory: the new name is that of a directory.
        FileError: it cannot be renamed; unless the text says more, nothing has changed.
    """
    if name == newname:
        return
    if directory.connection.version == lm.VERSION:
        await directory.renameat(name, directory, newname)
        return
    async with await directory.walk([name]) as file:
        try:
            await file.wstat(Stat(name=newname))
        except FileError as refusal:
            if (old := await _found(directory, newname)) is None:
                raise
            if old.qid.is_directory or file.qid.is_directory:
                await old.leave()
                raise (FileExists if file.qid.is_directory else IsDirectory) from refusal

            async def swap() -> None:
                await old.remove()
                try:
                    await file.wstat(Stat(name=newname))
                except NinepError as error:
                    raise FileError(f"{newname} is removed, and what was to replace it is {name}: {error}") from error

            if not await has_ended(swap, PATIENCE):
                raise FileError(f"{newname} may be called {name}: the server does not answer") from None


async def masked(directory: RemoteFile, perm: int) -> int:
    """Permissions for something new in ``directory``, as 9P2000 has it: nobody gets a right that it does not give.

    In 9P2000 the server does that. In the other dialects it takes what it is told, which for a default of 0666 would
    let everybody write.
    """
    if directory.connection.version == m.VERSION:
        return perm
    rights = 0o777 if perm & DMDIR else 0o666
    return perm & (~rights | (await directory.stat()).mode & rights)


@asynccontextmanager
async def replacing(
    directory: RemoteFile,
    name: str,
    perm: int = 0o666,
    *,
    size: int | None = None,
    changes: Stat | None = None,
    eager: bool = False,
) -> AsyncIterator[RemoteFile]:
    """An empty file, open for writing, that is ``name`` in ``directory`` when the context has ended without an error.

    Args:
        directory: where; it is not open.
        name: of the file. What is there is replaced; its permissions and group are kept, unless ``changes`` says more.
        perm: permissions of a file that is new.
        size: bytes that are going to be written, if that is known.
        changes: permissions and times that the file gets in the end, as far as the server lets us set them.
        eager: whether a file of ours that we may not write, and a symbolic link, are replaced, too.

    Raises:
        IsDirectory: there is a directory of that name.
        PermissionDenied: there is a file, and it may not be written.
        FileError: the server refuses; unless the text says more, what was there is as it was.
    """
    replacement = _Replacement(directory, name, changes, eager)
    try:
        file = await replacement.begin(perm, size)
        try:
            yield file
            await replacement.finish()
        except BaseException:
            await replacement.give_up()
            raise
        # The answer to this may tell that the content is not safe.
        await file.clunk()
    finally:
        if replacement.old is not None:
            await replacement.old.leave()


class _Replacement:
    """One file on the way to its name.

    Attributes:
        old: what has the name; closed by whoever made this.
        file: what is written: ``old``, another view of it, or a new file, which is taken away if it does not get there.
    """

    def __init__(self, directory: RemoteFile, name: str, changes: Stat | None, eager: bool) -> None:
        self.old: RemoteFile | None = None
        self._directory = directory
        self._name = name
        self._changes = changes
        self._eager = eager
        self._before: Stat | None = None
        self._made = False

    async def begin(self, perm: int, size: int | None) -> RemoteFile:
        """The file, open and empty."""
        file = None
        new = perm if self._changes is not None else await masked(self._directory, perm)
        small = size is not None and size <= self._directory.connection.iounit
        if small:
            # What one message holds is hardly ever half there; most such files are new, and this is quickest.
            file = await self._create(self._name, new)
        if file is None:
            self.old = await _found(self._directory, self._name)
        if (old := self.old) is not None:
            self._before = await _entry(old)
            if old.qid.is_directory:
                raise IsDirectory
            replaceable = await self._is_replaceable(old)
            file = await self._beside(self._before.mode & 0o777) if self._before and replaceable else None
        elif file is None and not small:
            file = await self._beside(new) or await self._create(self._name, new)
        self._made = file is not None
        self.file = file or await self._in_place(perm)
        return self.file

    async def _is_replaceable(self, old: RemoteFile) -> bool:
        """Whether the file is nothing but its content. One without length and version may be a device.

        Raises ``PermissionDenied`` for one that may not be written.
        """
        if old.qid.type & QTSYMLINK:
            return self._eager
        before = self._before
        if before is None or old.qid.type & (QTAPPEND | QTEXCL | QTAUTH) or before.mode & _SPECIAL:
            return False
        if not before.length and not before.qid.version:
            return False
        try:
            async with await old.walk([]) as view:
                await view.open(m.OWRITE)
        except PermissionDenied:
            # Whoever may set the permissions may write it after all.
            if not self._eager or before.mode & 0o200 or not await quietly(old, Stat(mode=before.mode | 0o200)):
                raise
        return True

    async def _beside(self, perm: int) -> RemoteFile | None:
        """A new file that will be able to take the place of the old one; None where there can be none."""
        connection = self._directory.connection
        if connection.renames is False:
            return None
        file = await self._create(name_beside(self._name), perm)
        if file is None:
            return None
        try:
            if connection.renames is None:
                try:
                    await self._rename(file, name_beside(self._name))
                    connection.renames = True
                except FileError as refusal:
                    log.info("files are written in their place, as this server does not rename: %s", refusal)
                    connection.renames = False
            if connection.renames and (self._before is None or (await file.stat()).uid == self._before.uid):
                return file
        except BaseException:
            await _removed(file)
            raise
        await _removed(file)
        return None

    async def _create(self, name: str, perm: int) -> RemoteFile | None:
        file = await self._directory.walk([])
        try:
            await file.create(name, perm, m.OWRITE)
        except FileSystemFull:
            await file.leave()
            raise
        except FileError as refusal:
            await file.leave()
            log.debug("cannot make %s: %s", name, refusal)
            return None
        except BaseException:
            if file.mode == m.OWRITE:
                # It was given up too late, and is there.
                await _removed(file)
            else:
                await file.leave()
            raise
        file.name = name
        return file

    async def _in_place(self, perm: int) -> RemoteFile:
        """What is there, open and empty."""
        old = self.old
        if old is None:
            return await create(self._directory, self._name, perm)
        if self._before is not None and self._before.length:
            log.info("%s is written in its place: nothing can take it", self._name)
        if self._eager and old.qid.type & QTSYMLINK:
            await self._directory.unlinkat(self._name)
            return await create(self._directory, self._name, perm)
        file = await old.walk([])
        try:
            await file.open(m.OWRITE | m.OTRUNC)
        except BaseException:
            await file.leave()
            raise
        return file

    async def _rename(self, file: RemoteFile, name: str) -> None:
        """Gives a file of the directory another name, which in 9P2000 has to be free."""
        if self._directory.connection.version == lm.VERSION:
            await self._directory.renameat(file.name, self._directory, name)
        else:
            await file.wstat(Stat(name=name))
        file.name = name

    async def finish(self) -> None:
        """Gives the new file the name, and the permissions of the old one or those that were asked for."""
        file, before, changes = self.file, self._before, self._changes
        if before is not None and changes is None and self._made:
            now = await file.stat()
            if now.gid != before.gid:
                await quietly(file, Stat(gid=before.gid))
            changes = Stat(mode=before.mode) if now.mode != before.mode else None
        if not self._made or file.name == self._name:
            await settle(file, changes)
        # Given up, it would be unknown which file has the name now.
        elif not await has_ended(lambda: self._take_place(changes), PATIENCE):
            self._made = False
            raise FileError(f"{self._name} may have its old content or, whole, the new one: the server does not answer")

    async def _take_place(self, changes: Stat | None) -> None:
        file = self.file
        at_once = self._directory.connection.version == lm.VERSION
        if at_once or changes is None or not await quietly(file, changes._replace(name=self._name)):
            await settle(file, changes)
            try:
                await self._rename(file, self._name)
            except FileError:
                if self.old is None or at_once:
                    raise
                await self._swap()
        self._made = False

    async def _swap(self) -> None:
        """Takes the old file away and gives the new one its name."""
        assert self.old is not None
        beside = self.file.name
        await self.old.remove()
        # From here on there is no other copy, so that nobody may take it away.
        self._made = False
        try:
            await self._rename(self.file, self._name)
        except NinepError as error:
            raise FileError(f"{self._name} is removed, and its new content is called {beside}: {error}") from error

    async def give_up(self) -> None:
        """Takes away what is not going to get the name."""
        if self._made:
            await _removed(self.file)
        else:
            await self.file.leave()


async def _found(directory: RemoteFile, name: str) -> RemoteFile | None:
    try:
        return await directory.walk([name])
    except NameTooLong:
        raise
    except FileError:
        # Not there, or it cannot be known: making it will tell.
        return None


async def _entry(file: RemoteFile) -> Stat | None:
    try:
        return await file.stat()
    except FileError:
        return None


def name_beside(name: str) -> str:
    """A name that nothing has, for what is going to be ``name``."""
    return f".{name[:KEPT_NAME]}.{secrets.token_hex(6)}.part"


async def settle(file: RemoteFile, changes: Stat | None) -> None:
    """Sets permissions and times, as far as the server allows."""
    if changes is None or await quietly(file, changes):
        return
    for part in (Stat(atime=changes.atime, mtime=changes.mtime), Stat(mode=changes.mode)):
        if not part.touches_nothing:
            await quietly(file, part)


async def quietly(file: RemoteFile, changes: Stat) -> bool:
    """Changes a file's entry; whether the server let us."""
    try:
        await file.wstat(changes)
    except FileError:
        return False
    return True


async def _removed(file: RemoteFile) -> None:
    """Takes an unfinished file away, even if we are cancelled."""
    with trio.move_on_after(PATIENCE, shield=True):
        try:
            await file.remove()
        except (FileError, WireError) as error:
            log.warning("%s is left on the server: %s", file.name, error)
