"""Whose store it is: the directory, its format, and the lock that keeps a second server out."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
            (path / "arenas").mkdir(parents=True, exist_ok=True)
        lock = _open_lock(path / "lock", read_only)
    except OSError as error:
        raise CannotOpenStore(
            f"cannot have a store in {path}: {error.strerror}: choose another --store, or see to the rights of "
            f"{error.filename}"
        ) from error
    try:
        if lock is not None:
            try:
                fcntl.flock(lock, (fcntl.LOCK_SH if read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except OSError as error:
                raise StoreInUse(f"{path} is in use by {_holder(lock)}: stop it, or choose another --store") from error
            if not read_only:
                os.ftruncate(lock, 0)
                os.pwrite(lock, b"%d\n" % os.getpid(), 0)
        _check_format(path, read_only)
        try:
            yield
        finally:
            if lock is not None and not read_only:
                os.ftruncate(lock, 0)
    finally:
        if lock is not None:
            os.close(lock)


def _open_lock(path: Path, read_only: bool) -> int | None:
    """The lock file; None where there is none and nothing is to be made."""
    try:
        flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT
        return os.open(path, flags | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, PermissionError):
        if read_only:
            return None
        raise


def _holder(lock: int) -> str:
    """Whoever wrote its number into the lock, if it lives: readers do not write theirs."""
    number = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
    if number.isdecimal() and Path("/proc", number).exists():
        return f"process {number}"
    return "another process"


def _check_format(path: Path, read_only: bool) -> None:
    file = path / "format"
    try:
        found = file.read_text(errors="replace")
    except FileNotFoundError:
        if read_only or any((path / "arenas").iterdir()):
            raise DamagedStore(f"{file} is missing: restore it, it says {FORMAT.strip()!r}") from None
        file.write_text(FORMAT)
        return
    if found != FORMAT:
        raise DamagedStore(f"{path} is {found.strip()!r}, which this program does not know: use a newer one")
