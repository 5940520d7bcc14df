"""Limits how often the same trouble is logged."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

import trio

SILENCE = 10.0
"""Seconds between two lines about the same trouble."""


class SparingLog:
    """Warnings in a log, of each kind one every ``SILENCE`` seconds at most; the next says how many were left out."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def warn(self, kind: str, text: str) -> None:
        """A warning of this kind."""
        now = trio.current_time()
        if now < self._last.get(kind, -math.inf) + SILENCE:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._last[kind] = now
        left_out = self._left_out.pop(kind, 0)
        self._log.warning("%s%s", text, f"; and {left_out} times more since this was said last" if left_out else "")


class SparingFilter(logging.Filter):
    """Lets a log have each trouble that clients can cause at will once every ``SILENCE`` seconds.

    That is whatever has a traceback, by where it was raised, and requests that failed, by how. The next line about it
    says how many were left out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[object, float] = {}
        self._left_out: dict[object, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is to be written."""
        kind = _kind(record)
        if kind is None:
            return True
        now = self._clock()
        if now < self._last.get(kind, -math.inf) + SILENCE:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        self._last[kind] = now
        if left_out := self._left_out.pop(kind, 0):
            record.msg = f"{record.getMessage()} (and {left_out} times more since this was said last)"
            record.args = None
        return True


def _kind(record: logging.LogRecord) -> object:
    """What records have in common that tell of the same trouble; None for a record that is always written."""
    if record.exc_info and record.exc_info[1] is not None:
        error: BaseException = record.exc_info[1]
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        trace: Any = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = None if trace is None else (trace.tb_frame.f_code, trace.tb_lineno)
        return record.name, record.msg, type(error), where
    if isinstance(record.msg, str) and record.msg.startswith("request failed"):
        errors = [one for one in record.args or () if isinstance(one, Exception)]
        return record.name, record.msg, tuple((type(one), getattr(one, "errno", None)) for one in errors)
    return None
