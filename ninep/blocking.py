"""The synchronous client, for scripts: the methods of ``ninep.client.tree`` without ``async``.

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

import codecs
import io
import itertools
import logging
import os
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from ninep.client.file_object import FileObject
from ninep.client.tree import RemoteTree
from ninep.client.tree import connect as connect_async
from ninep.copy.get import Get
from ninep.copy.put import Put
from ninep.copy.remove import Remove
from ninep.copy.transfer import Progress
from ninep.net.errors import ConnectionLost, WireError
from ninep.protocol.errors import NinepError
from ninep.protocol.stat import Stat
from ninep.tasks.threaded import LoopElsewhere, LoopEnded, LoopThread
from ninep.wire.client import ELSEWHERE
from ninep.wire.dialect import Buffer

log = logging.getLogger(__name__)

T = TypeVar("T")

BUFFER = 256 * 1024
"""Bytes that an open file keeps on its way in or out."""


class BlockingTree:
    """A tree on a server, by paths; see ``client.RemoteTree`` for what each method does and raises."""

    def __init__(self, loop: LoopThread[RemoteTree]) -> None:
        self.tree = loop.thing
        self._loop = loop
        self._files: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._count = itertools.count()

    def _run(self, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        try:
            return self._loop.run(work, *arguments)
        except LoopElsewhere as error:
            raise ConnectionLost(ELSEWHERE) from error
        except LoopEnded as error:
            raise ConnectionLost("the connection is closed") from error

    def close_files(self, *, failed: bool = False) -> None:
        """Closes the files that are open. Raises the first error, unless something ``failed`` before.

        In a forked process it does nothing: what was written to them its parent is going to write.
        """
        if self._loop.is_elsewhere:
            return
        first: BaseException | None = None
        # What is wrapped around a file was opened after it, and may hold something of it still.
        for file, _ in sorted(self._files.items(), key=lambda item: item[1], reverse=True):
            try:
                file.close()
            except (NinepError, WireError, ValueError, OSError) as error:
                log.log(logging.WARNING if failed else logging.DEBUG, "closing a file: %s", error)
                first = first or error
        if first is not None and not failed:
            try:
                raise first
            finally:
                del first

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

    def open(
        self,
        path: str,
        mode: str = "r",
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """A file as Python's own ``open`` gives it: text, or with ``b`` in the mode bytes, always buffered.

        What is written is at the server when the file is flushed or closed; the end of the connection closes it, too.

        Raises:
            ValueError, LookupError: there is no such mode, encoding or newline. Nothing has happened to the file then.
        """
        text = "b" not in mode
        if text:
            check_text(encoding, errors, newline)
        elif "t" in mode:
            raise ValueError(f"{mode!r}: a file has either text or bytes")
        elif (encoding, errors, newline) != (None, None, None):
            raise ValueError("a file of bytes has no encoding, errors or newline")
        raw = RawFile(self, self._run(self.tree.open_file, path, mode.replace("t", "")), path, mode)
        buffered: Any
        if "+" in mode:
            buffered = io.BufferedRandom(raw, BUFFER)
        elif raw.readable():
            buffered = io.BufferedReader(raw, BUFFER)
        else:
            buffered = io.BufferedWriter(raw, BUFFER)
        self.adopt(buffered)
        if not text:
            return cast("IO[Any]", buffered)
        file = io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)
        self.adopt(file)
        return file

    def forget_files(self) -> None:
        """Leaves the files that are open to those who have them."""
        self._files.clear()

    def adopt(self, file: Any) -> None:
        """Closes ``file`` at the end, if it is open then: one of this tree, or what is wrapped around one."""
        self._files[file] = next(self._count)

    def run(self, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Runs an async function of the client itself, for what has no blocking name here."""
        return self._run(work, *arguments)


def check_text(encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> None:
    """Raises ``ValueError``, ``LookupError`` or ``TypeError`` for what no text is written with.

    That must be known before a file is truncated.
    """
    io.TextIOWrapper(io.BytesIO(), encoding or "utf-8", errors, newline)
    codecs.lookup_error(errors or "strict")


class RawFile(io.RawIOBase):
    """An open file for Python's buffers."""

    def __init__(self, tree: BlockingTree, file: FileObject, name: str, mode: str) -> None:
        super().__init__()
        self.name = name
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

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def readinto(self, buffer: Any) -> int:
        self._check()
        return self._tree.run(self._file.readinto, buffer)

    def write(self, data: Any) -> int:
        self._check()
        # The buffer is Python's and changes after this call; what is sent later needs bytes of its own.
        return self._tree.run(self._file.write, bytes(data))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._check()
        return self._tree.run(self._file.seek, offset, whence)

    def tell(self) -> int:
        self._check()
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        self._check()
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
                try:
                    self._tree.run(self._file.aclose)
                except ConnectionLost:
                    # The file is closed with its connection. What was written may not be there, and that is told.
                    if self._writes:
                        raise


@contextmanager
def connect(address: str, **keywords: Any) -> Iterator[BlockingTree]:
    """Dials a server; takes the same arguments, and raises the same errors, as ``client.connect``.

    Files that are open at the end are closed, and what was written to them is at the server then.

    Raises, at the end:
        FileError, ConnectionLost: what was written to a file that is open still cannot be taken there.
    """
    loop = LoopThread(lambda: connect_async(address, **keywords), name=f"9P {address}")
    tree = BlockingTree(loop)
    try:
        try:
            yield tree
        except BaseException:
            tree.close_files(failed=True)
            raise
        tree.close_files()
    finally:
        loop.close()
