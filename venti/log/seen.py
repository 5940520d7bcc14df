"""Remembers recently written blocks, so that a repeated one need not be hashed.

Two blocks with one BLAKE3 are the same block, so their score is the same, too. SHA-1 takes twice as long as BLAKE3.
"""

from __future__ import annotations

from venti.blocks.score import Score

MOST = 16384
"""Blocks of one generation; two are kept, with some 250 bytes for each block: 8 MiB in all."""


class Seen:
    """Scores by the name of a block: its BLAKE3, then its type, one byte. What nobody asked for longest goes first.

    ``young`` has those that were added or asked for last; who is in a hurry may look there first.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self.young: dict[bytes, Score] = {}
        self._old: dict[bytes, Score] = {}

    def get(self, name: bytes) -> Score | None:
        """The score of a block that was added; None if it was not, or too long ago."""
        score = self.young.get(name)
        if score is None:
            score = self._old.get(name)
            if score is not None:
                self.add(name, score)
        return score

    def add(self, name: bytes, score: Score) -> None:
        """A block that is stored."""
        if len(self.young) >= self._most:
            self._old, self.young = self.young, {}
        self.young[name] = score

    def clear(self) -> None:
        """Forgets all of them."""
        self.young = {}
        self._old = {}
