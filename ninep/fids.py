"""One connection's fids: what each stands for, and who is using it at the moment."""

from __future__ import annotations

from collections import deque

import trio

from ninep.errors import FidInUse, FileError, UnknownFid
from ninep.files import File

UNOPENED = -1


class Turn:
    """A request's place in a fid's queue, taken when the request arrives."""

    __slots__ = ("alone", "granted", "task")

    def __init__(self, alone: bool) -> None:
        self.alone = alone
        self.granted = False
        self.task: trio.lowlevel.Task | None = None


class Fid:
    """A client's handle on a file.

    Reads and writes share it, everything else has it alone; who has to wait gets it in the order of arrival. As long
    as no call has to wait nothing is locked.

    Attributes:
        file: what it stands for; None while the walk or attach that sets it up is under way, or after it failed.
        mode: the open mode, ``UNOPENED`` before.
        entries: packed directory entries that have been listed and not yet been read, in order.
        offset: where the next directory read must begin.
        shared: how many calls share it.
        alone: whether one call has it alone.
    """

    __slots__ = ("_queue", "alone", "entries", "file", "mode", "offset", "shared")

    def __init__(self, file: File | None = None) -> None:
        self.file = file
        self.mode = UNOPENED
        self.entries: list[bytes] = []
        self.offset = 0
        self.shared = 0
        self.alone = False
        self._queue: deque[Turn] = deque()

    @property
    def held(self) -> bool:
        """Whether a call that would share the fid must wait."""
        return self.alone or bool(self._queue)

    @property
    def busy(self) -> bool:
        """Whether a call that wants the fid alone must wait."""
        return self.alone or self.shared > 0 or bool(self._queue)

    def queue(self, *, alone: bool) -> Turn:
        """Takes the next place in the queue. ``wait`` must follow, whatever happens."""
        turn = Turn(alone)
        self._queue.append(turn)
        return turn

    async def wait(self, turn: Turn) -> None:
        """Waits until the fid is had, shared or alone. Cancelled, it is not, and the place is given up."""
        if turn.granted:
            return
        turn.task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._queue.remove(turn)
            self._grant()
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def release(self, *, alone: bool) -> None:
        """Gives back what ``wait`` gave or what was taken without waiting."""
        if alone:
            self.alone = False
        else:
            self.shared -= 1
        if self._queue:
            self._grant()

    def _grant(self) -> None:
        queue = self._queue
        while queue and not self.alone and not (queue[0].alone and self.shared):
            turn = queue.popleft()
            if turn.alone:
                self.alone = True
            else:
                self.shared += 1
            turn.granted = True
            if turn.task is not None:
                trio.lowlevel.reschedule(turn.task)


class FidTable:
    """The fids of one connection, by the number that the client chose."""

    def __init__(self, most: int) -> None:
        self._fids: dict[int, Fid] = {}
        self._most = most
        self.get = self._fids.get

    def __len__(self) -> int:
        return len(self._fids)

    def __getitem__(self, number: int) -> Fid:
        fid = self._fids.get(number)
        if fid is None:
            raise UnknownFid
        return fid

    def add(self, number: int, file: File | None = None) -> Fid:
        """Sets up a fid.

        Raises:
            FidInUse: the number is taken.
            FileError: the client has more fids than it may.
        """
        if number in self._fids:
            raise FidInUse
        if len(self._fids) >= self._most:
            raise FileError(f"too many fids: {self._most} are in use on this connection")
        fid = self._fids[number] = Fid(file)
        return fid

    def take(self, number: int) -> Fid:
        """Removes a fid and returns it. Raises ``UnknownFid``."""
        fid = self._fids.pop(number, None)
        if fid is None:
            raise UnknownFid
        return fid

    def take_all(self) -> list[Fid]:
        """Removes all fids and returns them."""
        fids = list(self._fids.values())
        self._fids.clear()
        return fids
