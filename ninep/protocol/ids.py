"""Maps users and groups between names, which Plan 9 uses, and numbers, which Unix uses. Pure.

The rule, in ``docs/reference/9p-ids.md``: a table first; a name of digits is that number; ``none`` is 65534; any other
name gets a number made from its letters, the same at all times and on all machines. Backwards the same; a number that
nobody is known to have is the name of its digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

NONUNAME = 0xFFFFFFFF
"""Stands for no number where one could be."""
NOBODY = 65534
NONE = "none"
MADE_UP = 0x40000000
"""Numbers made from names are from here to below twice as much."""
REMEMBERED = 65536
"""Most names that are kept to be found again by the numbers made from them."""


class Ids:
    """Who has which number. Users and groups have numbers of their own."""

    def __init__(self, users: Mapping[str, int] | None = None, groups: Mapping[str, int] | None = None) -> None:
        """``users`` and ``groups`` are what is known for certain; of two with one number the first is found again."""
        self._users = _Names(users or {})
        self._groups = _Names(groups or {})

    def uid(self, name: str) -> int:
        """The number of a user."""
        return self._users.number(name)

    def gid(self, name: str) -> int:
        """The number of a group."""
        return self._groups.number(name)

    def user(self, uid: int, default: str = "") -> str:
        """The name of the user with this number; if nobody is known to have it, ``default`` or its digits."""
        return self._users.name(uid, default)

    def group(self, gid: int, default: str = "") -> str:
        """The name of the group with this number."""
        return self._groups.name(gid, default)


class _Names:
    def __init__(self, known: Mapping[str, int]) -> None:
        self._numbers = dict(known)
        self._names = {number: name for name, number in reversed(list(known.items()))}
        self._names.setdefault(NOBODY, NONE)
        self._room = REMEMBERED

    def number(self, name: str) -> int:
        found = self._numbers.get(name)
        if found is not None:
            return found
        number = number_of(name)
        if self._room and number not in self._names and str(number) != name:
            self._room -= 1
            self._names[number] = name
            self._numbers[name] = number
        return number

    def name(self, number: int, default: str) -> str:
        return self._names.get(number) or default or str(number)


def number_of(name: str) -> int:
    """The number of a name that no table has."""
    if name.isascii() and name.isdigit() and str(int(name[:11])) == name and int(name) < NONUNAME:
        return int(name)
    if name == NONE or not name:
        return NOBODY
    return MADE_UP | crc32(name.encode("utf-8", "surrogateescape")) & MADE_UP - 1
