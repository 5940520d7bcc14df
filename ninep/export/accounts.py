"""Who a client's user is on this machine, and how owners of local files are called.

The rule, which ``--map-users`` changes: a server that does not run as root does everything with the rights of its own
user, whatever a client calls itself. One that runs as root acts as the local user of the name (or number) that the
client gave; ``root``, and a name that no local user has, act as ``nobody``. A number that no local user has is taken
as it is.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ninep.protocol.errors import NinepError, UnknownUser

NOBODY = "nobody"
EVERYBODY = "*"
"""In a mapping: every client user that is not named."""


class Identity(NamedTuple):
    """With whose rights the file system is used."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class Accounts:
    """Users and groups of this machine, and which of them the clients' users are.

    Names and numbers are asked of the system once and then remembered.
    """

    def __init__(self, mapping: Mapping[str, str] | None = None, *, switch: bool | None = None) -> None:
        """``mapping`` goes from client users to local ones; ``switch`` says to act as them, by default when root.

        Raises:
            NinepError: a local user is not known, or this process cannot act as one.
        """
        self.switch = os.geteuid() == 0 if switch is None else switch
        self._mapping = dict(mapping or {})
        self._users: dict[int, str] = {}
        self._groups: dict[int, str] = {}
        for local in filter(None, self._mapping.values()):
            try:
                uid = _entry(local).pw_uid
            except KeyError:
                raise NinepError(f"--map-users: this machine has no user {local!r}") from None
            if not self.switch and uid != os.geteuid():
                raise NinepError(f"--map-users: only root can act as {local}: run the server as root, or as {local}")

    @classmethod
    def parse(cls, settings: Iterable[str], *, switch: bool | None = None) -> Accounts:
        """From settings such as ``glenda=bob,1000=alice,*=guest``; an empty local user refuses the client's.

        ``switch`` is for where nothing is said; see the constructor.

        Raises:
            NinepError: one of them is something else, or see the constructor.
        """
        mapping: dict[str, str] = {}
        for setting in settings:
            for pair in setting.split(","):
                client, equals, local = pair.strip().partition("=")
                if not client or not equals:
                    raise NinepError(f"--map-users: {pair!r} maps nobody: write for example 'glenda=bob' or '*=guest'")
                mapping[client] = local
        return cls(mapping, switch=None if mapping else switch)

    def identity(self, uname: str) -> Identity | None:
        """As whom to act for a client's user; None is as the process itself.

        Raises:
            UnknownUser: the mapping refuses that user.
        """
        local = self._mapping.get(uname, self._mapping.get(EVERYBODY))
        if local == "" or (local is None and self._mapping and not self.switch):
            raise UnknownUser(f"user {uname!r} may not attach here")
        if not self.switch:
            return None
        if local is None and uname == "root":
            local = NOBODY
        try:
            entry = _entry(local or uname)
        except KeyError:
            if uname.isascii() and uname.isdecimal() and 0 < int(uname) < 0xFFFFFFFF:
                return Identity(int(uname), _entry(NOBODY).pw_gid, ())
            entry = _entry(NOBODY)
        if entry.pw_uid == 0 and local is None:
            entry = _entry(NOBODY)
        if entry.pw_uid == os.geteuid() and entry.pw_gid == os.getegid():
            return None
        return Identity(entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(entry.pw_name, entry.pw_gid)))

    def user(self, uid: int) -> str:
        """The name of a local user; digits where there is none."""
        name = self._users.get(uid)
        if name is None:
            try:
                name = pwd.getpwuid(uid).pw_name
            except (KeyError, OSError):
                name = str(uid)
            self._users[uid] = name
        return name

    def group(self, gid: int) -> str:
        """The name of a local group; digits where there is none."""
        name = self._groups.get(gid)
        if name is None:
            try:
                name = grp.getgrgid(gid).gr_name
            except (KeyError, OSError):
                name = str(gid)
            self._groups[gid] = name
        return name

    def gid(self, name: str) -> int:
        """The number of a local group, or what digits say. Raises ``UnknownUser``."""
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            if name.isascii() and name.isdecimal():
                return int(name)
            raise UnknownUser(f"unknown group {name!r}") from None


def _entry(name: str) -> pwd.struct_passwd:
    """A local user by name or number. Raises ``KeyError``."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        if name.isascii() and name.isdecimal() and int(name) < 0xFFFFFFFF:
            return pwd.getpwuid(int(name))
        raise
    except ValueError:
        raise KeyError(name) from None
