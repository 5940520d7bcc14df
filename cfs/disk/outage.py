"""Turns the cache off for a while after its disk refused. Pure: the clock is given."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

RETRY = 60.0
"""Seconds after which caching is tried again."""


class Outage:
    """Begins with a failure, may be probed after ``RETRY`` seconds, ends with a success; each is said once."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self._name = name
        self._clock = clock
        self._until: float | None = None

    def __bool__(self) -> bool:
        """Whether caching is off now. When it is time for a probe it is not, until the probe fails."""
        return self._until is not None and self._clock() < self._until

    def begin(self, error: Exception) -> None:
        """The disk refused."""
        if self._until is None:
            log.warning("cache %s is turned off, tried again every %d s: %s", self._name, RETRY, error)
        self._until = self._clock() + RETRY

    def end(self) -> None:
        """The disk took something."""
        if self._until is not None:
            self._until = None
            log.warning("cache %s is on again", self._name)
