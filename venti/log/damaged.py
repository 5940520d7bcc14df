"""The file ``damaged`` of a store: the scores and places of blocks found damaged, a line for each.

A damaged header hides which block it was of, and the index forgets that when the block is stored again. The footer of a
sealed arena knows; this file is for the arenas that have none yet, and for those whose footer came later.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from venti.log.arena import Gap, Listed
from venti.log.clump import HEADER
from venti.log.index import PLACE, Index, Place
from venti.log.log import Log

log = logging.getLogger(__name__)

NAME = "damaged"
"""Of the file in the store's directory."""
MOST_TOLD = 100
"""Lost blocks that the log names when a store is opened; the file names more."""
MOST_NOTED = 100_000
"""Lost blocks that the file names when a store is opened."""


class DamagedList:
    """The file in the store at ``path``, to be added to."""

    def __init__(self, path: Path) -> None:
        self._path = path / NAME
        self._known: set[tuple[int, int]] = set()
        for number, entries in noted(path).items():
            self._known |= {(number, entry.offset) for entry in entries}

    def add(self, number: int, lost: Iterable[Listed]) -> None:
        """Notes blocks of one arena; those that are noted already are not noted again.

        It is a help for later, so that a disk that does not take it stops nobody.
        """
        new = [entry for entry in lost if (number, entry.offset) not in self._known]
        if not new:
            return
        self._known |= {(number, entry.offset) for entry in new}
        lines = "".join(
            f"{number} {entry.offset} {entry.stored} {entry.size} {entry.score.hex()} {entry.type}\n" for entry in new
        )
        try:
            with self._path.open("a") as file:
                file.write(lines)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error.strerror)


def noted(path: Path) -> Mapping[int, list[Listed]]:
    """What the store at ``path`` has noted, by arena. Lines that make no sense are passed over."""
    found: dict[int, list[Listed]] = {}
    with suppress(FileNotFoundError):
        for number, entry in _lines((path / NAME).read_text(errors="replace")):
            found.setdefault(number, []).append(entry)
    return found


def _lines(text: str) -> Iterator[tuple[int, Listed]]:
    for line in text.splitlines():
        words = line.split()
        with suppress(ValueError):
            number, offset, stored, size, type = (int(word) for word in (*words[:4], *words[5:]))
            score = bytes.fromhex(words[4])
            if len(score) == 20 and line.isascii():
                yield number, Listed(score, type, offset, stored, size)


def tell_lost(index: Index, arenas: Log, notes: DamagedList | None) -> None:
    """Names the blocks that an index places where the log of arenas has nothing any more."""
    lost = 0
    for key, value in index.items():
        if len(value) != PLACE:
            continue
        place = Place.unpack(value)
        if place.arena in arenas.numbers and place.offset + HEADER + place.stored <= arenas.end(place.arena):
            continue
        lost += 1
        if lost <= MOST_TOLD:
            log.error("block %s was at arena %d offset %d, which is gone", key[:20].hex(), place.arena, place.offset)
        if notes is not None and lost <= MOST_NOTED:
            notes.add(place.arena, [Listed(key[:20], key[20], place.offset, place.stored, place.size)])
    if lost > MOST_TOLD:
        log.error("and %d blocks more", lost - MOST_TOLD)


def inside(entries: Iterable[tuple[bytes, bytes]], number: int, gap: Gap) -> list[Listed]:
    """The blocks that entries of an index place in a part of an arena."""
    found = []
    for key, value in entries:
        if len(value) == PLACE:
            place = Place.unpack(value)
            if place.arena == number and gap.start <= place.offset < gap.end:
                found.append(Listed(key[:20], key[20], place.offset, place.stored, place.size))
    return found
