"""Open files for fsspec: read in ranges, or written and moved into place when a transaction ends."""

from __future__ import annotations

import io

from fsspec.spec import AbstractBufferedFile

from ninep.blocking import BUFFER, BlockingTree, RawFile
from ninep.client.replacing import name_beside, rename_over
from ninep.net.errors import ConnectionLost
from ninep.protocol.errors import FileError


class NinepFile(AbstractBufferedFile):
    """A file that is read in ranges, each with as many messages in flight as it needs."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        found: bytes = self.fs.read_range(self.path, start, end)
        return found


class PendingFile(io.BufferedWriter):
    """What is written in a transaction: a file beside the one that it is going to be."""

    def __init__(self, tree: BlockingTree, path: str, mode: str) -> None:
        """``mode`` is one of ``wb``, ``xb``, ``ab``."""
        self._tree = tree
        self._folder, _, self._name = path.rpartition("/")
        self._beside = name_beside(self._name)
        place = f"{self._folder}/{self._beside}"
        if mode.startswith("a") and tree.exists(path):
            copy_file(tree, path, place)
        raw = RawFile(tree, tree.run(tree.tree.open_file, place, mode), path, mode)
        super().__init__(raw, BUFFER)
        tree.adopt(self)

    def commit(self) -> None:
        """Puts the file in its place."""
        self.close()

        async def rename() -> None:
            async with await self._tree.tree.walk(self._folder) as directory:
                await rename_over(directory, self._beside, self._name)

        self._tree.run(rename)

    def discard(self) -> None:
        """Removes it."""
        try:
            self.close()
        except (FileError, ConnectionLost):
            pass
        self._tree.remove(f"{self._folder}/{self._beside}")


def copy_file(tree: BlockingTree, path: str, new: str) -> None:
    """Makes ``new`` a copy of a file: by way of here, as 9P has no copy of its own."""

    async def copy() -> None:
        remote = tree.tree
        async with remote.open(path) as source, remote.replacing(new) as target, target.writing() as sink:
            async for piece in source.reading():
                await sink.write(piece)

    tree.run(copy)
