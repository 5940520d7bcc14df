"""Claims the directory of a store: checks its format and takes the lock that keeps a second server out."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ninep.disk import AlreadyLocked, LockFile, make_folders, replace_file
from venti.blocks.errors import CannotOpenStore, DamagedStore, NoStore, StoreInUse
from venti.log import arena as arenas
from venti.log.arena import arena_name
from venti.log.files import OsFolder, numbers

log = logging.getLogger(__name__)

FORMAT = "ninegrid venti store 1\n"
_STORE = frozenset(("arenas", "format", "index"))
"""What says that a directory is a store, each by itself: the others may be lost."""
_OURS = frozenset(("arenas", "format", "index", "lock", "lost+found"))
_LINE = re.compile(r"ninegrid venti store ([1-9][0-9]*)\n")


@contextmanager
def claimed(path: Path, *, read_only: bool = False) -> Iterator[None]:
    """Holds the store in ``path`` while the context lasts; makes an empty one where there is none.

    ``read_only``: others may read at the same time, nobody may write, and nothing is made.

    Raises:
        CannotOpenStore: the system does not let us.
        StoreInUse: another process has it open; the text says which.
        NoStore: there is none to be read, or the directory is full of other files.
        DamagedStore: it is no store, or one of a later format.
    """
    if not read_only:
        _check_free(path)
    if read_only and not (path / "arenas").is_dir():
        raise NoStore(f"{path} holds no store: to read one, name the directory that has 'arenas' in it")
    try:
        if not read_only:
            make_folders(path / "arenas")
        lock = _lock(path / "lock", read_only)
    except AlreadyLocked as error:
        holder = "another process" if error.holder is None else f"process {error.holder}"
        raise StoreInUse(f"{path} is in use by {holder}: stop it, or choose another --store") from error
    except OSError as error:
        raise CannotOpenStore(
            f"cannot have a store in {path}: {error.strerror} for {os.path.abspath(error.filename or path)}: "
            "see to that, or choose another --store"
        ) from error
    try:
        if lock is not None and not read_only:
            lock.note()
        _check_format(path, read_only)
        yield
    finally:
        if lock is not None:
            lock.release()


def _check_free(path: Path) -> None:
    """Raises ``NoStore`` for a directory in which something else is kept: a store is not strewn among it."""
    try:
        names = set(os.listdir(path))
    except OSError:
        # Not there, or whoever makes the store in it will say what is wrong.
        return
    others = sorted(names - _OURS)
    if others and not names & _STORE:
        some = ", ".join(others[:3]) + (" ..." if len(others) > 3 else "")
        raise NoStore(f"{path} holds other files ({some}) and no store: name an empty directory, or one to be made")


def _lock(path: Path, read_only: bool) -> LockFile | None:
    """The lock, held; None where there is no file for it and nothing is to be made."""
    try:
        return LockFile(path, shared=read_only, make=not read_only)
    except (FileNotFoundError, PermissionError):
        if read_only:
            return None
        raise


def _check_format(path: Path, read_only: bool) -> None:
    """Looks whether this is a store that this program knows, and writes anew what says so if that is damaged."""
    if not says_its_format(path) and not read_only:
        replace_file(path / "format", FORMAT.encode(), mode=0o644)


def says_its_format(path: Path) -> bool:
    """Whether the directory says that it is a store that this program knows; False if what says so is damaged.

    A store of a later format has another number in ``format`` and in the heads of its arenas. Where only one of them
    says so it is damage: it must not cost a store.

    Raises:
        DamagedStore: it is a store of a later format, or none.
    """
    file = path / "format"
    found: str | None = None
    try:
        found = file.read_text(errors="replace")
    except FileNotFoundError:
        pass
    except OSError as error:
        log.error("%s cannot be read: %s", file, error.strerror)
    if found == FORMAT:
        return True
    folder = OsFolder(path / "arenas")
    there = numbers(folder)
    said = _LINE.fullmatch(found or "")
    if found and said is not None and _is_later(folder, there, int(said[1])):
        raise DamagedStore(f"{path} is {found.strip()!r}, which this program does not know: use a newer one")
    if not there and found and not _resembles(found):
        raise DamagedStore(f"{path} is no store: {file} is of something else: choose another --store")
    if there or found:
        log.error("%s is %s: it is %s", file, "missing" if found is None else "damaged", FORMAT.strip())
    return False


def _is_later(folder: OsFolder, there: Sequence[int], version: int) -> bool:
    """Whether the arenas are of a later format, too, or there is nothing in them that could be lost."""
    for number in there:
        file = folder.open(arena_name(number), writable=False)
        try:
            if arenas.head_version(file) == version:
                return True
        finally:
            file.close()
    return not there


def _resembles(found: str) -> bool:
    """Whether a text is the one of a store, but for a damaged byte or two."""
    return len(found) == len(FORMAT) and sum(a != b for a, b in zip(found, FORMAT, strict=True)) <= 2
