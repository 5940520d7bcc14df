"""What is not here but in venti alone: bytes of files, and names of directories."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from fossil.errors import ArchiveAway, Unlisted


async def _no_bytes(source: int, offset: int, count: int) -> bytes:
    raise ArchiveAway("the bytes are in venti, and no venti is open")


async def _no_names(unlisted: Unlisted) -> None:
    raise ArchiveAway(f"{unlisted}, and no venti is open") from unlisted


class Elsewhere(NamedTuple):
    """How a file system gets what is in venti alone. As it is made there is no venti: both raise ``ArchiveAway``.

    Attributes:
        read: so many bytes of a source from an offset.
        list: puts the names of the directory that raised ``Unlisted`` into the database.
    """

    read: Callable[[int, int, int], Awaitable[bytes]] = _no_bytes
    list: Callable[[Unlisted], Awaitable[None]] = _no_names
