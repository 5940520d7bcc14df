"""Background work in rounds: an error ends one round, is logged, and the next round still comes.

A round that fails in a way that nobody foresaw is logged with its traceback. Its program serves on, and the next round
is tried as if nothing had been: most of what goes wrong is one file, one peer, one moment.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class Rounds:
    """One such work.

    Attributes:
        failures: how many rounds have failed one after the other, up to now.
    """

    def __init__(self, log: logging.Logger, what: str) -> None:
        """``what`` goes on with "failed"."""
        self.failures = 0
        self._log = log
        self._what = what
        self._last = ""

    @contextmanager
    def one(self) -> Iterator[None]:
        """A round. An exception of it goes no further; the same one again is not logged again."""
        try:
            yield
        except Exception as error:
            self.failures += 1
            text = repr(error)
            if text != self._last:
                self._log.exception("%s failed, and is tried again", self._what)
            self._last = text
        else:
            self.failures = 0
            self._last = ""
