"""A request that a server has begun: what its loop and its log need to know."""

from __future__ import annotations

import logging
from typing import Generic, NoReturn, TypeVar

import trio

from ninep.net.errors import Malformed
from ninep.wire.taskless import Carried

R = TypeVar("R")

log = logging.getLogger(__name__)

LONGEST = 400
"""Characters of a request in the log."""


class Running(Generic[R]):
    """A request that waits, with the tags of those that gave it up. ``work`` can be cancelled."""

    __slots__ = ("flushes", "promises", "request", "size", "tag", "work")

    def __init__(self, tag: int, request: object, promises: bool, size: int) -> None:
        """``request`` is for the log; ``size`` counts its bytes and those of the reply that it may bring."""
        self.tag = tag
        self.request = request
        self.promises = promises
        self.size = size
        self.work: trio.CancelScope | Carried[R | None]
        self.flushes: list[int] = []


def unreadable(frame: memoryview, error: Exception) -> NoReturn:
    """A message on which the decoder itself fails: it ends its connection, as malformed ones do."""
    log.error("a message of %d bytes cannot be read: %s", len(frame), bytes(frame[:32]).hex(" "), exc_info=error)
    raise Malformed(f"a message that cannot be read: {error}") from error


def without_payload(request: object) -> object:
    """What of a request may be kept while it runs, for the log: a view would keep all bytes that came with it."""
    if isinstance(request, tuple) and any(type(field) is memoryview for field in request):
        return told(request)
    return request


def told(request: object) -> str:
    """A request for the log: payloads by their size alone, as they may be large, or secret."""
    if request is None or isinstance(request, str):
        return request or "it was refused"
    if not isinstance(request, tuple):
        return repr(request)[:LONGEST]
    names = getattr(request, "_fields", ())
    parts = [
        f"{name}={len(value)} bytes" if isinstance(value, (bytes, bytearray, memoryview)) else f"{name}={value!r}"
        for name, value in zip(names, request, strict=False)
    ]
    return f"{type(request).__name__}({', '.join(parts)})"[:LONGEST]
