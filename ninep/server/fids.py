"""The fids of one connection: the file of each, and which request is using it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, Protocol, TypeVar

import trio

from ninep.protocol.errors import FidInUse, TooManyFids, UnknownFid
from ninep.protocol.locks import LockTable
from ninep.protocol.messages import ORCLOSE
from ninep.protocol.permissions import readable, writable
from ninep.server.files import File
from ninep.wire.dialect import Maybe
from ninep.wire.maybe import arrived
from ninep.wire.taskless import in_task

T = TypeVar("T")


class Reader(Protocol):
    """What reads an open directory in the messages of one dialect."""

    def read(self, offset: int, count: int) -> Maybe[bytes]:
        """Whole entries, as many as fit in ``count`` bytes."""
        ...


class _Turn:
    """A request's place in a fid's queue, taken when the request arrives."""

    __slots__ = ("alone", "granted", "task")

    def __init__(self, alone: bool) -> None:
        self.alone = alone
        self.granted = False
        self.task: trio.lowlevel.Task | None = None


class Fid:
    """A client's handle on a file.

    Reads, writes and stats share it, everything else has it alone; who has to wait gets it in the order of arrival.
    As long as no call has to wait nothing is locked.

    Attributes:
        file: what it stands for; None while the walk or attach that sets it up is under way, or after it failed.
        opened: whether it is open.
        readable: whether bytes may be read from it; never for a directory.
        writable: whether bytes may be written to it.
        directory: the reader of an open directory, else None.
        locks: the table that it has taken record locks in, else None.
        removes: whether giving it up removes the file.
        most: most bytes of one read.
        held: whether a call that would share it must wait: one has it alone, or others wait already.
    """

    __slots__ = (
        "_alone",
        "_beginning",
        "_queue",
        "_shared",
        "directory",
        "file",
        "held",
        "locks",
        "most",
        "opened",
        "readable",
        "removes",
        "writable",
    )

    def __init__(self, file: File | None = None) -> None:
        self.file = file
        self.opened = self.readable = self.writable = self.removes = self.held = self._alone = self._beginning = False
        self.directory: Reader | None = None
        self.locks: LockTable | None = None
        self.most = self._shared = 0
        self._queue: deque[_Turn] | None = None

    def open(self, file: File, mode: int, most: int, directory: Reader | None = None) -> None:
        """Records that ``file``, which it stands for now, has been opened; ``most`` bounds one read.

        ``directory`` reads it where it is one.
        """
        self.file = file
        self.most = min(file.iounit, most) or most
        self.removes = bool(mode & ORCLOSE)
        self.directory = directory
        if directory is None:
            self.readable = readable(mode)
            self.writable = writable(mode)
        self.opened = True

    def occupy(self, file: File) -> None:
        """Records that it stands for ``file`` now and is open, but neither to be read nor to be written."""
        self.file = file
        self.opened = True

    def release_locks(self) -> None:
        """Gives back its record locks."""
        if self.locks is not None and self.file is not None:
            self.locks.release(self.file.qid.path, self)
            self.locks = None

    @property
    def busy(self) -> bool:
        """Whether a call that wants the fid alone must wait."""
        return self.held or self._shared > 0

    def reserve(self) -> None:
        """Takes a new fid alone, until ``release``."""
        self._alone = self.held = True

    def release(self, *, alone: bool) -> None:
        """Gives back what one call had, and lets in who waits."""
        if alone:
            self._alone = False
        else:
            self._shared -= 1
        self._grant()

    def run_alone(self, do: Callable[..., Maybe[T]], *arguments: Any, shield: bool = False) -> Maybe[T]:
        """Does it now if the fid is idle, else when its turn has come; the fid is had alone until it is done."""
        if self.held or self._shared:
            return self.run_queued(do, *arguments, alone=True, shield=shield)
        result = do(*arguments)
        if type(result) is not CoroutineType:
            return result
        self.reserve()
        return self._releasing(result, alone=True)

    def run_shared(self, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """The rest of a call that has begun without waiting and shares the fid."""
        self._shared += 1
        return self._releasing(work, alone=False)

    def run_beside(self, do: Callable[..., Maybe[T]], *arguments: Any) -> Maybe[T]:
        """Does it now if nobody has the fid alone or waits for that, else when its turn has come; shares the fid."""
        if self.held:
            return self.run_queued(do, *arguments, alone=False)
        result = do(*arguments)
        return self.run_shared(result) if type(result) is CoroutineType else result

    def run_queued(
        self, do: Callable[..., Maybe[T]], *arguments: Any, alone: bool, shield: bool = False
    ) -> Coroutine[Any, Any, T]:
        """Does it when the fid's turn has come; places in the queue go in the order of arrival.

        Cancelled while it waits, its place is given up. With ``shield`` it waits and is done all the same: a fid that
        is being given up.
        """
        turn = _Turn(alone)
        if self._queue is None:
            self._queue = deque()
        self._queue.append(turn)
        self.held = True
        return self._in_turn(turn, do, arguments, shield)

    @staticmethod
    def run_both(first: Fid, second: Fid, do: Callable[..., Maybe[T]], *arguments: Any) -> Maybe[T]:
        """The same for what needs two fids alone.

        As places in all queues go in the order of arrival, no two requests can wait for each other.
        """
        if first is second:
            return first.run_alone(do, *arguments)
        if first.busy or second.busy:
            turns = [(fid, fid._queued()) for fid in (first, second)]
            return _in_turns(turns, do, arguments)
        result = do(*arguments)
        if type(result) is not CoroutineType:
            return result
        first.reserve()
        second.reserve()
        return first._releasing(second._releasing(result, alone=True), alone=True)

    def _queued(self) -> _Turn:
        turn = _Turn(True)
        if self._queue is None:
            self._queue = deque()
        self._queue.append(turn)
        self._grant()
        return turn

    def _give_up(self, turn: _Turn) -> None:
        """Gives back a place that is not needed, whether its turn has come or not."""
        if turn.granted:
            self._beginning = False
            self.release(alone=True)
        elif self._queue and turn in self._queue:
            self._queue.remove(turn)
            self._grant()

    async def _in_turn(self, turn: _Turn, do: Callable[..., Maybe[T]], arguments: tuple[Any, ...], shield: bool) -> T:
        await in_task()
        with trio.CancelScope(shield=shield):
            await self._wait(turn)
        try:
            try:
                result = do(*arguments)
            finally:
                self._beginning = False
                self._grant()
            return await arrived(result)
        finally:
            self.release(alone=turn.alone)

    async def _releasing(self, work: Coroutine[Any, Any, T], *, alone: bool) -> T:
        try:
            return await work
        finally:
            self.release(alone=alone)

    async def _wait(self, turn: _Turn) -> None:
        if turn.granted:
            return
        turn.task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            assert self._queue is not None
            self._queue.remove(turn)
            self._grant()
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def _grant(self) -> None:
        queue = self._queue
        while queue and not self._beginning and not self._alone and not (queue[0].alone and self._shared):
            turn = queue.popleft()
            # The next is let in when this one has begun: tasks woken together run in any order.
            self._beginning = True
            if turn.alone:
                self._alone = True
            else:
                self._shared += 1
            turn.granted = True
            if turn.task is not None:
                trio.lowlevel.reschedule(turn.task)
        self.held = self._alone or self._beginning or bool(queue)


async def _in_turns(turns: list[tuple[Fid, _Turn]], do: Callable[..., Maybe[T]], arguments: tuple[Any, ...]) -> T:
    await in_task()
    had: list[Fid] = []
    waiting = list(turns)
    try:
        while waiting:
            fid, turn = waiting[0]
            await fid._wait(turn)
            had.append(fid)
            del waiting[0]
            # Whoever comes next on this fid waits for its release.
            fid._beginning = False
        return await arrived(do(*arguments))
    finally:
        for fid, turn in waiting:
            fid._give_up(turn)
        for fid in had:
            fid.release(alone=True)


class FidTable(dict[int, Fid]):
    """The fids of one connection, by the number that the client chose. Looking up another raises ``UnknownFid``."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __missing__(self, number: int) -> Fid:
        raise UnknownFid

    def add(self, number: int, file: File | None = None) -> Fid:
        """Sets up a fid.

        Raises:
            FidInUse: the number is taken.
            TooManyFids: the client has as many fids as it may.
        """
        if number in self:
            raise FidInUse
        if len(self) >= self._most:
            raise TooManyFids(f"{TooManyFids.text}: {self._most} are in use on this connection")
        fid = self[number] = Fid(file)
        return fid

    def take(self, number: int) -> Fid:
        """Removes a fid and returns it. Raises ``UnknownFid``."""
        fid = self.pop(number, None)
        if fid is None:
            raise UnknownFid
        return fid

    def forget(self, number: int, fid: Fid) -> None:
        """Removes a fid that did not come to be, unless the client has given up its number or used it anew."""
        if self.get(number) is fid:
            del self[number]

    def take_all(self) -> list[Fid]:
        """Removes all fids and returns them."""
        fids = list(self.values())
        self.clear()
        return fids
