"""The directory that a store is in, or is to be in."""

from __future__ import annotations

import os
from pathlib import Path

from ninep.net.errors import BadAddress
from venti.blocks.errors import NoStore
from venti.log.claim import says_its_format


def existing(name: str | Path) -> Path:
    """``name``, if there is a store in it.

    Raises:
        NoStore: there is no such directory, or no store in it.
        BadAddress: it must not be read.
        DamagedStore: it is one of a format that this program does not know.
    """
    path = Path(name)
    if not _is_directory(path):
        raise NoStore(f"{path}: no such directory: name the store with --store DIR")
    if not os.access(path, os.R_OK | os.X_OK):
        raise BadAddress(f"{path}: permission denied: run this as the owner of the store")
    if not (path / "arenas").is_dir():
        raise NoStore(f"{path} is not a store: name the directory that has 'arenas' in it with --store DIR")
    says_its_format(path)
    return path


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except PermissionError:
        raise BadAddress(f"{path}: permission denied: run this as the owner of the store") from None


def writable(path: Path) -> Path:
    """``path``, if a store can be in it and may be written.

    Raises:
        BadAddress: it may not, or is no directory.
    """
    if path.exists() and not path.is_dir():
        raise BadAddress(f"{path} is not a directory: name one with --store DIR")
    place = next(place for place in (path, *path.parents) if place.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        raise BadAddress(f"{path}: permission denied: run this as the owner of the store, or choose another --store")
    return path
