"""Which files a data directory must have: what is missing from one is asked for, and never recreated in silence."""

from __future__ import annotations

from pathlib import Path
from stat import S_ISREG

from fossil.errors import DamagedData
from fossil.metadata import head, settled

_FILES = ("metadata", "metadata-wal", "metadata-shm", "metadata-head", "redo", "data", settled.NAME)


def check_files(folder: Path) -> None:
    """Call it before anything in the directory is opened: opening makes what is not there.

    Raises:
        DamagedData: something else has the name of a file, or one is missing that the file system is lost without.
    """
    if not folder.is_dir():
        return
    for name in _FILES:
        path = folder / name
        if path.is_symlink() and not path.exists():
            raise DamagedData(f"{path} is a link to {path.readlink()}, which is not there: mount it, or put it back")
        if path.exists() and not S_ISREG(path.stat().st_mode):
            raise DamagedData(f"{path} is not a file: remove it, and put back what was there")
    if not _was_open(folder):
        return
    metadata, data = folder / "metadata", folder / "data"
    if not _size(metadata) and not _size(folder / "metadata-wal"):
        what = "is empty" if metadata.exists() else "is missing"
        raise DamagedData(
            f"{metadata} {what}, and the other files of the file system are there: put it back from a copy, "
            "or begin anew from an archive with 'format --from'"
        )
    if not data.exists():
        raise DamagedData(
            f"{data} is missing: put it back; if it is lost for good, an empty file in its place opens the rest"
        )


def forget_files(folder: Path) -> None:
    """Removes what was said of another database than the one that was just put in the directory. Raises OSError."""
    head.forget(folder / "metadata")
    for name in ("redo", settled.NAME):
        (folder / name).unlink(missing_ok=True)


def _was_open(folder: Path) -> bool:
    """Whether the names of all files were made durable once: what was made only in part is made again."""
    return settled.last_note(folder) is not None or head.is_kept(folder / "metadata")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
