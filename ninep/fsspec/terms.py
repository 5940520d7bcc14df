"""Translates paths, directory entries and errors to those of fsspec."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Any

from ninep.net.errors import BadAddress, WireError
from ninep.protocol.errors import (
    FileError,
    FileExists,
    FileNotFound,
    IsDirectory,
    NinepError,
    NotDirectory,
    PermissionDenied,
)
from ninep.protocol.stat import DMDEVICE, DMNAMEDPIPE, DMSOCKET, DMSYMLINK, SECOND, Stat, changed_at

_KINDS: tuple[tuple[type[FileError], type[OSError]], ...] = (
    (FileNotFound, FileNotFoundError),
    (FileExists, FileExistsError),
    (IsDirectory, IsADirectoryError),
    (NotDirectory, NotADirectoryError),
    (PermissionDenied, PermissionError),
)
NOT_THERE = (FileNotFoundError, NotADirectoryError)


class os_errors:
    """Turns what goes wrong with ``path`` into the ``OSError`` that users of fsspec expect."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileError):
            made = next((theirs for ours, theirs in _KINDS if isinstance(error, ours)), OSError)
            raise made(error.errno, str(error), self._path) from error
        if isinstance(error, BadAddress):
            raise ValueError(str(error)) from error
        if isinstance(error, WireError):
            raise ConnectionError(errno.ECONNABORTED, str(error), self._path) from error
        if isinstance(error, NinepError):
            raise OSError(errno.EIO, str(error), self._path) from error


def path_of(url: str | os.PathLike[str], protocols: Sequence[str]) -> str:
    """The path in a URL, or of a path, from the root of the server: without ``/`` at its ends."""
    path = os.fspath(url)
    for name in protocols:
        if path.startswith(f"{name}://"):
            path = path[len(name) + 3 :].partition("/")[2]
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def place_of(url: str, protocols: Sequence[str]) -> dict[str, Any]:
    """The ``host`` and ``port`` in a URL, as far as it has them."""
    for name in protocols:
        if url.startswith(f"{name}://"):
            place = url[len(name) + 3 :].partition("/")[0]
            head, colon, port = place.rpartition(":")
            if colon and port.isdecimal():
                return {"host": head.strip("[]"), "port": int(port)}
            return {"host": place.strip("[]")} if place else {}
    return {}


def entry_of(path: str, stat: Stat) -> dict[str, Any]:
    """What ``info`` and ``ls`` tell of a file. A size that the server does not tell is None."""
    special = stat.mode & (DMDEVICE | DMNAMEDPIPE | DMSOCKET)
    entry = {
        "name": path,
        "size": stat.length if stat.is_known else None,
        "type": "directory" if stat.is_directory else "other" if special else "file",
        "mtime": changed_at(stat) // SECOND,
        "mode": stat.mode & 0o777,
        "uid": stat.uid,
        "gid": stat.gid,
        "version": stat.qid.version,
        "ino": stat.qid.path,
    }
    if stat.mode & DMSYMLINK:
        entry |= {"type": "link", "islink": True, "destination": stat.extension}
    return entry
