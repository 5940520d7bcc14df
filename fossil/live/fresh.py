"""The first content of a new file system: its root, and the table of users in ``/adm/users``."""

from __future__ import annotations

from typing import Protocol

from fossil.live.users import first_table
from fossil.metadata.node import Node
from ninep.protocol.stat import DMDIR
from ninep.wire.dialect import Buffer


class NewSystem(Protocol):
    """The file system that is made."""

    epoch: int
    top: int

    def time(self) -> int:
        """Nanoseconds since 1970."""

    def enter(self, node: Node) -> None:
        """Takes a node in that is new."""

    def create(self, parent: Node, name: str, mode: int, uid: str, gid: str) -> Node:
        """Makes a file or directory."""

    def write(self, node: Node, offset: int, data: Buffer, uid: str) -> int:
        """Puts bytes into a file."""

    def commit(self) -> None:
        """Writes all changes to the database."""


def make_root(system: NewSystem, owner: str) -> None:
    """Makes them in a file system that has nothing; the root belongs to ``owner``."""
    now, top, epoch = system.time(), system.top, system.epoch
    root = Node(top, epoch, top, "/", 0, DMDIR | 0o775, now, now, now, 0, 0, owner, owner, owner, epoch)
    root.children = {}
    system.enter(root)
    adm = system.create(root, "adm", DMDIR | 0o775, "adm", "adm")
    users = system.create(adm, "users", 0o664, "adm", "adm")
    system.write(users, 0, first_table(owner).encode(), "adm")
    system.commit()
