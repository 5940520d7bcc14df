"""Clunks or removes a fid's file exactly once, even if the request is flushed, and within a time limit."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from ninep.protocol.errors import FileError, UnknownFid
from ninep.server.fids import Fid
from ninep.server.files import File
from ninep.tasks.shielded import has_ended
from ninep.wire.dialect import Maybe
from ninep.wire.taskless import in_task

T = TypeVar("T")

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds that giving up a file may still take after its request was given up itself."""


def parting(fid: Fid) -> Maybe[None]:
    """The last call on a fid's file. Its record locks are free."""
    if fid.file is None:
        raise UnknownFid
    fid.release_locks()
    return fid.file.remove() if fid.removes else fid.file.clunk()


def left(file: File) -> Coroutine[Any, Any, None] | None:
    """Gives up a view that a request leaves behind. That request is done: a failure is nobody's answer."""
    try:
        waiting = file.clunk()
    except FileError as error:
        log.debug("leaving a file: %s", error)
        return None
    return None if waiting is None else _leaving(waiting)


async def _leaving(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except FileError as error:
        log.debug("leaving a file: %s", error)


async def after(work: Coroutine[Any, Any, None], reply: T) -> T:
    """Gives up a view: its file hears of that even if the client gives the request up.

    From then on it gets a bounded time. What is done cannot be undone, so the answer leaves in any case.
    """
    await in_task()
    if not await has_ended(lambda: work, PATIENCE):
        raise FileError("timed out")
    return reply
