"""A tree all of whose methods wait a little, around one that never does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import trio

from ninep.protocol.ids import Ids
from ninep.protocol.locks import LockTable
from ninep.protocol.qid import Qid
from ninep.server.files import File, FileTree

METHODS = [
    *("clone", "step", "open", "create", "read", "write", "list", "stat", "wstat", "remove", "clunk"),
    *(
        "getattr",
        "setattr",
        "lcreate",
        "mkdir",
        "mknod",
        "symlink",
        "link",
        "readlink",
        "rename",
        "replace",
        "renameat",
    ),
    *(
        "rename",
        "replace",
        "renameat",
        "unlinkat",
        "fsync",
        "statfs",
        "listxattr",
        "getxattr",
        "setxattr",
        "removexattr",
    ),
]


class WaitingTree(FileTree):
    """``tree``, whose files are wrapped."""

    def __init__(self, tree: FileTree) -> None:
        self.tree = tree
        self.views = 0

    @property
    def ids(self) -> Ids:
        return self.tree.ids

    @property
    def locks(self) -> LockTable:
        return self.tree.locks

    async def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        await trio.lowlevel.checkpoint()
        file = self.tree.attach(uname, aname, local=local)
        assert isinstance(file, File)
        return Waiting(self, file)


class Waiting(File):
    appends = odd_names = True

    def __init__(self, tree: WaitingTree, file: File) -> None:
        self.tree = tree
        self.file = file
        tree.views += 1

    @property
    def qid(self) -> Qid:
        return self.file.qid

    @property
    def ids(self) -> Ids:
        return self.file.ids


def _waiting(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def method(self: Waiting, *arguments: Any) -> Any:
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            if name in ("remove", "clunk"):
                self.file.clunk()
                self.tree.views -= 1
            raise
        inner = [each.file if isinstance(each, Waiting) else each for each in arguments]
        try:
            result = getattr(self.file, name)(*inner)
        finally:
            if name in ("remove", "clunk"):
                self.tree.views -= 1
        return Waiting(self.tree, result) if isinstance(result, File) else result

    return method


for _name in METHODS:
    setattr(Waiting, _name, _waiting(_name))
