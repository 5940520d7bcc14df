"""Splits lines of the console into words and options. Pure. Source: fossilcons(8), rc(1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fossil.errors import ConsoleRefused


def split_words(line: str) -> list[str]:
    """Splits a line as rc(1) does: blanks separate, quotes ``'`` protect, a doubled quote is one.

    A line that begins with ``#`` is a comment and has no words; elsewhere ``#`` is a letter, for Plan 9 has devices of
    such names.

    Raises:
        ConsoleRefused: a quote is left open.
    """
    words: list[str] = []
    word: str | None = None
    quoted = False
    at = 0
    if line.lstrip().startswith("#"):
        return words
    while at < len(line):
        letter = line[at]
        if quoted:
            if letter == "'" and line[at + 1 : at + 2] == "'":
                word, at = (word or "") + "'", at + 1
            elif letter == "'":
                quoted = False
            else:
                word = (word or "") + letter
        elif letter == "'":
            quoted, word = True, word or ""
        elif letter.isspace():
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + letter
        at += 1
    if quoted:
        raise ConsoleRefused("unmatched quote")
    if word is not None:
        words.append(word)
    return words


def quoted(word: str) -> str:
    """A word as it must be typed to be one."""
    if word and not any(letter.isspace() or letter in "'#" for letter in word):
        return word
    return "'" + word.replace("'", "''") + "'"


class Given(NamedTuple):
    """What followed a command.

    Attributes:
        options: the letters, each with its value or an empty string.
        words: the rest.
    """

    options: Mapping[str, str]
    words: Sequence[str]


class Usage(NamedTuple):
    """What may follow a command.

    Attributes:
        text: as people are told it.
        flags: letters of options without a value.
        valued: letters of options with one, in the same word or the next.
        least: fewest words after the options.
        most: most of them.
    """

    text: str
    flags: str = ""
    valued: str = ""
    least: int = 0
    most: int = 0

    def parse(self, words: Sequence[str]) -> Given:
        """Takes the words after the command's name apart. Raises ``ConsoleRefused`` with the usage."""
        rest = list(words)
        options: dict[str, str] = {}
        while rest and len(rest[0]) > 1 and rest[0][0] == "-":
            letters = rest.pop(0)[1:]
            if letters == "-":
                break
            while letters:
                letter, letters = letters[0], letters[1:]
                if letter in self.flags:
                    options[letter] = ""
                elif letter in self.valued and (letters or rest):
                    options[letter], letters = letters or rest.pop(0), ""
                else:
                    raise self.refusal()
        if not self.least <= len(rest) <= self.most:
            raise self.refusal()
        return Given(options, rest)

    def refusal(self) -> ConsoleRefused:
        """The error that tells the usage."""
        return ConsoleRefused(f"usage: {self.text}")


def number(word: str, usage: Usage) -> int:
    """A number that cannot be negative, decimal or, as C writes it, hexadecimal or octal. Raises ``ConsoleRefused``."""
    try:
        digits = word.lower()
        base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
        value = int(digits, base)
    except ValueError:
        raise usage.refusal() from None
    if value < 0:
        raise usage.refusal()
    return value
