"""Predicts whether the next blocks are new, from whether the last ones were. Pure."""

from __future__ import annotations


class Lately:
    """``new``: whether most of the blocks were; at first that is expected."""

    def __init__(self) -> None:
        self.new = True
        self._written = 0
        self._new = 0

    def add(self, written: int, new: int) -> None:
        """So many blocks were written, of which so many were new."""
        self._written += written
        self._new += new

    def turn(self) -> None:
        """Judges by those that came since the last turn, if there were any."""
        if self._written:
            self.new = 2 * self._new >= self._written
            self._written = self._new = 0
