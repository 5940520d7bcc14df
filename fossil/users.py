"""Users and groups: the table in ``/active/adm/users``. Pure. Source: users(6) of Plan 9.

A line is ``uid:name:leader:members``. The leader may be empty: then every member leads. Members are separated by
commas.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fossil.errors import ConsoleRefused

NOBODY = "none"
STANDARD = ("adm:adm:adm:sys", "none:none::", "noworld:noworld::", "sys:sys::glenda", "glenda:glenda:glenda:")


class User(NamedTuple):
    """A user, who is a group as well."""

    uid: str
    name: str
    leader: str
    members: frozenset[str]


class Users:
    """The table. Every user is a member of the group that has the user's name."""

    def __init__(self, users: Iterable[User]) -> None:
        self._by_uid: dict[str, User] = {}
        self._by_name: dict[str, User] = {}
        for user in users:
            self._by_uid[user.uid] = user
            self._by_name[user.name] = user

    @classmethod
    def parse(cls, text: str) -> Users:
        """Reads the file.

        Raises:
            ConsoleRefused: a line is malformed, or a standard user is missing.
        """
        users = []
        for number, line in enumerate(text.splitlines(), 1):
            line = line.partition("#")[0].strip()
            if not line:
                continue
            fields = line.split(":")
            if len(fields) != 4 or not fields[0] or not fields[1]:
                raise ConsoleRefused(f"users, line {number}: {line!r} is not uid:name:leader:members")
            uid, name, leader, members = fields
            users.append(User(uid, name, leader, frozenset(filter(None, members.split(",")))))
        table = cls(users)
        for uid in ("adm", NOBODY):
            if uid not in table._by_uid:
                raise ConsoleRefused(f"users: {uid} is missing")
        return table

    def uid(self, name: str) -> str:
        """The uid that is recorded for what ``name`` makes: his own, or ``none`` for a stranger."""
        user = self._by_name.get(name)
        return user.uid if user else NOBODY

    def knows(self, uid: str) -> bool:
        """Whether there is such a user or group."""
        return uid in self._by_uid

    def is_owner(self, name: str, uid: str) -> bool:
        """Whether the user called ``name`` is ``uid``."""
        user = self._by_uid.get(uid)
        return name != NOBODY and user is not None and user.name == name

    def is_member(self, name: str, gid: str) -> bool:
        """Whether the user called ``name`` is in the group ``gid``."""
        group = self._by_uid.get(gid)
        if group is None or name == NOBODY:
            return False
        return group.name == name or self.uid(name) in group.members or name in group.members

    def is_leader(self, name: str, gid: str) -> bool:
        """Whether the user called ``name`` leads the group ``gid``."""
        group = self._by_uid.get(gid)
        if group is None or name == NOBODY:
            return False
        return group.leader in (name, self.uid(name)) if group.leader else self.is_member(name, gid)


def first_table(owner: str) -> str:
    """The file of a fresh file system, in which ``owner`` is known and leads the administrators."""
    lines = list(STANDARD)
    if owner not in ("adm", NOBODY, "noworld", "sys", "glenda"):
        lines.append(f"{owner}:{owner}:{owner}:")
        lines[0] = f"adm:adm:adm:sys,{owner}"
        lines[3] = f"sys:sys::glenda,{owner}"
    return "".join(line + "\n" for line in lines)
