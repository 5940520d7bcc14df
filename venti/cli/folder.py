"""The directory of a store that a command opens itself, without a server."""

from __future__ import annotations

import argparse
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from ninep.cli.homes import data_home
from ninep.net.errors import BadAddress
from venti.cli.connection import archive
from venti.log.opening import open_disk_store
from venti.log.place import existing, writable
from venti.log.store import DiskStore
from venti.stores.interface import BlockStore


def folder(arguments: argparse.Namespace) -> Path:
    """The directory of a store that exists and may be read.

    Raises:
        NoStore: there is none.
        BadAddress: it may not be read.
    """
    return existing(arguments.store or data_home() / "venti")


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
