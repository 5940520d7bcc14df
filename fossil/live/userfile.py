"""Reads and writes ``/active/adm/users``, the file with the table of users."""

from __future__ import annotations

from collections.abc import Sequence
from types import CoroutineType
from typing import cast

from fossil.errors import ConsoleRefused, FossilError, Unlisted
from fossil.live.filesystem import ROOT, FileSystem
from fossil.live.users import Users
from fossil.metadata.node import Node
from ninep.protocol.errors import FileError
from ninep.protocol.stat import DMDIR
from ninep.wire.dialect import Buffer

PATH = ("adm", "users")
LARGEST = 16 * 1024 * 1024
"""Bytes that are read as a table of users."""


def find(system: FileSystem, names: Sequence[str]) -> Node | None:
    """A file of the live tree, by the names from its root."""
    node: Node | None = system.node(ROOT)
    for name in names:
        node = system.child(node, name) if node is not None and node.mode & DMDIR else None
    return node


async def read_users(system: FileSystem, names: Sequence[str] = PATH) -> str:
    """The text of the file, or of another that is meant to be such a table. Raises ``ConsoleRefused``."""
    shown = "/active/" + "/".join(names)
    try:
        file = await _fetched(system, names)
    except FossilError as error:
        raise ConsoleRefused(f"{shown} cannot be read: {error}") from error
    if file is None:
        raise ConsoleRefused(f"{shown} does not exist")
    if file.mode & DMDIR or file.length > LARGEST:
        raise ConsoleRefused(f"{shown} cannot be a table of users")
    try:
        data = system.read(file, 0, file.length)
        if type(data) is CoroutineType:
            data = await data
        return bytes(cast("Buffer", data)).decode()
    except UnicodeDecodeError as error:
        raise ConsoleRefused(f"{shown} is no text in UTF-8") from error
    except FossilError as error:
        raise ConsoleRefused(f"{shown} cannot be read: {error}") from error


async def _fetched(system: FileSystem, names: Sequence[str]) -> Node | None:
    while True:
        try:
            return find(system, names)
        except Unlisted as unlisted:
            await system.fetch_names(unlisted)


def write_users(system: FileSystem, users: Users) -> None:
    """Writes the table, with its directory where that is missing: all of it, in one transaction, or nothing.

    Raises:
        FileError, FossilError: it was not written.
    """
    folder = find(system, PATH[:1]) or system.create(system.node(ROOT), PATH[0], DMDIR | 0o775, "adm", "sys")
    file = system.child(folder, PATH[1]) or system.create(folder, PATH[1], 0o664, "adm", "sys")
    data = users.text().encode()
    if file.mode & DMDIR:
        raise FileError("/active/adm/users is a directory")
    system.write(file, 0, data, "adm")
    system.truncate(file, len(data), "adm", counts=True)
    system.commit()
