"""The client for scripts: the same names as in ``ninep.client``, without ``async``.

::

    with connect("tcp!fs!9fs") as tree:
        for entry in tree.listdir("lib"):
            print(entry.name)
        with tree.open("lib/profile", "r") as file:
            print(file.read())

The conversation runs in a thread of its own, so that reading ahead and writing behind go on while the script computes.
A tree may be used from several threads.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import trio

from ninep.client import RemoteTree
from ninep.client import connect as connect_async
from ninep.file_object import FileObject
from ninep.get import Get
from ninep.put import Put
from ninep.remove import Remove
from ninep.stat import Stat
from ninep.transfer import Progress
from ninep.wire.dialect import Buffer
from ninep.wire.errors import ConnectionLost

T = TypeVar("T")

BUFFER = 256 * 1024
"""Bytes that an open file keeps on its way in or out."""


class BlockingTree:
    """A tree on a server, by paths; see ``client.RemoteTree`` for what each method does and raises."""

    def __init__(self, tree: RemoteTree, token: trio.lowlevel.TrioToken) -> None:
        self.tree = tree
        self._token = token

    def _run(self, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        try:
            return trio.from_thread.run(work, *arguments, trio_token=self._token)
        except (trio.RunFinishedError, trio.Cancelled) as error:
            raise ConnectionLost("the connection is closed") from error

    def read_bytes(self, path: str) -> bytes:
        """The content of a file."""
        return self._run(self.tree.read_bytes, path)

    def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """The same as text."""
        return self.read_bytes(path).decode(encoding)

    def write_bytes(self, path: str, data: Buffer, perm: int = 0o666) -> None:
        """Makes ``data`` the content of a file."""
        self._run(self.tree.write_bytes, path, data, perm)

    def write_text(self, path: str, text: str, encoding: str = "utf-8") -> None:
        """The same with text."""
        self.write_bytes(path, text.encode(encoding))

    def mkdir(self, path: str, perm: int = 0o777) -> None:
        """Makes a directory."""
        self._run(self.tree.mkdir, path, perm)

    def listdir(self, path: str = "") -> list[Stat]:
        """The entries of a directory."""
        return self._run(self.tree.listdir, path)

    @contextmanager
    def scandir(self, path: str = "") -> Iterator[Iterator[Stat]]:
        """The entries one by one as they come."""
        context = self.tree.scandir(path)
        entries = self._run(context.__aenter__)

        def each() -> Iterator[Stat]:
            while True:
                try:
                    yield self._run(entries.__anext__)
                except StopAsyncIteration:
                    return

        try:
            yield each()
        finally:
            self._run(context.__aexit__, None, None, None)

    def stat(self, path: str) -> Stat:
        """The entry of a file."""
        return self._run(self.tree.stat, path)

    def wstat(self, path: str, changes: Stat) -> None:
        """Changes fields of it."""
        self._run(self.tree.wstat, path, changes)

    def rename(self, path: str, new: str) -> None:
        """Renames or moves a file."""
        self._run(self.tree.rename, path, new)

    def symlink(self, path: str, target: str) -> None:
        """Makes a symbolic link."""
        self._run(self.tree.symlink, path, target)

    def readlink(self, path: str) -> str:
        """The target of one."""
        return self._run(self.tree.readlink, path)

    def remove(self, path: str) -> None:
        """Removes a file or an empty directory."""
        self._run(self.tree.remove, path)

    def rmtree(self, path: str, progress: Callable[[Progress], None] = lambda _: None) -> None:
        """Removes a directory with all that is in it."""
        self._run(Remove(self.tree, progress).remove, path)

    def exists(self, path: str) -> bool:
        """Whether there is a file."""
        return self._run(self.tree.exists, path)

    def get(
        self, path: str, target: str | os.PathLike[str], progress: Callable[[Progress], None] = lambda _: None
    ) -> None:
        """Makes a local copy of a file, or of a directory with all that is in it."""

        async def get() -> None:
            await Get(self.tree, progress).get(path, Path(target), recursive=True)

        self._run(get)

    def put(
        self, source: str | os.PathLike[str], path: str, progress: Callable[[Progress], None] = lambda _: None
    ) -> None:
        """Copies a local file, or a directory with all that is in it, to the server."""

        async def put() -> None:
            await Put(self.tree, progress).put(Path(source), path, recursive=True)

        self._run(put)

    def open(self, path: str, mode: str = "r", *, encoding: str | None = None, newline: str | None = None) -> IO[Any]:
        """A file as Python's own ``open`` gives it: text, or with ``b`` in the mode bytes, always buffered."""
        text = "b" not in mode
        raw = RawFile(self, self._run(self.tree.open_file, path, mode.replace("t", "")), mode)
        buffered: Any
        if "+" in mode:
            buffered = io.BufferedRandom(raw, BUFFER)
        elif raw.readable():
            buffered = io.BufferedReader(raw, BUFFER)
        else:
            buffered = io.BufferedWriter(raw, BUFFER)
        return io.TextIOWrapper(buffered, encoding or "utf-8", newline=newline) if text else buffered

    def run(self, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Runs an async function of the client itself, for what has no blocking name here."""
        return self._run(work, *arguments)


class RawFile(io.RawIOBase):
    """An open file for Python's buffers."""

    def __init__(self, tree: BlockingTree, file: FileObject, mode: str) -> None:
        super().__init__()
        self._tree = tree
        self._file = file
        self._reads = "r" in mode or "+" in mode
        self._writes = mode.replace("b", "").replace("t", "") != "r"

    def readable(self) -> bool:
        return self._reads

    def writable(self) -> bool:
        return self._writes

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._tree.run(self._file.readinto, buffer)

    def write(self, data: Any) -> int:
        # The buffer is Python's and changes after this call; what is sent later needs bytes of its own.
        return self._tree.run(self._file.write, bytes(data))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._tree.run(self._file.seek, offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        return self._tree.run(self._file.truncate, size)

    def flush(self) -> None:
        super().flush()
        if not self.closed and self._writes:
            self._tree.run(self._file.flush)

    def close(self) -> None:
        if not self.closed:
            try:
                super().close()
            finally:
                self._tree.run(self._file.aclose)


@contextmanager
def connect(address: str, **keywords: Any) -> Iterator[BlockingTree]:
    """Dials a server; takes the same arguments, and raises the same errors, as ``client.connect``."""
    begun = threading.Event()
    trees: list[BlockingTree] = []
    failures: list[BaseException] = []

    async def converse() -> None:
        try:
            async with connect_async(address, **keywords) as tree:
                over = trio.Event()
                ends.append(over)
                trees.append(BlockingTree(tree, trio.lowlevel.current_trio_token()))
                begun.set()
                await over.wait()
        except BaseException as error:
            failures.append(error)
            if not isinstance(error, Exception):
                raise
        finally:
            begun.set()

    ends: list[trio.Event] = []
    thread = threading.Thread(target=trio.run, args=(converse,), name=f"9P {address}", daemon=True)
    thread.start()
    begun.wait()
    if not trees:
        thread.join()
        raise failures[0]
    try:
        yield trees[0]
    finally:
        with_token = trees[0]._token
        try:
            trio.from_thread.run_sync(ends[0].set, trio_token=with_token)
        except trio.RunFinishedError:
            pass
        thread.join()
