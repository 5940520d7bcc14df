"""Files with several names: which name is the first one, and which are the others. Pure.

The row of a file has its first name and directory, as that of every file. The further names stand in ``links``, each
with a number of its own, by which archives know it: there it is a file of its own.
"""

from __future__ import annotations

from copy import copy
from typing import Protocol

from fossil.metadata.node import Node
from fossil.metadata.pending import Pending


class NameKeeper(Protocol):
    """What the file system is to who adds a name."""

    epoch: int
    pending: Pending

    def check(self) -> None: ...
    def check_room(self) -> None: ...
    def children(self, node: Node) -> dict[str, tuple[int, int]]: ...
    def take_path(self) -> int: ...
    def time(self) -> int: ...
    def touch(self, node: Node) -> None: ...
    def directory_changed(self, directory: Node, uid: str) -> None: ...


MOST = 1000
"""Names of a file: its row has them all."""

Place = tuple[int, str]
"""One name of a file: the path of the directory, and the name in it."""


def places(node: Node) -> list[Place]:
    """All names of a file, the first one in front."""
    return [(node.parent, node.name), *((parent, name) for parent, name, _ in node.links)]


def place_of(node: Node, wanted: Place | None) -> Place:
    """The name by which somebody came to a file, if it still has that one; else the first."""
    if node.links and wanted is not None and wanted in places(node):
        return wanted
    return node.parent, node.name


def seen_as(node: Node, name: str) -> Node:
    """The file as a directory lists it under one of its names."""
    if node.name == name:
        return node
    found = copy(node)
    found.name, found.entry = name, None
    return found


def number_of(node: Node, place: Place) -> int:
    """What an archive has as the path of the file under a name."""
    return next((number for parent, name, number in node.links if (parent, name) == place), node.path)


def add(system: NameKeeper, node: Node, directory: Node, name: str, uid: str) -> None:
    """Gives a file, which is no directory, one more name, which is free.

    Raises:
        FileSystemFull, WritesStopped
    """
    system.check()
    system.check_room()
    system.children(directory)[name] = (node.path, system.epoch)
    directory.holds += 1
    system.pending.names[directory.path, name] = node.path
    node.links += ((directory.path, name, system.take_path()),)
    node.ctime = system.time()
    system.touch(node)
    system.directory_changed(directory, uid)


def drop(node: Node, place: Place) -> None:
    """Takes a name away from a file that has more."""
    if place == (node.parent, node.name):
        (node.parent, node.name, _), *rest = node.links
        node.links = tuple(rest)
    else:
        node.links = tuple(link for link in node.links if link[:2] != place)


def move(node: Node, place: Place, to: Place) -> None:
    """Gives a file another name in the place of one."""
    if place == (node.parent, node.name):
        node.parent, node.name = to
    else:
        node.links = tuple((*to, link[2]) if link[:2] == place else link for link in node.links)
