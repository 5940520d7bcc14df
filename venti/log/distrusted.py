"""Blocks known to be damaged: each is reported once, and a new write of it is stored again."""

from __future__ import annotations

import logging

from venti.blocks.errors import DamagedBlock
from venti.blocks.score import Score
from venti.log.arena import Listed
from venti.log.damaged import DamagedList
from venti.log.index import Place

log = logging.getLogger(__name__)

MOST_DAMAGED = 100_000
"""Damaged blocks that are remembered, so that whoever has them can write them again."""


class Distrusted:
    """``keys`` has the score and type, as on the wire, of each; ``notes`` keeps them for when this process is gone."""

    def __init__(self, notes: DamagedList | None) -> None:
        self.keys: set[bytes] = set()
        self._notes = notes

    def found(self, key: bytes, place: Place, detail: str) -> DamagedBlock:
        """The error for a block that cannot be read; the log tells it once."""
        error = DamagedBlock(Score(key[:20]), f"arena {place.arena} offset {place.offset}", detail)
        if key not in self.keys:
            log.error("%s", error)
            if len(self.keys) < MOST_DAMAGED:
                self.keys.add(key)
                if self._notes is not None:
                    self._notes.add(place.arena, [Listed(key[:20], key[20], place.offset, place.stored, place.size)])
        return error

    def malformed(self, key: bytes) -> DamagedBlock:
        """The error for a block whose entry in the index is none; it is stored anew as well, if somebody has it."""
        error = DamagedBlock(Score(key[:20]), "the index", "its entry is malformed: see rebuild-index")
        if key not in self.keys:
            log.error("%s", error)
            if len(self.keys) < MOST_DAMAGED:
                self.keys.add(key)
        return error
