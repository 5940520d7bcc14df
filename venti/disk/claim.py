"""Whose store it is: the directory, its format, and the lock that keeps a second server out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ninep.disk import AlreadyLocked, LockFile, make_folders, replace_file
from venti.errors import CannotOpenStore, DamagedStore, StoreInUse

FORMAT = "ninegrid venti store 1\n"


@contextmanager
def claimed(path: Path, *, read_only: bool = False) -> Iterator[None]:
    """Holds the store in ``path`` while the context lasts; makes an empty one where there is none.

    ``read_only``: others may read at the same time, nobody may write, and nothing is made.

    Raises:
        CannotOpenStore: the system does not let us.
        StoreInUse: another process has it open; the text says which.
        DamagedStore: it is no store, or one of a later format.
    """
    if read_only and not (path / "arenas").is_dir():
        raise DamagedStore(f"{path} holds no store: to read one, name the directory that has 'arenas' in it")
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


def _lock(path: Path, read_only: bool) -> LockFile | None:
    """The lock, held; None where there is no file for it and nothing is to be made."""
    try:
        return LockFile(path, shared=read_only, make=not read_only)
    except (FileNotFoundError, PermissionError):
        if read_only:
            return None
        raise


def _check_format(path: Path, read_only: bool) -> None:
    file = path / "format"
    try:
        found = file.read_text(errors="replace")
    except FileNotFoundError:
        if read_only or any((path / "arenas").iterdir()):
            raise DamagedStore(f"{file} is missing: restore it, it says {FORMAT.strip()!r}") from None
        replace_file(file, FORMAT.encode(), mode=0o644)
        return
    if found != FORMAT:
        raise DamagedStore(f"{path} is {found.strip()!r}, which this program does not know: use a newer one")
