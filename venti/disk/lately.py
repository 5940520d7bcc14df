"""What the blocks needed that were written lately: the next ones are expected to need the same. Pure."""

from __future__ import annotations


class Lately:
    """``scores`` and ``compression``: whether most of the blocks needed that, at first that is expected of all.

    A block that came a short while ago needs neither, and one that is stored already need not be compressed.
    """

    def __init__(self) -> None:
        self.scores = True
        self.compression = True
        self._written = 0
        self._unseen = 0
        self._new = 0

    def add(self, written: int, unseen: int, new: int) -> None:
        """So many blocks were written, of which so many had not come a short while ago, and so many were not there."""
        self._written += written
        self._unseen += unseen
        self._new += new

    def turn(self) -> None:
        """Judges by those that came since the last turn, if there were any."""
        if self._written:
            self.scores = 2 * self._unseen >= self._written
            self.compression = 2 * self._new >= self._written
            self._written = self._unseen = self._new = 0
