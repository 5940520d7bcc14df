"""Commands that open the directory of a store themselves, without a server."""

from __future__ import annotations

import argparse
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from ninep.cli.homes import data_home
from ninep.net.errors import BadAddress
from venti.blocks.errors import NoStore
from venti.commands.connection import Parsers, archive
from venti.log.claim import says_its_format
from venti.log.opening import open_disk_store
from venti.log.store import DiskStore
from venti.stores.interface import BlockStore


def add_folder_command(commands: Parsers, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    """A command that works on a store's directory."""
    parser = commands.add_parser(name, help=text, description=run.__doc__)
    add_store_flag(parser, "where the blocks are; default: venti in your data directory")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="say more on standard error")
    parser.set_defaults(run=run)
    return parser


def add_store_flag(parser: argparse.ArgumentParser, text: str) -> None:
    """Adds ``--store``."""
    parser.add_argument("--store", metavar="DIR", help=text)


def folder(arguments: argparse.Namespace) -> Path:
    """The directory of a store that exists and may be read.

    Raises:
        NoStore: there is none.
        BadAddress: it may not be read.
    """
    return existing(arguments.store or data_home() / "venti")


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


def opened(path: Path) -> AbstractAsyncContextManager[DiskStore]:
    """The store in a directory, for writing, while no server has it.

    Raises:
        BadAddress: the directory must not be written.
        StoreInUse: a server has it.
    """
    return open_disk_store(writable(path))


def destination(arguments: argparse.Namespace) -> AbstractAsyncContextManager[BlockStore]:
    """Where blocks go: to the directory of ``--store``, else to the archive of ``-h`` or the environment."""
    if arguments.store is None:
        return archive(arguments)
    if arguments.address is not None:
        raise BadAddress("where to? -h names an archive on the network and --store a directory: say one of them")
    return opened(Path(arguments.store))
