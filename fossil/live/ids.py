"""Maps users of a file system to numbers for Unix. The rule is in ``docs/reference/9p-ids.md``."""

from __future__ import annotations

from fossil.live.users import NOBODY, Users
from ninep.protocol.ids import Ids


class FossilIds(Ids):
    """Users and groups are one table here: who has digits for an id in it has that number.

    For all others ``others`` is asked. An id of digits that no line has is shown in parentheses, and is that number.
    """

    def __init__(self, users: Users, others: Ids) -> None:
        self._others = others
        self._names = {int(uid): name for uid, name in users.names.items() if _number(uid) is not None}
        self._numbers = {name: number for number, name in self._names.items()}

    def uid(self, name: str) -> int:
        """The number of a user."""
        number = self._known(name)
        return self._others.uid(name) if number is None else number

    def gid(self, name: str) -> int:
        """The number of a group."""
        number = self._known(name)
        return self._others.gid(name) if number is None else number

    def _known(self, name: str) -> int | None:
        if name[:1] == "(":
            return _number(name[1:-1])
        return self._numbers.get(name)

    def user(self, uid: int, default: str = "") -> str:
        """The name of the user with this number."""
        return self._names.get(uid) or self._others.user(uid, default)

    def group(self, gid: int, default: str = "") -> str:
        """The name of the group with this number."""
        return self._names.get(gid) or self._others.group(gid, default)


def stored_id(users: Users, name: str) -> str | None:
    """What is stored for an owner or a group that ``Ids`` calls ``name``: an id of the table, or a number; else None.

    A number needs no line in the table, so that what comes from elsewhere keeps its owners.
    """
    if users.knows(name):
        return users.uid(name)
    if name in ("", NOBODY):
        return NOBODY
    return name if _number(name) is not None else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 and int(text) < 0xFFFFFFFF else None
