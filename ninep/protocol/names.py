"""Checks file names. Pure. Source: intro(5)."""

from __future__ import annotations

from collections.abc import Sequence

from ninep.protocol.errors import IllegalName


def good_names(names: Sequence[str], *, odd: bool = False) -> int:
    """How many names from the first on can be those of files; ``odd`` allows what is no text, as Unix does."""
    for position, name in enumerate(names):
        if not name or name == "." or "/" in name or (not name.isprintable() and not odd and _odd(name)):
            return position
    return len(names)


def check_name(name: str, *, odd: bool = False) -> None:
    """Raises ``IllegalName`` unless a file can be called so."""
    if name == ".." or not good_names((name,), odd=odd):
        raise IllegalName


def _odd(name: str) -> bool:
    """Control characters, and bytes that were no UTF-8."""
    return any(letter < " " or letter == "\x7f" or "\ud800" <= letter <= "\udfff" for letter in name)
