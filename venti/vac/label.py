"""The text form of an archive's score: ``vac:`` and forty hexadecimal digits. Source: vac(1)."""

from __future__ import annotations

from venti.blocks.score import Score

LABEL = "vac:"


def text(score: Score) -> str:
    """The score as the tools print it."""
    return f"{LABEL}{score}"


def parse(text: str) -> Score:
    """The score that a person wrote, with or without the label.

    Raises:
        ValueError: it is none; the text tells what one looks like.
    """
    words = text.strip()
    try:
        return Score.parse(words.removeprefix(LABEL))
    except ValueError:
        raise ValueError(f"{words!r} is no archive: write vac: and 40 hexadecimal digits") from None
