"""Users and groups: the table in ``/active/adm/users``. Pure. Source: users(6) of Plan 9, fossilcons(8).

A line is ``id:name:leader:members``. The id is what is stored with a file, the name is what 9P shows and what people
type; leader and members are names. Every user is a group that contains itself. Where no leader is named every
member leads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from fossil.errors import ConsoleRefused

NOBODY = "none"
MANDATORY = ("adm", NOBODY, "noworld", "sys")
"""Ids that every table has, each with itself as name."""
STANDARD = ("adm:adm:adm:sys", "glenda:glenda:glenda:", "none:none::", "noworld:noworld::", "sys:sys::glenda")
FORBIDDEN = frozenset("#:,()\n \t\r")


class User(NamedTuple):
    """A user, who is a group as well."""

    uid: str
    name: str
    leader: str = ""
    members: tuple[str, ...] = ()

    def line(self) -> str:
        """As it stands in the file, without the newline."""
        return f"{self.uid}:{self.name}:{self.leader}:{','.join(self.members)}"


class Names(dict[str, str]):
    """The name of each id; an id that is not in the table stands in parentheses."""

    def __missing__(self, uid: str) -> str:
        return f"({uid})"


class Users:
    """The table; a change gives another table.

    Attributes:
        names: the name of each id.
    """

    def __init__(self, users: Iterable[User]) -> None:
        self._by_uid: dict[str, User] = {}
        self._by_name: dict[str, User] = {}
        for user in users:
            self._by_uid[user.uid] = user
            self._by_name[user.name] = user
        self.names = Names((user.uid, user.name) for user in self._by_uid.values())

    @classmethod
    def parse(cls, text: str, complain: Callable[[str], None] | None = None) -> Users:
        """Reads the file. Blanks mean nothing, and what follows ``#`` neither.

        ``complain`` is told of each line that cannot be used, which is then left out; without it such a line is an
        error.

        Raises:
            ConsoleRefused: a line is malformed, or a mandatory user is missing.
        """
        found: dict[str, User] = {}
        names: set[str] = set()
        for number, line in enumerate(text.splitlines(), 1):
            line = "".join(line.partition("#")[0].split())
            if not line:
                continue
            trouble, user = _read(line)
            if user is not None and (user.uid in found or user.name in names):
                trouble, user = f"{line!r} names a user who stands above already", None
            if user is None:
                text = f"users, line {number}: {trouble}"
                if complain is None:
                    raise ConsoleRefused(text)
                complain(text)
                continue
            found[user.uid] = user
            names.add(user.name)
        for uid in MANDATORY:
            if uid not in found or found[uid].name != uid:
                raise ConsoleRefused(f"users: the line '{uid}:{uid}::' is missing, and every table has it")
        return cls(
            user._replace(
                leader=user.leader if user.leader in names or not user.leader else user.name,
                members=tuple(dict.fromkeys(name for name in user.members if name in names and name != user.name)),
            )
            for user in found.values()
        )

    def __len__(self) -> int:
        return len(self._by_uid)

    def text(self) -> str:
        """The file, sorted by id."""
        return "".join(self._by_uid[uid].line() + "\n" for uid in sorted(self._by_uid))

    # Asking

    def uid(self, name: str) -> str:
        """The id that is recorded for what ``name`` makes: his own, or ``none`` for a stranger."""
        user = self._by_name.get(name)
        return user.uid if user else NOBODY

    def named(self, name: str) -> User:
        """The user of a name. Raises ``ConsoleRefused``."""
        user = self._by_name.get(name)
        if user is None:
            raise ConsoleRefused(f"uname: uname '{name}' not found")
        return user

    def knows(self, name: str) -> bool:
        """Whether there is a user or group of that name."""
        return name in self._by_name

    def is_owner(self, name: str, uid: str) -> bool:
        """Whether the user called ``name`` is ``uid``."""
        user = self._by_uid.get(uid)
        return name != NOBODY and user is not None and user.name == name

    def is_member(self, name: str, gid: str) -> bool:
        """Whether the user called ``name`` is in the group ``gid``."""
        group = self._by_uid.get(gid)
        if group is None or name == NOBODY:
            return False
        return group.name == name or name in group.members

    def is_leader(self, name: str, gid: str) -> bool:
        """Whether the user called ``name`` leads the group ``gid``."""
        group = self._by_uid.get(gid)
        if group is None or name == NOBODY:
            return False
        return group.leader == name if group.leader else self.is_member(name, gid)

    # Changing. Each returns the new table and raises ``ConsoleRefused``.

    def added(self, name: str, uid: str) -> Users:
        """With a new user."""
        if name in self._by_name:
            raise ConsoleRefused(f"uname: uname '{name}' already exists")
        if uid in self._by_uid:
            raise ConsoleRefused(f"uname: uid '{uid}' already exists")
        for word in (name, uid):
            _check(word)
        return Users([*self._by_uid.values(), User(uid, name)])

    def renamed(self, name: str, new: str) -> Users:
        """With another name for a user, wherever it stands; his id, and so his files, stay."""
        user = self.named(name)
        if new in self._by_name:
            raise ConsoleRefused(f"uname: uname '{new}' already exists")
        if user.uid in MANDATORY:
            raise ConsoleRefused(f"uname: uname '{name}' is mandatory")
        _check(new)

        def current(old: str) -> str:
            return new if old == name else old

        return Users(
            User(entry.uid, current(entry.name), current(entry.leader), tuple(map(current, entry.members)))
            for entry in self._by_uid.values()
        )

    def led(self, name: str, leader: str) -> Users:
        """With another leader of a group; an empty one means all members."""
        user = self.named(name)
        if leader:
            self.named(leader)
        return self._with(user._replace(leader=leader))

    def joined(self, name: str, member: str) -> Users:
        """With a member more."""
        user = self.named(name)
        self.named(member)
        if member == name:
            raise ConsoleRefused(f"uname: '{member}' always in own group")
        if member in user.members:
            raise ConsoleRefused(f"uname: '{member}' already in group '{name}'")
        return self._with(user._replace(members=(*user.members, member)))

    def left(self, name: str, member: str) -> Users:
        """With a member less."""
        user = self.named(name)
        self.named(member)
        if member == name:
            raise ConsoleRefused(f"uname: '{member}' always in own group")
        if member not in user.members:
            raise ConsoleRefused(f"uname: '{member}' not in group '{name}'")
        return self._with(user._replace(members=tuple(other for other in user.members if other != member)))

    def _with(self, user: User) -> Users:
        return Users({**self._by_uid, user.uid: user}.values())


def _read(line: str) -> tuple[str, User | None]:
    """What is wrong with a line, and the user if nothing is."""
    fields = line.split(":")
    if len(fields) != 4 or not fields[0] or not fields[1]:
        return f"{line!r} is not id:name:leader:members", None
    uid, name, leader, members = fields
    if FORBIDDEN & {*uid, *name}:
        return f"{line!r}: a name cannot have any of # : , ( )", None
    return "", User(uid, name, leader, tuple(filter(None, members.split(","))))


def _check(word: str) -> None:
    if not word or FORBIDDEN & set(word):
        raise ConsoleRefused(f"uname: '{word}' cannot be a name: it is empty, or has a blank or one of # : , ( )")


def first_table(owner: str) -> str:
    """The file of a fresh file system, in which ``owner`` is known and belongs to the administrators."""
    users = Users.parse("".join(line + "\n" for line in STANDARD))
    if not users.knows(owner):
        users = users.added(owner, owner).led(owner, owner).joined("adm", owner).joined("sys", owner)
    return users.text()
