"""Finds the score of an archive that a person names: by the score, or by the file that ``vac -f`` wrote it to."""

from __future__ import annotations

from pathlib import Path

from ninep.net.errors import BadAddress
from venti.blocks.score import Score
from venti.vac import label


def named(text: str) -> Score:
    """The score of the archive that ``text`` is or is the name of a file with.

    Raises:
        BadAddress: it is neither; the text says what to write.
    """
    try:
        return label.parse(text)
    except ValueError as error:
        try:
            with Path(text).open("rb") as file:
                return label.parse(file.read(80).decode("utf-8", "replace"))
        except (OSError, ValueError):
            raise BadAddress(f"{error}, or name a file that holds them") from None
