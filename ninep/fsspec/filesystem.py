"""A 9P server for fsspec, so that pandas, pyarrow and others read from it: ``ninep://host:port/path``.

::

    pandas.read_parquet("ninep://fs:5640/data/table.parquet")

The host and port are those of ``tcp!host!port``. Any other address goes into the storage options, as ``address``, and
so do ``uname``, ``aname``, ``version`` and ``context`` as in ``client.connect``.

Refusals are Python's own ``FileNotFoundError``, ``PermissionError`` and so on, and a server that cannot be reached is a
``ConnectionError``: never is anything said not to be there because nobody could be asked.
"""

from __future__ import annotations

import datetime
import errno
import io
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from fsspec import AbstractFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.utils import isfilelike

from ninep.blocking import BlockingTree, check_text, connect
from ninep.client.replacing import rename_over
from ninep.copy.get import Get
from ninep.copy.put import Put
from ninep.fsspec.file import NinepFile, PendingFile, copy_file
from ninep.fsspec.terms import NOT_THERE, entry_of, os_errors, path_of, place_of
from ninep.net.errors import ConnectionLost, WireError
from ninep.protocol.errors import NinepError
from ninep.protocol.messages import OREAD
from ninep.protocol.stat import Stat

T = TypeVar("T")

_MAGIC = frozenset("*?[")


class NinepFileSystem(AbstractFileSystem):
    """One connection to one server, made when it is first needed, and anew when it broke or the process was forked.

    It ends with the object, or at the end of the program; files that are open for writing then are closed, too.
    """

    protocol = ("ninep", "9p")
    root_marker = ""

    def __init__(
        self, address: str = "", host: str = "", port: int | None = None, auto_mkdir: bool = False, **options: Any
    ) -> None:
        """``address`` is a dial string; without one, ``host`` and ``port`` make a ``tcp!`` address.

        ``auto_mkdir``: whether the directories above a file that is written are made.
        """
        if options.get("asynchronous"):
            raise ValueError("this file system is used from threads: async programs take ninep.client.tree")
        keywords = {name: options.pop(name) for name in ("uname", "aname", "version", "context") if name in options}
        super().__init__(address=address, host=host, port=port, auto_mkdir=auto_mkdir, **keywords, **options)
        if not address and not host:
            raise ValueError("which server? give its address, or its host and port")
        self.address = address or f"tcp!{host}!{port or '9fs'}"
        self.auto_mkdir = auto_mkdir
        self._keywords = keywords
        self._stack = ExitStack()
        self._tree: BlockingTree | None = None
        self._process = os.getpid()
        self._lock = threading.RLock()
        weakref.finalize(self, self._stack.close)

    @property
    def tree(self) -> BlockingTree:
        """The server."""
        if self._process != os.getpid():
            # The connection is the parent's, and a lock may be held by a thread that there is not here.
            self._process, self._lock, self._tree = os.getpid(), threading.RLock(), None
            self._stack.pop_all()
        tree = self._tree
        if tree is None or tree.tree.connection.lost is not None:
            with self._lock:
                if self._tree is None or self._tree.tree.connection.lost is not None:
                    self._close_stack()
                    self._tree = self._stack.enter_context(connect(self.address, **self._keywords))
                tree = self._tree
        return tree

    def _close_stack(self) -> None:
        """Gives up a connection that broke. Files that are open for writing stay so: whoever closes them is told."""
        try:
            if self._tree is not None:
                self._tree.forget_files()
            self._tree = None
            self._stack.close()
        except (NinepError, WireError):
            pass

    def _done(self, path: str, work: Callable[[BlockingTree], T], *, again: bool = True) -> T:
        """Does ``work``, and if the connection broke on it once more over another, unless that could do harm."""
        with os_errors(path):
            try:
                return work(self.tree)
            except ConnectionLost:
                if not again:
                    raise
            return work(self.tree)

    def close(self) -> None:
        """Ends the connection; another is made when it is needed again.

        Raises:
            OSError: what was written to a file that is open still cannot be taken to the server.
        """
        with self._lock, os_errors(""):
            self._tree = None
            self._stack.close()

    def __enter__(self) -> NinepFileSystem:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return [path_of(one, cls.protocol) for one in path] if isinstance(path, list) else path_of(path, cls.protocol)

    @classmethod
    def _get_kwargs_from_urls(cls, path: str) -> dict[str, Any]:
        return place_of(path, cls.protocol)

    def info(self, path: str, **keywords: Any) -> dict[str, Any]:
        """What is known of a file."""
        path = self._strip_protocol(path)
        return entry_of(path, self._done(path, lambda tree: tree.stat(path)))

    def exists(self, path: str, **keywords: Any) -> bool:
        """Whether there is such a file. Raises ``OSError`` where that cannot be known."""
        try:
            self.info(path)
        except NOT_THERE:
            return False
        return True

    def isdir(self, path: str) -> bool:
        """Whether there is a directory. Raises as ``exists``."""
        try:
            return bool(self.info(path)["type"] == "directory")
        except NOT_THERE:
            return False

    def isfile(self, path: str) -> bool:
        """Whether there is a file. Raises as ``exists``."""
        try:
            return bool(self.info(path)["type"] == "file")
        except NOT_THERE:
            return False

    def ls(self, path: str, detail: bool = True, **keywords: Any) -> list[Any]:
        """What is in a directory."""
        path = self._strip_protocol(path)
        entry = self.info(path)
        found = [entry]
        if entry["type"] == "directory":
            stats = self._done(path, lambda tree: tree.listdir(path))
            found = [entry_of(f"{path}/{one.name}".lstrip("/"), one) for one in stats]
        return found if detail else [entry["name"] for entry in found]

    def walk(
        self, path: str, maxdepth: int | None = None, topdown: bool = True, on_error: Any = "omit", **keywords: Any
    ) -> Iterator[Any]:
        """As fsspec has it; but only what is not there is left out without a word, not what cannot be listed."""

        def omit(error: OSError) -> None:
            if not isinstance(error, NOT_THERE):
                raise error

        on_error = omit if on_error == "omit" else on_error
        yield from super().walk(path, maxdepth=maxdepth, topdown=topdown, on_error=on_error, **keywords)

    def du(
        self, path: str, total: bool = True, maxdepth: int | None = None, withdirs: bool = False, **other: Any
    ) -> Any:
        """The bytes of all files below. Raises ``PermissionError`` where the server does not tell those of one."""
        found = super().du(path, total=False, maxdepth=maxdepth, withdirs=withdirs, **other)
        for name, size in found.items():
            if size is None:
                raise PermissionError(errno.EACCES, "how large it is cannot be known", name)
        return sum(found.values()) if total else found

    def mkdir(self, path: str, create_parents: bool = True, **keywords: Any) -> None:
        """Makes a directory."""
        path = self._strip_protocol(path)
        if create_parents and "/" in path:
            self.makedirs(self._parent(path), exist_ok=True)
        self._done(path, lambda tree: tree.mkdir(path), again=False)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Makes a directory and those above it."""
        names = self._strip_protocol(path).split("/")
        for depth in range(1, len(names) + 1):
            part = "/".join(names[:depth])
            if not part:
                continue
            try:
                self.mkdir(part, create_parents=False)
            except OSError as error:
                # Servers have many words for a name that is taken.
                if isinstance(error, ConnectionError) or not self.isdir(part):
                    raise
                if depth == len(names) and not exist_ok:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), part) from error

    def _ready(self, path: str) -> None:
        if self.auto_mkdir and "/" in path:
            self.makedirs(self._parent(path), exist_ok=True)

    def rmdir(self, path: str) -> None:
        """Removes an empty directory."""
        path = self._strip_protocol(path)
        if self.info(path)["type"] != "directory":
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        self._done(path, lambda tree: tree.remove(path), again=False)

    def rm_file(self, path: str) -> None:
        """Removes a file."""
        path = self._strip_protocol(path)
        if self.info(path)["type"] == "directory":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        self._done(path, lambda tree: tree.remove(path), again=False)

    _rm = rm_file

    def _named(self, path: Any) -> list[str]:
        """The files that paths and patterns stand for. A file whose name looks like a pattern is meant itself."""
        found: list[str] = []
        for one in [path] if isinstance(path, str | os.PathLike) else path:
            name = self._strip_protocol(one)
            if _MAGIC & set(name) and not self.exists(name):
                matches = self.glob(name)
                if not matches:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
                found += matches
            else:
                found.append(name)
        return found

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Removes files, or whole trees; ``path`` may be a pattern, or many."""
        if recursive and maxdepth is not None:
            for one in reversed(self.expand_path(path, recursive=True, maxdepth=maxdepth)):
                (self.rmdir if self.isdir(one) else self.rm_file)(one)
            return
        for one in self._named(path):
            if not one:
                raise ValueError("the root cannot be removed: name what is in it")
            if recursive:
                self._done(one, lambda tree, one=one: tree.rmtree(one), again=False)  # type: ignore[misc]  # bound early
            else:
                self.rm_file(one)

    def mv(self, path1: Any, path2: str, recursive: bool = False, maxdepth: int | None = None, **keywords: Any) -> None:
        """Moves a file or a directory, into ``path2`` where that is a directory; a file that is there is replaced.

        It is renamed where the server can, else copied whole and then removed.
        """
        names = self._named(path1)
        inside = self.isdir(path2) or (os.fspath(path2).endswith("/"))
        if len(names) > 1 and not inside:
            raise NotADirectoryError(errno.ENOTDIR, "many files are moved to a directory", path2)
        target = self._strip_protocol(path2)
        for name in names:
            self._move(name, f"{target}/{name.rpartition('/')[2]}".lstrip("/") if inside else target)

    def _move(self, old: str, new: str) -> None:
        entry = self.info(old)
        if old == new:
            return
        if f"{new}/".startswith(f"{old}/"):
            raise OSError(errno.EINVAL, "a directory cannot be moved into itself", old)
        if entry["type"] == "directory" and self.exists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        self._ready(new)
        try:
            self._done(old, lambda tree: self._rename(tree, old, new), again=False)
        except (ConnectionError, *NOT_THERE, FileExistsError, IsADirectoryError):
            raise
        except OSError:
            if entry["type"] == "directory":
                for part in self.find(old, withdirs=True):
                    self.cp_file(part, f"{new}{part[len(old) :]}")
                self.makedirs(new, exist_ok=True)
                self.rm(old, recursive=True)
            else:
                self.cp_file(old, new)
                self.rm_file(old)

    def _rename(self, tree: BlockingTree, old: str, new: str) -> None:
        folder, name = self._parent(old), old.rpartition("/")[2]
        if folder != self._parent(new):
            tree.rename(old, f"/{new}")
            return

        async def rename() -> None:
            async with await tree.tree.walk(folder) as directory:
                await rename_over(directory, name, new.rpartition("/")[2])

        tree.run(rename)

    def cp_file(self, path1: str, path2: str, **keywords: Any) -> None:
        """Copies a file, or makes a directory as the first one is. The new file is there whole or not at all."""
        old, new = self._strip_protocol(path1), self._strip_protocol(path2)
        if self.isdir(old):
            self.makedirs(new, exist_ok=True)
            return
        self._ready(new)
        self._done(old, lambda tree: copy_file(tree, old, new))

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **keywords: Any) -> Any:
        """The content of files; with ``recursive`` of all that are below the directories."""
        if recursive:
            path = [one for name in self._named(path) for one in self.find(name)]
        return super().cat(path, on_error=on_error, **keywords)

    def pipe_file(self, path: str, value: Any, mode: str = "overwrite", **keywords: Any) -> None:
        """Makes ``value`` the content of a file, whole or not at all; ``mode`` ``create`` refuses one that is there."""
        data = memoryview(value)
        path = self._strip_protocol(path)
        if self._intrans or mode == "create":
            with self.open(path, "xb" if mode == "create" else "wb") as file:
                file.write(data)
            return
        self._ready(path)
        self._done(path, lambda tree: tree.write_bytes(path, data))

    def put_file(
        self, lpath: str, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite", **keywords: Any
    ) -> None:
        """Copies a local file, whole or not at all."""
        path = self._strip_protocol(rpath)
        if self._intrans or os.path.isdir(lpath):
            super().put_file(lpath, rpath, callback=callback, mode=mode, **keywords)
            return
        if mode == "create" and self.exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        size = os.stat(lpath).st_size
        callback.set_size(size)
        self.makedirs(self._parent(path), exist_ok=True)
        self._done(path, lambda tree: tree.run(Put(tree.tree).put, Path(lpath), path))
        callback.relative_update(size)

    def get_file(
        self, rpath: str, lpath: Any = None, callback: Any = DEFAULT_CALLBACK, outfile: Any = None, **keywords: Any
    ) -> None:
        """Copies a file to here, whole or not at all."""
        path = self._strip_protocol(rpath)
        if outfile is not None or isfilelike(lpath):
            super().get_file(rpath, lpath, callback=callback, outfile=outfile, **keywords)
            return
        if self.isdir(path):
            os.makedirs(lpath, exist_ok=True)
            return
        os.makedirs(os.path.dirname(os.path.abspath(lpath)), exist_ok=True)
        size = self.info(path)["size"]
        callback.set_size(size)
        self._done(path, lambda tree: tree.run(Get(tree.tree).get, path, Path(lpath)))
        callback.relative_update(size)

    def touch(self, path: str, truncate: bool = True, **keywords: Any) -> None:
        """Makes an empty file, or without ``truncate`` sets the time of one that is there."""
        path = self._strip_protocol(path)
        if truncate or not self.exists(path):
            with self.open(path, "wb"):
                return
        self._done(path, lambda tree: tree.wstat(path, Stat(mtime=int(time.time()))))

    def created(self, path: str) -> datetime.datetime:
        """Raises ``NotImplementedError``: 9P tells the last change alone."""
        raise NotImplementedError("9P does not tell when a file was made, only when it was changed: see modified")

    def modified(self, path: str) -> datetime.datetime:
        """When it was changed last."""
        return datetime.datetime.fromtimestamp(self.info(path)["mtime"], tz=datetime.UTC)

    def ukey(self, path: str) -> str:
        """Changes whenever the file does."""
        found = self.info(path)
        return f"{found['ino']:x}-{found['version']:x}-{found['size']}"

    def checksum(self, path: str) -> int:
        """The same as a number."""
        return hash(self.ukey(path))

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Some bytes of a file, fewer only where it ends."""

        def read(tree: BlockingTree) -> bytes:
            async def fetch() -> bytes:
                async with tree.tree.open(path, OREAD) as file:
                    return await file.read_range(start, end - start)

            return tree.run(fetch)

        return self._done(path, read)

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **keywords: Any,
    ) -> Any:
        """As fsspec has it. What is around a file (text, compression) is closed with the connection, too."""
        text = {name: keywords.pop(name) for name in ("encoding", "errors", "newline") if name in keywords}
        if "b" in mode and any(value is not None for value in text.values()):
            raise ValueError(f"a file that is opened with {mode!r} has bytes, and no {', '.join(text)}: say 'r' or 'w'")
        if "b" in mode:
            file = super().open(path, mode, block_size, cache_options, compression, **keywords)
        else:
            check_text(**text)
            inner = self.open(path, mode.replace("t", "") + "b", block_size, cache_options, compression, **keywords)
            file = io.TextIOWrapper(inner, **text)
        if "r" not in mode or "+" in mode:
            self.tree.adopt(file)
        return file

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **keywords: Any,
    ) -> Any:
        path = self._strip_protocol(path)
        if mode == "rb":
            entry = self.info(path)
            if entry["type"] == "directory":
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            return NinepFile(self, path, mode, block_size or "default", cache_options=cache_options, size=entry["size"])
        if not mode.startswith("r"):
            self._ready(path)
        if autocommit or mode.startswith("r"):
            return self._done(path, lambda tree: tree.open(path, mode), again="x" not in mode)
        if mode.startswith("x") and self.exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if self.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return self._done(path, lambda tree: PendingFile(tree, path, mode.replace("w", "x")), again=False)
