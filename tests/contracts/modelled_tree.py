"""A tree in plain objects that says what a file server should: for state machines."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ninep.protocol.stat import DMDIR

GROUPS = {"glenda": {"glenda", "dev"}, "rob": {"rob", "dev"}}
"""What each user is a member of."""


class Refused(Exception):
    """What the model says instead of an answer."""


class Node:
    """A file or directory of the model."""

    def __init__(self, name: str, above: Node | None, mode: int, uid: str, gid: str) -> None:
        self.name = name
        self.above = above or self
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.muid = uid
        self.below: dict[str, Node] = {}
        self.data = bytearray()
        self.version = 0
        self.gone = False

    @property
    def folder(self) -> bool:
        return bool(self.mode & DMDIR)

    def may(self, user: str, rights: int) -> bool:
        return (
            (user == self.uid and not rights & ~(self.mode >> 6))
            or (self.gid in GROUPS[user] and not rights & ~(self.mode >> 3))
            or not rights & ~self.mode & 7
        )

    def need(self, user: str, rights: int) -> None:
        if not self.may(user, rights):
            raise Refused("permission denied")

    def written(self, user: str) -> None:
        self.version += 1
        self.muid = user

    def cut(self, length: int, user: str) -> None:
        del self.data[length:]
        self.data += bytes(length - len(self.data))
        self.written(user)

    def shown(self) -> tuple[Any, ...]:
        """Everything below, comparable."""
        inner = {name: node.shown() for name, node in self.below.items()}
        content = None if self.folder else bytes(self.data)
        version = None if self.folder else self.version
        return self.mode, self.uid, self.gid, self.muid if not self.folder else None, version, content, inner


class Handle:
    def __init__(self, node: Node) -> None:
        self.node = node
        self.mode: int | None = None


@contextlib.contextmanager
def told(reply: object) -> Iterator[None]:
    """In it the model says ``Refused``, and that was the reply, or goes on to look at the answer."""
    try:
        yield
    except Refused as refused:
        if reply != str(refused):
            raise AssertionError(f"{reply} where the model says: {refused}") from None
    else:
        assert not isinstance(reply, str), f"{reply} where the model says: done"
