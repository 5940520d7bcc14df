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
from functools import partial, wraps
from types import CoroutineType
from typing import Any

import trio

from ninep.export.acting import AS_OURSELVES
from ninep.export.file import ExportFile
from ninep.export.mounts import Away
from ninep.export.place import thread_begins, thread_ends
from ninep.export.view import LONGEST, ExportView
from ninep.protocol.errors import FileError, FileTooBig
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat
from ninep.server.files import Walked
from ninep.tasks.shielded import has_ended
from ninep.wire.dialect import Buffer
from ninep.wire.maybe import arrived

GRACE = 1.0
"""Seconds that a call which was given up may still take to end by itself."""
_CALLS = (
    *("walk", "step", "open", "create", "read", "write", "list", "stat", "wstat", "remove", "clunk", "getattr"),
    *("setattr", "lcreate", "mkdir", "mknod", "symlink", "link", "readlink", "rename", "replace", "renameat"),
    *("unlinkat", "fsync", "statfs", "listxattr", "getxattr", "setxattr", "removexattr"),
)
_SHARING = frozenset(("read", "write", "stat", "getattr"))
_lock = threading.Lock()
"""Held while it changes which threads a view has."""
_here = threading.local()
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
            _here.inside = True
            try:
                # The system's errors become those of 9P.
                with AS_OURSELVES:
                    job.result = work(self, *arguments)
            finally:
                _here.inside = False
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


_OWN = {
    "open": AwayFile._open_here,
    "read": AwayFile._read_here,
    "write": AwayFile._write_here,
    "wstat": AwayFile._wstat_here,
    "fsync": AwayFile._fsync_here,
    "clunk": AwayFile._clunk_here,
}


def _guarded(name: str) -> Callable[..., Any]:
    """The method, made by a thread; in one, as it is."""
    plain = getattr(ExportFile, name)
    work: Callable[..., Any] = _OWN.get(name, plain)

    @wraps(plain)
    def call(self: AwayFile, *arguments: Any) -> Any:
        if getattr(_here, "inside", False):
            return work(self, *arguments)
        if name == "clunk" and self.is_idle:
            return self._leave()
        away = self._place.away or _ELSEWHERE
        if name == "walk":
            away = away.on(arguments[0])
        elif arguments and isinstance(arguments[0], str):
            away = away.on(arguments[:1])
        if name in _SHARING:
            return self.in_order(work, arguments, away, writes=name == "write")
        return self.in_thread(work, arguments, away)

    return call


for _name in _CALLS:
    setattr(AwayFile, _name, _guarded(_name))
