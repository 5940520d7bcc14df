"""The output of a command together with its verdict, which scripts get as an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class Verdict(IntEnum):
    """How a command came out that was done; the worst of several counts."""

    OK = 0
    WRONG = 1
    """It was done, and says that something is wrong."""
    AWAY = 2
    """Something could not be asked."""
    DAMAGED = 3
    """Something is damaged."""


class Report(str):
    """The text.

    Attributes:
        verdict: how it came out.
    """

    __slots__ = ("verdict",)
    verdict: Verdict

    def __new__(cls, text: str, verdict: Verdict = Verdict.OK) -> Report:
        """``text`` ends with a newline, unless it is empty."""
        report = super().__new__(cls, text)
        report.verdict = verdict
        return report


def verdict_of(text: str) -> Verdict:
    """That of a report; any other text is of something that was done."""
    return text.verdict if isinstance(text, Report) else Verdict.OK


def joined(texts: Sequence[str]) -> Report:
    """Several, one after the other."""
    return Report("".join(texts), max(map(verdict_of, texts), default=Verdict.OK))
