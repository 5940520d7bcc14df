"""Modes as the console writes them: letters, then three octal digits. Pure. Source: fossilcons(8).

The letters of Unix are ``Y``, ``U`` and ``G`` for the sticky and the set-id bits, and ``L`` for a symbolic link, which
nobody makes by its mode. The original has letters for bits of DOS, too; no 9P client can set or see those.
"""

from __future__ import annotations

from ninep.protocol import stat as st

LETTERS = (
    *(("Y", st.DMSETVTX), ("U", st.DMSETUID), ("G", st.DMSETGID)),
    *(("a", st.DMAPPEND), ("l", st.DMEXCL), ("L", st.DMSYMLINK), ("d", st.DMDIR), ("T", st.DMTMP)),
)
ELSEWHERE = "HSA"
LINK = "L"
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
        if letter == LINK:
            raise ValueError(f"{word}: a link is made by who knows where to, over 9P2000.u or 9P2000.L")
        if letter == SNAPSHOT:
            raise ValueError(f"{word}: only taking a snapshot makes one")
        if letter not in known:
            raise ValueError(f"{word}: {letter} has no meaning over 9P")
        mode |= known[letter]
    if not digits or len(digits) > 4 or any(digit not in "01234567" for digit in digits) or int(digits, 8) > 0o777:
        raise ValueError(f"{word}: a mode is letters and then at most three octal digits, for example d775")
    return mode | int(digits, 8)
