"""A view of a place on a file system that may hang, such as NFS: a thread makes every call to it.

So a server or a program that is gone keeps those waiting who want something of it, and nobody else. A client may give
such a request up. Then the thread is waited for no longer than ``GRACE`` and left to itself; what it still brings to
the view of a fid is given up, and a view itself only when the last of its threads has come back.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from types import CoroutineType
from typing import Any

import trio

from ninep.export.acting import AS_OURSELVES
from ninep.export.file import ExportFile
from ninep.export.mounts import Away
from ninep.export.place import thread_begins, thread_ends
from ninep.export.view import LONGEST, ExportView
from ninep.protocol.attributes import Attributes, SetAttributes, Statfs
from ninep.protocol.errors import FileError, FileTooBig
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat
from ninep.server.files import File, Walked
from ninep.tasks.shielded import has_ended
from ninep.wire.dialect import Buffer, Maybe
from ninep.wire.maybe import arrived

GRACE = 1.0
"""Seconds that a call which was given up may still take to end by itself."""
_lock = threading.Lock()
"""Held while it changes which threads a view has."""
_ELSEWHERE = Away()
"""For places where something was mounted that is not there any more."""


class _Job:
    """A call in a thread.

    Attributes:
        begun: whether a thread has taken it.
        given_up: whether nobody waits for it any more.
        ended: whether ``result`` is there.
    """

    __slots__ = ("begun", "ended", "given_up", "result")

    def __init__(self) -> None:
        self.begun = self.given_up = self.ended = False
        self.result: Any = None


class AwayFile(ExportFile):
    """One fid's view of a place."""

    guarded = True
    __slots__ = ("_jobs", "_leaving", "_turns")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._jobs = 0
        self._leaving = False
        self._turns: dict[trio.Event, bool] = {}

    @property
    def qid(self) -> Qid:
        """As the last call has seen it."""
        return self._tree.qid(self._place.status)

    def in_order(
        self, work: Callable[..., Any], arguments: tuple[Any, ...], away: Away, *, writes: bool
    ) -> Coroutine[Any, Any, Any]:
        """``in_thread`` for what shares a fid: who asks sees what was written before, and writes keep their order."""
        earlier = [turn for turn, written in self._turns.items() if written or writes]
        turn = trio.Event()
        self._turns[turn] = writes
        return self._in_turn(turn, earlier, work, arguments, away)

    async def _in_turn(
        self,
        turn: trio.Event,
        earlier: Sequence[trio.Event],
        work: Callable[..., Any],
        arguments: tuple[Any, ...],
        away: Away,
    ) -> Any:
        try:
            for other in earlier:
                await other.wait()
            return await self.in_thread(work, arguments, away)
        finally:
            del self._turns[turn]
            turn.set()

    async def in_thread(self, work: Callable[..., Any], arguments: tuple[Any, ...], away: Away) -> Any:
        """What ``work`` makes of this view and ``arguments``."""
        job = _Job()
        with _lock:
            self._jobs += 1
        others = [file._place.hold() for file in arguments if isinstance(file, ExportFile)]
        thread_begins()

        def run() -> None:
            with _lock:
                if job.given_up:
                    return
                job.begun = True
            try:
                # The system's errors become those of 9P.
                with AS_OURSELVES:
                    job.result = work(self, *arguments)
            finally:
                end()

        def end() -> None:
            for place in others:
                place.drop()
            with _lock:
                job.ended = True
                self._jobs -= 1
                leave = self._leaving and not self._jobs
            try:
                if job.given_up:
                    _give_up(job.result)
                if leave:
                    self._leave()
            finally:
                thread_ends()

        if not await has_ended(
            partial(trio.to_thread.run_sync, run, abandon_on_cancel=True, limiter=away.limiter), GRACE
        ):
            with _lock:
                job.given_up = True
                begun, ended = job.begun, job.ended
            if not begun:
                end()
            elif ended:
                thread_begins()
                trio.lowlevel.start_thread_soon(lambda: _give_up(job.result), lambda _: thread_ends())
            await trio.lowlevel.checkpoint_if_cancelled()
        return await arrived(job.result)

    @property
    def is_idle(self) -> bool:
        """Whether it can be given up without a word to the file system."""
        return self._descriptor < 0 and not self._jobs

    def _leave(self) -> None:
        """Gives up what the view holds. What closing the file fails with is raised afterwards."""
        descriptor, self._descriptor = self._descriptor, -1
        try:
            self._end_listing()
            if descriptor >= 0:
                os.close(descriptor)
        finally:
            self._place.drop()

    # What clients ask

    @property
    def _away(self) -> Away:
        return self._place.away or _ELSEWHERE

    def _ask(self, work: Callable[..., Any], *arguments: Any) -> Coroutine[Any, Any, Any]:
        return self.in_thread(work, arguments, self._away)

    def _ask_below(self, work: Callable[..., Any], name: str, *arguments: Any) -> Coroutine[Any, Any, Any]:
        """For what concerns a name in this directory, behind which another file system may be mounted."""
        return self.in_thread(work, (name, *arguments), self._away.on((name,)))

    def walk(self, names: Sequence[str]) -> Maybe[Walked]:
        """The file systems are those on the way, too."""
        return self.in_thread(ExportFile.walk, (names,), self._away.on(names))

    def step(self, name: str) -> Maybe[File]:
        """See ``File``, as for the other methods."""
        return self._ask_below(ExportFile.step, name)

    def open(self, mode: int) -> Maybe[None]:
        """What it is may have changed since it was walked to."""
        return self._ask(AwayFile._open_here, mode)

    def create(self, name: str, perm: int, mode: int) -> Maybe[File]:
        """Makes a file or directory, open."""
        return self._ask_below(ExportFile.create, name, perm, mode)

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        """Behind what was written before."""
        return self.in_order(AwayFile._read_here, (offset, count), self._away, writes=False)

    def write(self, offset: int, data: Buffer) -> Maybe[int]:
        """In the order in which it was asked for."""
        return self.in_order(AwayFile._write_here, (offset, data), self._away, writes=True)

    def list(self, rewind: bool) -> Maybe[Sequence[Stat]]:
        """The next entries."""
        return self._ask(ExportFile.list, rewind)

    def stat(self) -> Maybe[Stat]:
        """Behind what was written before."""
        return self.in_order(ExportFile.stat, (), self._away, writes=False)

    def wstat(self, changes: Stat) -> Maybe[None]:
        """What it changes and what it only makes durable, in one call."""
        return self._ask(AwayFile._wstat_here, changes)

    def remove(self) -> Maybe[None]:
        """Removes it, and gives the view up."""
        return self._ask(ExportFile.remove)

    def clunk(self) -> Maybe[None]:
        """No thread is needed where there is nothing to say to the file system."""
        if self.is_idle:
            self._leave()
            return None
        return self._ask(AwayFile._clunk_here)

    # What only Unix asks

    def getattr(self, mask: int) -> Maybe[Attributes]:
        """Behind what was written before."""
        return self.in_order(ExportFile.getattr, (mask,), self._away, writes=False)

    def setattr(self, changes: SetAttributes) -> Maybe[None]:
        """Changes attributes."""
        return self._ask(ExportFile.setattr, changes)

    def lcreate(self, name: str, perm: int, mode: int, gid: int | None) -> Maybe[File]:
        """Makes a plain file, open."""
        return self._ask_below(ExportFile.lcreate, name, perm, mode, gid)

    def mkdir(self, name: str, perm: int, gid: int | None) -> Maybe[Qid]:
        """Makes a directory."""
        return self._ask_below(ExportFile.mkdir, name, perm, gid)

    def mknod(self, name: str, mode: int, rdev: int, gid: int | None) -> Maybe[Qid]:
        """Makes a device, pipe or socket."""
        return self._ask_below(ExportFile.mknod, name, mode, rdev, gid)

    def symlink(self, name: str, target: str, gid: int | None) -> Maybe[Qid]:
        """Makes a symbolic link."""
        return self._ask_below(ExportFile.symlink, name, target, gid)

    def link(self, name: str, file: File) -> Maybe[None]:
        """Makes another name."""
        return self._ask_below(ExportFile.link, name, file)

    def readlink(self) -> Maybe[str]:
        """The target of a symbolic link."""
        return self._ask(ExportFile.readlink)

    def rename(self, directory: File, name: str) -> Maybe[None]:
        """Moves it."""
        return self._ask(ExportFile.rename, directory, name)

    def replace(self, name: str) -> Maybe[None]:
        """Renames it within its directory."""
        return self._ask_below(ExportFile.replace, name)

    def renameat(self, name: str, directory: File, newname: str) -> Maybe[None]:
        """Moves what is called ``name``."""
        return self._ask_below(ExportFile.renameat, name, directory, newname)

    def unlinkat(self, name: str, directory: bool) -> Maybe[None]:
        """Removes a name."""
        return self._ask_below(ExportFile.unlinkat, name, directory)

    def fsync(self, data_only: bool) -> Maybe[None]:
        """Makes it durable."""
        return self._ask(AwayFile._fsync_here, data_only)

    def statfs(self) -> Maybe[Statfs]:
        """The room of its file system."""
        return self._ask(ExportFile.statfs)

    def listxattr(self) -> Maybe[Sequence[str]]:
        """The names of its extended attributes."""
        return self._ask(ExportFile.listxattr)

    def getxattr(self, name: str) -> Maybe[Buffer]:
        """An extended attribute."""
        return self._ask(ExportFile.getxattr, name)

    def setxattr(self, name: str, value: bytes, flags: int) -> Maybe[None]:
        """Sets an extended attribute."""
        return self._ask(ExportFile.setxattr, name, value, flags)

    def removexattr(self, name: str) -> Maybe[None]:
        """Removes an extended attribute."""
        return self._ask(ExportFile.removexattr, name)

    # What is done otherwise by a thread

    def _open_here(self, mode: int) -> None:
        ExportFile.open(self, mode)
        self._place.refresh()

    def _read_here(self, offset: int, count: int) -> Buffer:
        if offset > LONGEST:
            return b""
        if self._target:
            return self._target[offset : offset + count]
        try:
            return os.pread(self._descriptor, count, offset)
        except BlockingIOError as error:
            # It is not waited for: who asked could not be told from one that hangs.
            raise FileError("there is nothing to read now: try again", errno.EAGAIN) from error

    def _write_here(self, offset: int, data: Buffer) -> int:
        if offset > LONGEST:
            raise FileTooBig
        return os.pwrite(self._descriptor, data, offset)

    def _wstat_here(self, changes: Stat) -> None:
        syncing = ExportFile.wstat(self, changes)
        if isinstance(syncing, CoroutineType):
            syncing.close()
            self._fsync_here(data_only=False)

    def _fsync_here(self, data_only: bool) -> None:
        descriptor = self._descriptor
        if descriptor < 0 and not self._place.is_syncable:
            return
        opened = self._place.open(os.O_RDONLY) if descriptor < 0 else -1
        try:
            (os.fdatasync if data_only else os.fsync)(descriptor if opened < 0 else opened)
        finally:
            if opened >= 0:
                os.close(opened)

    def parted(self, status: os.stat_result) -> None:
        """As every view here is given up."""
        self._clunk_here()

    def _clunk_here(self) -> None:
        with _lock:
            # Who clunks is one of them.
            self._leaving = self._jobs > 1
        if not self._leaving:
            self._leave()


def _give_up(result: object) -> None:
    """What came of a call that nobody waits for."""
    if isinstance(result, CoroutineType):
        result.close()
    file = result.file if isinstance(result, Walked) else result
    if isinstance(file, AwayFile):
        file._leave()
    elif isinstance(file, ExportView):
        file._give_up()
