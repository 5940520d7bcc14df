"""Operations that 9P2000 lacks, passed on to the file server on a second connection in 9P2000.L.

Everything that is kept goes over the first connection, in 9P2000. Links, special files, moves between directories,
owners by number, extended attributes and the room of the file system are asked for rarely, so a file is simply sought
by its names each time, and its qid compared. Where the file server speaks 9P2000 only, the refusals are those that
``ninep.client.remote_methods`` has for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from types import CoroutineType
from typing import Any, TypeVar

from cfs.errors import ServerGone, StaleFile
from cfs.files.cache import Cache
from cfs.known.knowledge import Knowledge, Names
from cfs.upstream.handle import Handle
from cfs.upstream.linkcount import told_of
from ninep.client.remote import RemoteFile
from ninep.net.errors import WireError
from ninep.protocol.attributes import (
    NLINK,
    Attributes,
    SetAttributes,
    Statfs,
    attributes_of,
    device_extension,
    link_count,
)
from ninep.protocol.emulation import setattr as set_by_wstat
from ninep.protocol.errors import CrossDevice, FileError, FileNotFound, NinepError, NotPermitted
from ninep.protocol.messages import NOFID, OREAD, Twalk
from ninep.protocol.names import good_names
from ninep.protocol.qid import Qid
from ninep.protocol.stat import DMDEVICE, DMSYMLINK, SECOND, Stat, seconds
from ninep.server.files import File
from ninep.tasks.nursery import open_nursery
from ninep.wire.dialect import Buffer, Maybe
from ninep.wire.maybe import arrived, then
from ninep.wire.taskless import in_task

T = TypeVar("T")

AT_ONCE = 64
"""Entries of a directory that are asked about at the same time."""


class UnixSide(File):
    """The part of a ``CachedFile`` that only other dialects than 9P2000 ask for. Nothing here is sent twice."""

    _cache: Cache
    _handle: Handle
    _knowledge: Knowledge

    def getattr(self, mask: int) -> Maybe[Attributes]:
        """What ``stat`` tells, and of a plain file its names and times. Of what is remembered that is not asked."""
        handle, era = self._handle, self._knowledge.era
        stat = self.stat()
        if not isinstance(stat, CoroutineType) or self.qid.type or not mask & NLINK or handle.proven is not None:
            return then(stat, lambda stat: attributes_of(stat, self.ids))
        return self._counted(stat, told_of(handle), era)

    async def _counted(
        self,
        asking: Coroutine[Any, Any, Stat],
        telling: Callable[[], Coroutine[Any, Any, Attributes | None]],
        era: int,
    ) -> Attributes:
        stat, told = await asking, await telling()
        if told is None:
            return attributes_of(stat, self.ids)
        if told.nlink > 1:
            stat = stat._replace(extension=link_count(told.nlink))
            self._knowledge.saw_stat(self._handle.names, stat, era)
        return attributes_of(stat, self.ids)._replace(atime=told.atime, mtime=told.mtime, ctime=told.ctime)

    async def setattr(self, changes: SetAttributes) -> None:
        """By a wstat of 9P2000 if that can say it, or if the file has lost its name and is open."""
        exact = any(time is not None and seconds(time) * SECOND != time for time in (changes.atime, changes.mtime))
        if exact or changes.uid is not None or changes.gid is not None or changes.mode is not None:
            with suppress(StaleFile):
                await self._change(lambda file: file.setattr(changes))
                return
        await set_by_wstat(self, changes)

    async def mkdir(self, name: str, perm: int, gid: int | None) -> Qid:
        """See ``File``."""
        return await self._make(name, lambda file: file.mkdir(name, perm, _number(gid)))

    async def mknod(self, name: str, mode: int, rdev: int, gid: int | None) -> Qid:
        """See ``File``."""
        return await self._make(name, lambda file: file.mknod(name, mode, rdev, _number(gid)))

    async def symlink(self, name: str, target: str, gid: int | None) -> Qid:
        """See ``File``."""
        return await self._make(name, lambda file: file.symlink(name, target, _number(gid)))

    async def link(self, name: str, file: File) -> None:
        """See ``File``."""

        async def linked(here: RemoteFile) -> None:
            async with _other(file)._sought() as other:
                await here.link(name, other)

        await self._change(linked)

    async def renameat(self, name: str, directory: File, newname: str) -> None:
        """Whoever has fids for what is moved finds it in its new place."""

        async def moved(here: RemoteFile) -> None:
            if target.names == handle.names:
                await here.renameat(name, here, newname)
                return
            async with _other(directory)._sought() as there:
                await here.renameat(name, there, newname)

        handle, target = self._handle, _other(directory)._handle
        await self._change(moved)
        self._cache.renamed(handle.aname, (*handle.names, name), (*target.names, newname))

    async def replace(self, name: str) -> None:
        """A move within the directory above."""
        await self._move(self._handle.names[:-1], name)

    async def rename(self, directory: File, name: str) -> None:
        """A move to another directory."""
        await self._move(_other(directory)._handle.names, name)

    async def _move(self, names: Names, name: str) -> None:
        handle = self._handle
        if not handle.names:
            raise NotPermitted

        async def moved(_: RemoteFile) -> None:
            root = await handle.unix_root()
            async with await root.walk(handle.names[:-1]) as above:
                if names == handle.names[:-1]:
                    await above.renameat(handle.names[-1], above, name)
                    return
                async with await root.walk(names) as target:
                    await above.renameat(handle.names[-1], target, name)

        await self._change(moved)
        self._cache.renamed(handle.aname, handle.names, (*names, name))

    async def lcreate(self, name: str, perm: int, mode: int, gid: int | None) -> File:
        """A create, whose mode is then set to what was asked for; until then it has less."""
        if not good_names((name,)):
            return await self._lcreate_odd(name, perm, mode)
        made = await arrived(self.create(name, perm & 0o777, mode))
        try:
            await arrived(made.wstat(Stat(mode=perm & 0o777)))
        except BaseException:
            await arrived(made.clunk())
            raise
        return made

    async def _lcreate_odd(self, name: str, perm: int, mode: int) -> File:
        """The same with a name that 9P2000 has for no new file."""

        async def made(here: RemoteFile) -> None:
            async with await here.walk([]) as view:
                await view.create(name, perm, OREAD)

        await self._change(made)
        file = await arrived(self.step(name))
        try:
            await arrived(file.open(mode))
        except BaseException:
            await arrived(file.clunk())
            raise
        return file

    async def told(self, stat: Stat) -> Stat:
        """An entry with what it does not say in 9P2000: where a link leads, which device it is."""
        if is_told(stat):
            return stat
        return await self._ask(lambda file: _told(file, stat))

    async def told_all(self, entries: Sequence[Stat]) -> Sequence[Stat]:
        """The same for what is in this directory, all at once. An entry that is gone meanwhile stays as it is."""
        if all(map(is_told, entries)):
            return entries
        found = list(entries)

        async def ask(here: RemoteFile) -> None:
            places = [place for place, entry in enumerate(entries) if not is_told(entry)]

            async def work() -> None:
                while places:
                    place = places.pop()
                    try:
                        async with await here.walk([found[place].name]) as file:
                            found[place] = await _told(file, found[place])
                    except FileError:
                        pass

            async with open_nursery() as nursery:
                for _ in range(min(AT_ONCE, len(places))):
                    nursery.start_soon(work)

        try:
            await self._ask(ask)
        except (NinepError, WireError) as error:
            raise ServerGone from error
        return found

    async def readlink(self) -> str:
        """See ``File``."""
        return await self._ask(lambda file: file.readlink())

    async def statfs(self) -> Statfs:
        """See ``File``."""
        return await self._ask(lambda file: file.statfs())

    async def listxattr(self) -> Sequence[str]:
        """See ``File``."""
        return await self._ask(lambda file: file.listxattr())

    async def getxattr(self, name: str) -> Buffer:
        """See ``File``."""
        return await self._ask(lambda file: file.getxattr(name))

    async def setxattr(self, name: str, value: bytes, flags: int) -> None:
        """See ``File``."""
        await self._change(lambda file: file.setxattr(name, value, flags))

    async def removexattr(self, name: str) -> None:
        """See ``File``."""
        await self._change(lambda file: file.removexattr(name))

    async def _make(self, name: str, work: Callable[[RemoteFile], Awaitable[None]]) -> Qid:
        """Makes something in this directory, and says what it became."""

        async def made(here: RemoteFile) -> Qid:
            await work(here)
            async with await here.walk([name]) as new:
                return new.qid

        return await self._change(made)

    async def _change(self, work: Callable[[RemoteFile], Awaitable[T]]) -> T:
        self._cache.memory.changed()
        try:
            return await self._ask(work)
        finally:
            self._cache.memory.changed()

    async def _ask(self, work: Callable[[RemoteFile], Awaitable[T]]) -> T:
        await in_task()

        async def asked() -> T:
            async with self._sought() as file:
                return await work(file)

        return await self._handle.upstream.passed(Twalk, asked())

    @asynccontextmanager
    async def _sought(self) -> AsyncIterator[RemoteFile]:
        """This file on the other connection."""
        handle = self._handle
        root = await handle.unix_root()
        try:
            file = await root.walk(handle.names)
        except FileNotFound as error:
            raise StaleFile from error
        async with file:
            if file.qid.path != handle.qid.path:
                raise StaleFile
            yield file


def is_told(stat: Stat) -> bool:
    """Whether an entry says all that there is to say."""
    return not stat.mode & (DMSYMLINK | DMDEVICE) or bool(stat.extension)


async def _told(file: RemoteFile, stat: Stat) -> Stat:
    if stat.mode & DMSYMLINK:
        return stat._replace(extension=await file.readlink())
    found = await file.getattr()
    return stat._replace(extension=device_extension(found.mode, found.rdev))


def _other(file: File) -> UnixSide:
    """A file of the same tree. Raises ``CrossDevice`` for one that is ours alone."""
    if not isinstance(file, UnixSide):
        raise CrossDevice
    return file


def _number(gid: int | None) -> int:
    return NOFID if gid is None else gid
