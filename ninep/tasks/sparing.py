"""A log that says the same trouble once in a while, however often it happens."""

from __future__ import annotations

import logging
import math

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
