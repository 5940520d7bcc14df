"""Modes as the console writes them: letters, then three octal digits. Pure. Source: fossilcons(8).

The original has letters for Unix and DOS bits, too; no 9P client can set or see those, so they are not known here.
"""

from __future__ import annotations

from ninep import stat as st

LETTERS = (("a", st.DMAPPEND), ("l", st.DMEXCL), ("d", st.DMDIR), ("T", st.DMTMP))
ELSEWHERE = "YUGLHSA"
SNAPSHOT = "s"


def text(mode: int, *, snapshot: bool = False) -> str:
    """A mode for reading, such as ``d775``; ``snapshot`` tells that it is of the top of one."""
    letters = "".join(letter for letter, bit in LETTERS if mode & bit)
    return f"{letters}{SNAPSHOT if snapshot else ''}{mode & 0o777:o}"


def parse(word: str) -> int:
    """The mode that somebody typed.

    Raises:
        ValueError: it is none; the text says why.
    """
    digits = word.lstrip("".join(letter for letter, _ in LETTERS) + ELSEWHERE + SNAPSHOT + "t")
    letters = word.removesuffix(digits) if digits else word
    known = dict(LETTERS)
    mode = 0
    for letter in letters:
        if letter == "t":
            raise ValueError(f"{word}: a temporary file has T")
        if letter == SNAPSHOT:
            raise ValueError(f"{word}: only taking a snapshot makes one")
        if letter not in known:
            raise ValueError(f"{word}: {letter} has no meaning over 9P")
        mode |= known[letter]
    if not digits or len(digits) > 4 or any(digit not in "01234567" for digit in digits) or int(digits, 8) > 0o777:
        raise ValueError(f"{word}: a mode is letters and then at most three octal digits, for example d775")
    return mode | int(digits, 8)
