"""Drives a coroutine without a task for as long as it waits only for replies of another server.

A task, its cancel scope and its turns of the event loop cost more than all the rest of a small request. A server whose
requests do little else than ask another server (a proxy) can do without: the coroutine is driven by hand. Where it
waits for a reply it yields what it waits for, and whoever brings the reply goes on with it on the spot. A coroutine
that is to wait for anything else says so first (``in_task``); from there on it is an ordinary task. So it is when it is
given up, so that cancellation is the same for both.

What is carried so may be anything that keeps to one rule: before it touches a primitive of trio that belongs to a task
(waits, scopes, nurseries, locks), it awaits ``in_task``.
"""

from __future__ import annotations

import contextlib
import threading
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import trio

T = TypeVar("T")


class _State(threading.local):
    inside = False


state = _State()
"""``inside`` tells whether what runs now is carried without a task, for those who wait."""


class Carried(Generic[T]):
    """A coroutine under way. ``go`` begins it, and goes on with it whenever what it waits for is there."""

    __slots__ = ("_done", "_going", "_nursery", "_on", "_scope", "_work")

    def __init__(
        self, work: Coroutine[Any, Any, T], nursery: trio.Nursery, done: Callable[[T | None, Exception | None], None]
    ) -> None:
        """``done`` is called at the end with the value or the error, with neither if it was given up.

        Tasks that it turns out to need run in ``nursery``, which also gets what ``done`` raises.
        """
        self._work = work
        self._nursery = nursery
        self._done: Callable[[T | None, Exception | None], None] = done
        self._on: WaitPoint | None = None
        self._scope: trio.CancelScope | None = None
        self._going = False

    def go(self) -> None:
        """Runs until it has to wait. Where the rule was not kept it ends there, with a ``RuntimeError``."""
        before = state.inside
        state.inside = self._going = True
        value: T | None = None
        error: Exception | None = None
        try:
            on = self._work.send(None)
        except StopIteration as end:
            value = end.value
        except Exception as failure:
            error = failure
        else:
            self._going = False
            if self._scope is not None:
                self._nursery.start_soon(self._run, self._scope)
            elif on is None:
                self._scope = trio.CancelScope()
                self._nursery.start_soon(self._run, self._scope)
            elif isinstance(on, type) or not hasattr(on, "task"):
                error = RuntimeError("a primitive of trio where there is no task: await in_task() before it")
                with contextlib.suppress(RuntimeError):  # that it goes on waiting
                    self._work.close()
            else:
                self._on = on
                on.task = self
            if error is None:
                return
        finally:
            state.inside = before
        # It stays going: there is nothing any more that could be given up.
        try:
            self._end(value, error)
        except Exception as failure:
            # No trouble of whoever brought the reply, who may carry for others, too.
            self._nursery.start_soon(_fail, failure)
        finally:
            # It has this frame in its traceback.
            error = None

    def cancel(self) -> None:
        """Gives it up, as a cancelled scope would; what it has to do then it does in a task. Too late, nothing."""
        self.become_task()
        assert self._scope is not None
        self._scope.cancel()

    def become_task(self) -> None:
        """Goes on in a task, where it is, or when it next waits."""
        if self._scope is not None:
            return
        self._scope = trio.CancelScope()
        if not self._going:
            if self._on is not None:
                self._on.task = None
            self._nursery.start_soon(self._run, self._scope)

    async def _run(self, scope: trio.CancelScope) -> None:
        value: T | None = None
        error: Exception | None = None
        with scope:
            try:
                value = await _rest(self._work)
            except Exception as failure:
                error = failure
        try:
            self._end(value, error)
        finally:
            error = None

    def _end(self, value: T | None, error: Exception | None) -> None:
        # Whoever is told has this object, and this object has him: one of them has to let go.
        done, self._done = self._done, _nothing
        done(value, error)


Waiter: TypeAlias = "trio.lowlevel.Task | Carried[Any]"


class WaitPoint(Protocol):
    """What can be waited for by one. Whoever brings it takes ``task`` out and wakes it."""

    task: Waiter | None


def wake(waiter: Waiter) -> None:
    """Lets who waited go on: the task in its turn, what is carried at once."""
    if isinstance(waiter, Carried):
        waiter.go()
    else:
        trio.lowlevel.reschedule(waiter)


def _nothing(_value: Any, _error: Exception | None) -> None:
    pass


async def _fail(error: Exception) -> None:
    raise error


async def wait_for(place: WaitPoint) -> None:
    """For what is carried: waits until somebody wakes it. It may come back early, and in a task: look again then."""
    await _yield(place)


async def in_task() -> None:
    """From here on what runs is a task, if it was not one before."""
    if state.inside:
        await _yield(None)


@types.coroutine
def _yield(place: WaitPoint | None) -> Generator[WaitPoint | None, None, None]:
    yield place


@types.coroutine
def _rest(work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """What is left of a coroutine that was begun."""
    value: T = yield from work
    return value
