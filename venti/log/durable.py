"""How much of a store's log is durable: a copy must not contain more, as a loss of power could take it away.

A copy that had more would be ahead of the original after a loss of power, and then they would grow apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from ninep.disk import AlreadyLocked, LockFile
from venti.log import arena as arenas
from venti.log import synced
from venti.log.arena import START, arena_name
from venti.log.files import ArenaFolder, OsFolder, numbers
from venti.log.log import Position


def durable_ends(path: Path) -> Mapping[int, int]:
    """Up to where each arena of the store in ``path`` is durable; what nobody has open is made durable here.

    Raises OSError: a disk does not do what it should.
    """
    return {number: end for number, (end, _) in _ends(path).items()}


def at_most(path: Path, position: Position) -> Position:
    """The last place in the log of a store, not beyond ``position``, before which all is durable. Raises OSError."""
    for number, (end, size) in sorted(_ends(path).items()):
        if end < size:
            return min(position, Position(number, end))
    return position


def _ends(path: Path) -> Mapping[int, tuple[int, int]]:
    """For each arena up to where it is durable, and its size."""
    folder = OsFolder(path / "arenas")
    with _left_alone(path / "lock") as alone:
        known = {} if alone else synced.read(OsFolder(path))
        return {number: _end(folder, number, known.get(number, START), alone) for number in numbers(folder)}


def _end(folder: ArenaFolder, number: int, known: int, alone: bool) -> tuple[int, int]:
    with closing(folder.open(arena_name(number), writable=False)) as file:
        size = file.size()
        if arenas.sealed_at(file) is not None or folder.protected(arena_name(number)):
            return size, size
        if alone:
            file.sync()
            return size, size
        return min(known, size), size


@contextmanager
def _left_alone(lock: Path) -> Iterator[bool]:
    """Whether nobody writes to the store while this lasts."""
    try:
        held = LockFile(lock, shared=True, make=False)
    except FileNotFoundError:
        yield True
        return
    except (AlreadyLocked, PermissionError):
        yield False
        return
    try:
        yield True
    finally:
        held.release()
