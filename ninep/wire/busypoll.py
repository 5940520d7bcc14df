"""Polls a socket for a short time before the program goes to sleep, which saves the wake-up.

A request that finds its server asleep pays for waking it up: on a virtual machine that is several times what all the
rest of a small request costs. So a program that has just had something to do looks at its sockets again and again for
a moment before it lets the kernel put it to sleep, as the network stack (``SO_BUSY_POLL``) and KVM (``halt_poll_ns``)
do. It only does so while waits are short: a program with nothing to do sleeps, and every look lets others have the
processor first (``sched_yield``).

One instrument serves all connections of an event loop::

    trio.run(main, instruments=busypoll.instruments())

Whoever does not ask for it does without: a library has no business keeping its user's processor busy.
"""

from __future__ import annotations

import contextlib
import os
import select
import time

import trio

LIMIT = 100
"""Microseconds that a program looks before it sleeps, unless told otherwise: some times what waking up costs."""

TURNS = 16
"""Times in a row that a task may look for itself before the loop has its turn: other tasks and timers wait so long."""
IN_VAIN = 4
"""So many looks in a row that find nothing are enough: peers are too slow, or come in where nobody looks."""
REST = 200
"""Waits for which it leaves off."""

_current: trio.lowlevel.RunVar[BusyPoll | None] = trio.lowlevel.RunVar("busypoll", default=None)


class BusyPoll(trio.abc.Instrument):
    """Keeps an event loop awake for at most ``limit`` seconds, if its last wait was about as short as that.

    Not while threads work for the loop: it could not see one of them end. Not for a while where it found nothing some
    times in a row. Timers are kept.

    Attributes:
        limit: seconds.
        found: how many waits ended by looking.
        vain: how many times it looked in vain.
    """

    def __init__(self, limit: float = LIMIT * 1e-6) -> None:
        self.limit = limit
        self._epoll = select.epoll()
        self._began = 0.0
        self._short = False
        self._looked = False
        self._turns = 0
        self._row = 0
        self._rest = 0
        self._limiter: trio.CapacityLimiter | None = None
        self.found = 0
        self.vain = 0

    def before_run(self) -> None:
        _current.set(self)
        self._limiter = trio.to_thread.current_default_thread_limiter()

    def after_run(self) -> None:
        self._epoll.close()

    def watch(self, descriptor: int) -> None:
        """Looks at this socket or pipe, too. Closing it is enough to end that."""
        with contextlib.suppress(FileExistsError, PermissionError):  # watched already; a file, which never waits
            self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLRDHUP)

    def look(self, descriptor: int) -> bool:
        """Whether this socket has something to read, and no other one, within the limit.

        For a task with nothing else to do: what a task finds so it need not wait for, which saves the loop's work, too.
        False when the loop should have its turn; then wait as always.
        """
        if not self._short or self._rest or self._turns >= TURNS or self._threads():
            return False
        self._turns += 1
        found = self._until(self.limit, 2)
        self._looked = not found
        if len(found) == 1 and found[0][0] == descriptor:
            return True
        if found:
            # Others have something, too: that is for the loop, and nobody else needs to look before it had its turn.
            self._turns = TURNS
        return False

    def before_io_wait(self, timeout: float) -> None:
        if timeout > 0:
            self._began = time.perf_counter()
            if self._rest:
                self._rest -= 1
            elif self._short and not self._looked and not self._threads():
                self._until(min(timeout, self.limit), 1)

    def after_io_wait(self, timeout: float) -> None:
        self._turns = 0
        if timeout > 0:
            self._looked = False
            self._short = time.perf_counter() - self._began < 2 * self.limit

    def _threads(self) -> bool:
        return self._limiter is not None and self._limiter.borrowed_tokens > 0

    def _until(self, limit: float, most: int) -> list[tuple[int, int]]:
        clock, poll, give_way = time.perf_counter, self._epoll.poll, os.sched_yield
        end = clock() + limit
        while not (found := poll(0, most)):
            if clock() >= end:
                self.vain += 1
                self._row += 1
                if self._row == IN_VAIN:
                    self._row, self._rest = 0, REST
                return found
            give_way()
        self.found += 1
        self._row = 0
        return found


def instruments(microseconds: int = LIMIT) -> list[trio.abc.Instrument]:
    """What to give to ``trio.run``: nothing where ``microseconds`` is 0 or there is only one processor.

    With one processor the peer cannot get ready while we look.
    """
    if microseconds <= 0 or not hasattr(select, "epoll") or len(os.sched_getaffinity(0)) < 2:
        return []
    return [BusyPoll(microseconds * 1e-6)]


def current() -> BusyPoll | None:
    """The instrument of this event loop, if it has one."""
    return _current.get()


def watch(stream: trio.abc.Stream) -> BusyPoll | None:
    """Tells the instrument of this event loop, if it has one, of a stream that requests or replies come from."""
    instrument = current()
    if instrument is not None:
        descriptor = _descriptor(stream)
        if descriptor is not None:
            instrument.watch(descriptor)
    return instrument


def _descriptor(stream: object) -> int | None:
    """Where the bytes of a stream come from, if that is something to look at."""
    for name in ("transport_stream", "receive_stream"):  # as trio calls what a stream is made of
        if (inner := getattr(stream, name, None)) is not None:
            return _descriptor(inner)
    if isinstance(stream, trio.SocketStream):
        return stream.socket.fileno()
    return stream.fileno() if isinstance(stream, trio.lowlevel.FdStream) else None
