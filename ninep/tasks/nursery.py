"""Nurseries that raise one exception as it is, where trio's raise a group.

A context manager of a library is used by people who write ``except FileNotFound`` and ``except KeyboardInterrupt``
around it. They cannot know that there are tasks behind it, so an exception group is no answer to them: nothing that
they wrote would match it, and a program that was interrupted would end with the wrong exit code.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def open_nursery() -> AsyncIterator[trio.Nursery]:
    """Like ``trio.open_nursery``: waits for its tasks, and an exception of the body or of a task cancels the others.

    Raises:
        The exception as it is. If there are several: an interruption of the whole program (``KeyboardInterrupt``,
        ``SystemExit``) goes first, then what the body raised, then what a task raised first. The others are named in
        its notes.
    """
    raised: BaseException | None = None
    ended: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except BaseException as error:
                if isinstance(error, trio.Cancelled | BaseExceptionGroup) and not isinstance(error, Exception):
                    # The nursery has to take out what was cancelled by its own scope.
                    raise
                raised = error
                nursery.cancel_scope.cancel()
    except BaseException as error:
        ended = error
    try:
        if raised is not None or ended is not None:
            raise _chosen(raised, ended)
    finally:
        # A frame that keeps an exception keeps itself: memory that only the garbage collector gives back.
        del raised, ended


@asynccontextmanager
async def background() -> AsyncIterator[trio.Nursery]:
    """The same for tasks that serve the body: they are cancelled when it has ended."""
    async with open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def outlived(run: Callable[..., Awaitable[object]]) -> AsyncIterator[None]:
    """Runs a task, which calls ``task_status.started()``, until the body has ended, even when that is cancelled.

    What the body still does then under a shield, such as taking away something unfinished over a connection, needs the
    task that reads the connection's answers. The task is cancelled right after.
    """
    scope = trio.CancelScope(shield=True)

    async def shielded(*, task_status: trio.TaskStatus[None]) -> None:
        with scope:
            await run(task_status=task_status)

    async with open_nursery() as nursery:
        try:
            await nursery.start(shielded)
            yield
        finally:
            scope.cancel()


def _chosen(raised: BaseException | None, ended: BaseException | None) -> BaseException:
    """Which exception to raise when the body raised ``raised`` and the nursery ended with ``ended``, or one of them."""
    errors = [] if raised is None else [raised]
    errors += [] if ended is None else _leaves(ended)
    errors.sort(key=_rank)
    for other in errors[1:]:
        if not isinstance(other, trio.Cancelled):
            errors[0].add_note(f"another task ended at the same time with {other!r}")
    return errors[0]


def _rank(error: BaseException) -> int:
    if isinstance(error, trio.Cancelled):
        return 2
    return 1 if isinstance(error, Exception | BaseExceptionGroup) else 0


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """A task's exceptions: trio's own functions, such as ``serve_listeners``, have nurseries of their own."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
