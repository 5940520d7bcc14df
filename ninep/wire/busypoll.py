"""Looking a little longer before going to sleep.

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

_current: trio.lowlevel.RunVar[BusyPoll | None] = trio.lowlevel.RunVar("busypoll", default=None)


class BusyPoll(trio.abc.Instrument):
    """Keeps an event loop awake for at most ``limit`` seconds, if its last wait was about as short as that.

    Not while threads work for the loop: it could not see one of them end. Timers are kept.

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
        self.limiter: trio.CapacityLimiter | None = None
        self.found = 0
        self.vain = 0

    def before_run(self) -> None:
        _current.set(self)
        self.limiter = trio.to_thread.current_default_thread_limiter()

    def after_run(self) -> None:
        self._epoll.close()

    def watch(self, descriptor: int) -> None:
        """Looks at this socket, too. Closing it is enough to end that."""
        with contextlib.suppress(FileExistsError):
            self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLRDHUP)

    def before_io_wait(self, timeout: float) -> None:
        if timeout <= 0:
            return
        clock, poll, give_way = time.perf_counter, self._epoll.poll, os.sched_yield
        self._began = now = clock()
        if not self._short or (self.limiter is not None and self.limiter.borrowed_tokens):
            return
        end = now + min(timeout, self.limit)
        while now < end:
            if poll(0, 1):
                self.found += 1
                return
            give_way()
            now = clock()
        self.vain += 1

    def after_io_wait(self, timeout: float) -> None:
        if timeout > 0:
            self._short = time.perf_counter() - self._began < 2 * self.limit


def instruments(microseconds: int = LIMIT) -> list[trio.abc.Instrument]:
    """What to give to ``trio.run``: nothing where ``microseconds`` is 0 or there is only one processor.

    With one processor the peer cannot get ready while we look.
    """
    if microseconds <= 0 or not hasattr(select, "epoll") or len(os.sched_getaffinity(0)) < 2:
        return []
    return [BusyPoll(microseconds * 1e-6)]


def watch(descriptor: int) -> None:
    """Tells the instrument of this event loop, if it has one, of a socket that requests or replies come from."""
    instrument = _current.get()
    if instrument is not None:
        instrument.watch(descriptor)
