"""Which block was where, of those that were found damaged: the file ``damaged`` of a store, a line for each.

A damaged header hides which block it was of, and the index forgets that when the block is stored anew. The footer of a
sealed arena knows; this file is for the arenas that have none yet, and for those whose footer came later.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from venti.disk.arena import Listed

log = logging.getLogger(__name__)

NAME = "damaged"
"""Of the file in the store's directory."""


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
