"""Maps users and groups to the numbers that this machine has for them."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable
from functools import lru_cache

from ninep.protocol.ids import Ids


class HostIds(Ids):
    """The accounts of this machine come first, then the rule of ``Ids``. They are looked up once each."""

    def __init__(self) -> None:
        super().__init__()
        # In place of the methods: each getattr asks for both, and what is found is found without a call of Python's.
        # They do not refer to this object, which would keep it until the collector comes, one for each connection.
        self.uid = lru_cache(4096)(_uid(self._users.number))  # type: ignore[method-assign]  # as above
        self.gid = lru_cache(4096)(_gid(self._groups.number))  # type: ignore[method-assign]  # as above
        self._user = lru_cache(4096)(_user)
        self._group = lru_cache(4096)(_group)

    def user(self, uid: int, default: str = "") -> str:
        """The account with this number."""
        return self._user(uid) or super().user(uid, default)

    def group(self, gid: int, default: str = "") -> str:
        """The group with this number."""
        return self._group(gid) or super().group(gid, default)


def _uid(otherwise: Callable[[str], int]) -> Callable[[str], int]:
    def uid(name: str) -> int:
        try:
            return pwd.getpwnam(name).pw_uid
        except (KeyError, ValueError):
            return otherwise(name)

    return uid


def _gid(otherwise: Callable[[str], int]) -> Callable[[str], int]:
    def gid(name: str) -> int:
        try:
            return grp.getgrnam(name).gr_gid
        except (KeyError, ValueError):
            return otherwise(name)

    return gid


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return ""


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return ""
