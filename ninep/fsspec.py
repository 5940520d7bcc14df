"""A 9P server for fsspec, so that pandas, pyarrow and others read from it: ``ninep://host:port/path``.

::

    pandas.read_parquet("ninep://fs:5640/data/table.parquet")

The host and port are those of ``tcp!host!port``. Any other address goes into the storage options, as ``address``, and
so do ``uname``, ``aname``, ``version`` and ``context`` as in ``client.connect``.
"""

from __future__ import annotations

import datetime
import weakref
from contextlib import ExitStack
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile
from fsspec.utils import infer_storage_options

from ninep.blocking import BlockingTree, connect
from ninep.errors import (
    DirectoryNotEmpty,
    FileError,
    FileExists,
    FileNotFound,
    IsDirectory,
    NotDirectory,
    PermissionDenied,
)
from ninep.messages import OREAD
from ninep.stat import Stat

_KINDS: tuple[tuple[type[FileError], type[OSError]], ...] = (
    (FileNotFound, FileNotFoundError),
    (FileExists, FileExistsError),
    (IsDirectory, IsADirectoryError),
    (NotDirectory, NotADirectoryError),
    (PermissionDenied, PermissionError),
    (DirectoryNotEmpty, OSError),
)


class about:
    """Turns a refusal into the ``OSError`` that users of fsspec expect."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileError):
            made = next((theirs for ours, theirs in _KINDS if isinstance(error, ours)), OSError)
            raise made(error.errno, str(error), self._path) from error


class NinepFileSystem(AbstractFileSystem):
    """One connection to one server, made when it is first needed and closed with the object."""

    protocol = ("ninep", "9p")
    root_marker = ""

    def __init__(self, address: str = "", host: str = "", port: int | None = None, **options: Any) -> None:
        """``address`` is a dial string; without one, ``host`` and ``port`` make a ``tcp!`` address."""
        keywords = {name: options.pop(name) for name in ("uname", "aname", "version", "context") if name in options}
        super().__init__(address=address, host=host, port=port, **keywords, **options)
        self.address = address or f"tcp!{host}!{port or '9fs'}"
        self._stack = ExitStack()
        self._keywords = keywords
        self._tree: BlockingTree | None = None
        weakref.finalize(self, self._stack.close)

    @property
    def tree(self) -> BlockingTree:
        """The server."""
        if self._tree is None:
            self._tree = self._stack.enter_context(connect(self.address, **self._keywords))
        return self._tree

    def close(self) -> None:
        """Ends the connection; another is made when it is needed again."""
        self._tree = None
        self._stack.close()

    def __enter__(self) -> NinepFileSystem:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        for name in cls.protocol:
            if path.startswith(f"{name}://"):
                path = infer_storage_options(path)["path"]
        return path.strip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        found = infer_storage_options(path)
        return {name: found[name] for name in ("host", "port") if name in found}

    def _entry(self, path: str, stat: Stat) -> dict[str, Any]:
        return {
            "name": path,
            "size": stat.length if stat.is_known else None,
            "type": "directory" if stat.is_directory else "file",
            "mtime": stat.mtime,
            "mode": stat.mode & 0o777,
            "uid": stat.uid,
            "gid": stat.gid,
            "version": stat.qid.version,
            "ino": stat.qid.path,
        }

    def info(self, path: str, **keywords: Any) -> dict[str, Any]:
        """What is known of a file."""
        path = self._strip_protocol(path)
        with about(path):
            return self._entry(path, self.tree.stat(path))

    def ls(self, path: str, detail: bool = True, **keywords: Any) -> list[Any]:
        """What is in a directory."""
        path = self._strip_protocol(path)
        with about(path):
            stat = self.tree.stat(path)
            if stat.is_directory:
                found = [self._entry(f"{path}/{one.name}".lstrip("/"), one) for one in self.tree.listdir(path)]
            else:
                found = [self._entry(path, stat)]
        return found if detail else [entry["name"] for entry in found]

    def mkdir(self, path: str, create_parents: bool = True, **keywords: Any) -> None:
        """Makes a directory."""
        path = self._strip_protocol(path)
        with about(path):
            if create_parents and "/" in path:
                self.makedirs(path.rpartition("/")[0], exist_ok=True)
            self.tree.mkdir(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Makes a directory and those above it."""
        names = self._strip_protocol(path).split("/")
        for depth in range(1, len(names) + 1):
            part = "/".join(names[:depth])
            try:
                with about(part):
                    self.tree.mkdir(part)
            except FileExistsError:
                if depth == len(names) and not exist_ok:
                    raise

    def rmdir(self, path: str) -> None:
        """Removes an empty directory."""
        path = self._strip_protocol(path)
        with about(path):
            self.tree.remove(path)

    def rm_file(self, path: str) -> None:
        """Removes a file."""
        self.rmdir(path)

    _rm = rm_file

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Removes files, or whole trees."""
        for one in [path] if isinstance(path, str) else path:
            one = self._strip_protocol(one)
            with about(one):
                self.tree.rmtree(one) if recursive else self.tree.remove(one)

    def mv(self, path1: str, path2: str, recursive: bool = False, maxdepth: int | None = None, **keywords: Any) -> None:
        """Renames where the server can, else copies and removes."""
        old, new = self._strip_protocol(path1), self._strip_protocol(path2)
        try:
            with about(old):
                self.tree.rename(old, f"/{new}")
        except OSError:
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **keywords)

    def cp_file(self, path1: str, path2: str, **keywords: Any) -> None:
        """Copies a file by way of here: 9P has no copy of its own."""
        with self.open(path1, "rb") as source, self.open(path2, "wb") as target:
            while data := source.read(1 << 22):
                target.write(data)

    def created(self, path: str) -> datetime.datetime:
        """9P knows the last change alone."""
        return self.modified(path)

    def modified(self, path: str) -> datetime.datetime:
        """When it was changed last."""
        return datetime.datetime.fromtimestamp(self.info(path)["mtime"], tz=datetime.UTC)

    def ukey(self, path: str) -> str:
        """Changes whenever the file does."""
        found = self.info(path)
        return f"{found['ino']:x}-{found['version']:x}-{found['size']}"

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
        with about(path):
            if mode != "rb":
                return self.tree.open(path, mode)
            return NinepFile(
                self, path, mode, block_size or "default", cache_options=cache_options, size=self.tree.stat(path).length
            )


class NinepFile(AbstractBufferedFile):
    """A file that is read in ranges, each with as many messages in flight as it needs."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        tree = self.fs.tree

        async def fetch() -> bytes:
            async with tree.tree.open(self.path, OREAD) as file:
                return bytes(await file.read_range(start, end - start))

        with about(self.path):
            found: bytes = tree.run(fetch)
        return found
