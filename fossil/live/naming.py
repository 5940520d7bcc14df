"""What the live tree allows whoever asks, over 9P or at the console: giving, moving and taking away names, and changing
what a file is said to be. Rights are looked at by the caller.
"""

from __future__ import annotations

from fossil.live.filesystem import ROOT, FileSystem
from fossil.live.hardlinks import Place, places
from fossil.metadata.node import Node
from ninep.protocol.errors import (
    DirectoryNotEmpty,
    FileExists,
    FileNotFound,
    InvalidArgument,
    IsDirectory,
    NameTooLong,
    NotDirectory,
)
from ninep.protocol.stat import DMDIR

LONGEST_NAME = 255
"""Bytes of a name: a directory entry must fit a block of an archive with all else that it says."""


def check_free(system: FileSystem, directory: Node, name: str) -> None:
    """A name can be given in a directory. Raises ``NameTooLong``, ``FileExists``, ``Unlisted``."""
    check_length(name)
    if name in system.children(directory):
        raise FileExists


def check_length(name: str) -> None:
    """Raises ``NameTooLong``."""
    if len(name.encode()) > LONGEST_NAME:
        raise NameTooLong


def check_empty(system: FileSystem, node: Node) -> None:
    """It is a file, or a directory without names. Raises ``DirectoryNotEmpty``, ``Unlisted``."""
    if node.mode & DMDIR and system.children(node):
        raise DirectoryNotEmpty


def check_move(system: FileSystem, node: Node, target: Node) -> None:
    """A file can go to a directory. Raises ``NotDirectory``, ``FileNotFound``, ``InvalidArgument``."""
    if not target.mode & DMDIR:
        raise NotDirectory
    if node.removed or target.removed:
        raise FileNotFound
    if node.path == ROOT or _is_below(system, target, node):
        raise InvalidArgument


def _is_below(system: FileSystem, node: Node, directory: Node) -> bool:
    while node is not directory:
        if node.path == ROOT:
            return False
        node = system.node(node.parent)
    return True


def move(system: FileSystem, node: Node, place: Place, target: Node, name: str, uid: str) -> bool:
    """Gives a file a name in a directory in the place of one. What has that name is replaced if it is of the same kind
    and, a directory, empty. False if it is the same file: then nothing is done.

    Raises:
        NameTooLong, IsDirectory, NotDirectory, DirectoryNotEmpty, Unlisted, WritesStopped: nothing was done.
    """
    check_length(name)
    system.children(system.node(place[0]))
    there = system.child(target, name)
    if there is node:
        return False
    if there is not None:
        if there.mode & DMDIR and not node.mode & DMDIR:
            raise IsDirectory
        if node.mode & DMDIR and not there.mode & DMDIR:
            raise NotDirectory
        check_empty(system, there)
    system.check()
    if there is not None:
        system.remove(there, uid, (target.path, name))
    system.rename(node, name, uid, directory=target, place=place)
    return True


def describe(
    system: FileSystem,
    node: Node,
    *,
    mode: int | None = None,
    uid: str = "",
    gid: str = "",
    atime: int | None = None,
    mtime: int | None = None,
) -> None:
    """Changes what is said of a file: its mode, owner, group and times in nanoseconds, as far as they are given."""
    if mode is not None:
        node.set_mode(mode)
    if mtime is not None:
        node.mtime = mtime
    if atime is not None:
        node.atime = atime
    node.uid = uid or node.uid
    node.gid = gid or node.gid
    node.ctime = system.time()
    system.touch(node)


def show_change(system: FileSystem, node: Node) -> None:
    """Tells the directories of a file that their listings show another thing, though their names are the same."""
    if node.path == ROOT or node.removed:
        return
    for directory, _ in places(node):
        parent = system.node(directory)
        parent.next_version()
        system.touch(parent)
