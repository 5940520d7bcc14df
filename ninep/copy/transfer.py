"""The part that copying and removing trees share: a walk with many files in progress at once.

A tree is walked depth first by ``Jobs``. Each directory under way is a ``_Branch``, which counts what is still to be
done in it and ends when nothing is: only then do times and permissions stay as they are set, and can it be removed.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

import trio

from ninep.client.remote import RemoteFile
from ninep.client.tree import RemoteTree
from ninep.net.errors import WireError
from ninep.protocol.errors import FileSystemFull, NinepError
from ninep.protocol.listing import shown
from ninep.protocol.stat import Stat
from ninep.tasks.jobs import Jobs

T = TypeVar("T")

log = logging.getLogger(__name__)

AT_ONCE = 64
"""Jobs under way at the same time."""
PIECE = 1000
"""Entries of a directory that are looked at before the next are asked for."""
SMALL = 256 * 1024
"""Bytes of local I/O that are worth a thread."""
_HOPELESS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS))


class Incomplete(NinepError):
    """Some files of a tree could not be dealt with; each was logged with its reason."""


class NeedsRecursion(NinepError):
    """What was named is a directory."""

    def __init__(self, path: object) -> None:
        super().__init__(f"{path} is a directory: say -r to copy it with all that is in it")


class Progress(NamedTuple):
    """How far a transfer is: files done and bytes done."""

    files: int
    size: int


class Branch:
    """A directory under way, with how many things are still to be done in it. ``finish`` is called when none is."""

    __slots__ = ("_finish", "_left", "failed", "file", "parent", "path")

    def __init__(
        self, path: str, file: RemoteFile, parent: Branch | None, finish: Callable[[Branch], Awaitable[None]]
    ) -> None:
        self.path = path
        self.file = file
        self.parent = parent
        self.failed = False
        self._finish = finish
        self._left = 1

    def begin(self) -> None:
        """One thing more is to be done."""
        self._left += 1

    async def end(self) -> None:
        """One thing is done; with the last of them the directory is, and with it one thing of its parent."""
        branch: Branch | None = self
        while branch is not None:
            branch._left -= 1
            if branch._left:
                return
            await branch._finish(branch)
            branch = branch.parent


class Transfer:
    """Something done to a whole tree: the base of ``put.Put``, ``get.Get`` and ``remove.Remove``.

    A file that cannot be dealt with is logged and left, and the rest goes on; a broken link or a full disk ends it all.
    Cancelled or ended so, what has been done stays done.

    Attributes:
        tree: the server's side.
        files: how many files are done.
        size: how many bytes are.
        failures: how many files and directories could not be dealt with.
    """

    def __init__(self, tree: RemoteTree, progress: Callable[[Progress], None] = lambda _: None) -> None:
        self.tree = tree
        self.files = 0
        self.size = 0
        self.failures = 0
        self.jobs = Jobs(AT_ONCE)
        self._progress = progress

    def done(self, size: int) -> None:
        """One file more is done."""
        self.files += 1
        self.size += size
        self._progress(Progress(self.files, self.size))

    def add(self, branch: Branch, path: str, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Does ``work(branch, path, *arguments)`` as one thing of ``branch``."""
        branch.begin()
        self.jobs.add(self._one, branch, path, work, arguments)

    async def _one(
        self, branch: Branch, path: str, work: Callable[..., Awaitable[None]], arguments: tuple[object, ...]
    ) -> None:
        try:
            await work(branch, path, *arguments)
        except (NinepError, OSError) as error:
            self.failed(branch, path, error)
        await branch.end()

    def failed(self, branch: Branch | None, path: str, error: Exception) -> None:
        """Notes that ``path`` could not be dealt with; raises again what nothing else will survive."""
        if isinstance(error, WireError | FileSystemFull) or getattr(error, "errno", None) in _HOPELESS:
            raise error
        self.failures += 1
        while branch is not None and not branch.failed:
            branch.failed = True
            branch = branch.parent
        reason = getattr(error, "strerror", None) or str(error)
        log.warning("%s: %s", shown(path), reason)

    async def finished(self) -> None:
        """Works off all jobs.

        Raises:
            Incomplete: not everything could be dealt with.
        """
        await self.jobs.run()
        if self.failures:
            some = "one of them" if self.failures == 1 else f"{self.failures} of them"
            raise Incomplete(f"not everything is done: {some} failed, {self.files} files are done")


class Entries:
    """The entries of a directory some at a time: of one that has no end there are never more in memory."""

    def __init__(self, file: RemoteFile) -> None:
        """``file`` is open for reading; it is given up at the end."""
        self._file = file
        self._entries = file.scan()

    @classmethod
    async def begin(cls, directory: RemoteFile) -> Entries:
        """Of a directory that is not open."""
        file = await directory.walk([])
        try:
            await file.open()
        except BaseException:
            await file.leave()
            raise
        return cls(file)

    async def next(self) -> list[Stat]:
        """The next ``PIECE`` entries; fewer, and perhaps none, at the end."""
        found: list[Stat] = []
        try:
            async for entry in self._entries:
                found.append(entry)
                if len(found) == PIECE:
                    return found
        except BaseException:
            await self._close()
            raise
        await self._close()
        return found

    async def _close(self) -> None:
        await self._entries.aclose()
        await self._file.leave()


async def local(size: int, work: Callable[..., T], *arguments: object) -> T:
    """Does local I/O of ``size`` bytes: a small one in line, as a thread would cost more than it saves."""
    if size < SMALL:
        return work(*arguments)
    return await trio.to_thread.run_sync(work, *arguments)
