"""Runs a trio loop in a thread, for programs that are not async."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

import trio

from ninep.tasks.nursery import background

T = TypeVar("T")
R = TypeVar("R")

PATIENCE = 10.0
"""Seconds that an interrupted call is given to end."""

LOOK = 0.5
"""Seconds after which a waiting thread looks whether it was interrupted."""


class LoopEnded(Exception):
    """The loop that was called has ended."""


class LoopElsewhere(LoopEnded):
    """The loop belongs to the process that this one was forked from."""


class LoopThread(Generic[T]):
    """Enters an async context manager in a thread of its own; calls from other threads work on what it gave.

    Attributes:
        thing: what the context manager gave.
    """

    def __init__(self, manager: Callable[[], AbstractAsyncContextManager[T]], *, name: str) -> None:
        """Returns when the context is entered; raises what entering it raises. ``name`` is the thread's."""
        self.thing: T
        self._manager = manager
        self._process = os.getpid()
        self._begun = threading.Event()
        self._failure: BaseException | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._leave: trio.Event | None = None
        self._scope = trio.CancelScope()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        try:
            _wait(self._begun)
        except BaseException:
            self._cancel(self._scope)
            self._thread.join(PATIENCE)
            raise
        if self._nursery is None:
            self._thread.join()
            self._raise_failure()

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:
            self._failure = error
        finally:
            self._begun.set()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            self._leave = trio.Event()
            async with self._manager() as thing:
                self.thing = thing
                async with background() as nursery:
                    self._nursery = nursery
                    self._begun.set()
                    await self._leave.wait()

    def run(self, work: Callable[..., Awaitable[R]], *arguments: Any) -> R:
        """Runs ``work(*arguments)`` in the loop and waits for it; raises what it raises.

        Whoever is interrupted while waiting (Ctrl-C) cancels the work, and waits for its end, ``PATIENCE`` seconds at
        most.

        Raises:
            LoopEnded: the context has ended, before or meanwhile.
            RuntimeError: it is the loop's own thread that asks, and would wait for itself.
        """
        self._check()
        call = _Call(work, arguments)
        try:
            self._submit(call)
            _wait(call.done)
        except BaseException:
            self._cancel(call.scope)
            call.done.wait(PATIENCE)
            raise
        if call.failure is None:
            return call.result
        try:
            if isinstance(call.failure, trio.Cancelled):
                raise LoopEnded("it has ended") from None
            raise call.failure
        finally:
            # The failure leads back to this frame.
            del call

    @property
    def is_elsewhere(self) -> bool:
        """Whether the loop belongs to the process that this one was forked from."""
        return os.getpid() != self._process

    def _check(self) -> None:
        if self.is_elsewhere:
            raise LoopElsewhere("it belongs to the process that this one was forked from")
        if threading.current_thread() is self._thread:
            raise RuntimeError("called from the thread of the connection itself, which would wait for itself for ever")
        if self._closing or not self._thread.is_alive():
            raise LoopEnded("it has ended")

    def _submit(self, call: _Call[Any]) -> None:
        assert self._token is not None
        try:
            self._token.run_sync_soon(self._start, call)
        except trio.RunFinishedError:
            raise LoopEnded("it has ended") from None

    def _start(self, call: _Call[Any]) -> None:
        assert self._nursery is not None
        try:
            self._nursery.start_soon(call.run)
        except RuntimeError:
            call.failure = LoopEnded("it has ended")
            call.done.set()

    def _cancel(self, scope: trio.CancelScope) -> None:
        try:
            if self._token is not None:
                self._token.run_sync_soon(scope.cancel)
        except trio.RunFinishedError:
            pass

    def close(self) -> None:
        """Cancels what still runs and leaves the context; raises what that raises. Harmless the second time.

        A process that was forked from the one that made this has nothing to close.
        """
        if self._closing or self.is_elsewhere:
            return
        self._closing = True
        try:
            if self._token is not None and self._leave is not None:
                self._token.run_sync_soon(self._leave.set)
        except trio.RunFinishedError:
            pass
        if threading.current_thread() is self._thread:
            # The garbage collector runs in whichever thread it likes; this one cannot wait for itself.
            return
        try:
            while self._thread.is_alive():
                self._thread.join(LOOK)
        except BaseException:
            self._cancel(self._scope)
            self._thread.join(PATIENCE)
            raise
        self._raise_failure()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is None:
            return
        try:
            raise failure
        finally:
            del failure


def _wait(event: threading.Event) -> None:
    """Waits in pieces: a signal that comes just before the system call does not end it."""
    while not event.wait(LOOK):
        pass


class _Call(Generic[R]):
    """One call on its way."""

    def __init__(self, work: Callable[..., Awaitable[R]], arguments: tuple[Any, ...]) -> None:
        self._work = work
        self._arguments = arguments
        self.scope = trio.CancelScope()
        self.done = threading.Event()
        self.failure: BaseException | None = None
        self.result: R

    async def run(self) -> None:
        try:
            with self.scope:
                self.result = await self._work(*self._arguments)
                return
            self.failure = LoopEnded("it was given up")
        except trio.Cancelled as error:
            self.failure = error
            raise
        except BaseException as error:
            self.failure = error
        finally:
            self.done.set()
