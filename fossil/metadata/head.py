"""A second copy of the database's first page, without which SQLite can open nothing.

It has the schema, which no change of the file system changes, and a few numbers that can be told from the file. It is
compared with what is in its place only when the database cannot be opened.
"""

from __future__ import annotations

import os
from pathlib import Path
from zlib import crc32

SUFFIX = "-head"
PAGE = 4096
_START = b"SQLite format 3\0" + PAGE.to_bytes(2, "big")
_SCHEMA = slice(100, PAGE)
_CHANGES = slice(24, 28)
_PAGES = slice(28, 32)
_FREE = slice(32, 40)
_VALID_FOR = slice(92, 96)


def keep(path: Path, format: int, page: bytes) -> None:
    """Keeps the first page of a database of this format, if none is kept of it. In any thread. Raises OSError.

    It is read by whoever has the database open: to open and close its file takes SQLite's locks away.
    """
    kept = _kept(path)
    if kept is not None and _format(kept) == format:
        return
    if len(page) < PAGE or page[: len(_START)] != _START or _format(page) != format:
        # What was committed is still in the write-ahead log alone.
        return
    fresh = _beside(path).with_name(f"{path.name}{SUFFIX}.new")
    with fresh.open("wb") as file:
        file.write(page + crc32(page).to_bytes(4, "big"))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(_beside(path))


def first_page(path: Path) -> bytes:
    """The first page of a database that this process does not have open. Raises OSError."""
    with path.open("rb") as file:
        return file.read(PAGE)


def forget(path: Path) -> None:
    """Keeps none of a database that was here before."""
    _beside(path).unlink(missing_ok=True)


def bring_back(path: Path) -> bool:
    """Puts the page that is kept in the place of the one in the database; False if it is none, or no other.

    Raises:
        OSError
    """
    kept = _kept(path)
    if kept is None:
        return False
    with path.open("r+b") as file:
        found = file.read(PAGE)
        pages = file.seek(0, os.SEEK_END) // PAGE
        page = bytearray(kept)
        page[_CHANGES] = page[_VALID_FOR] = found[_CHANGES].ljust(4, b"\0")
        page[_PAGES] = pages.to_bytes(4, "big")
        page[_FREE] = found[_FREE].ljust(8, b"\0")
        if int.from_bytes(found[32:36], "big") > pages or int.from_bytes(found[36:40], "big") > pages:
            # Pages that are free are not used again, which costs some room and nothing else.
            page[_FREE] = bytes(8)
        if page == found:
            return False
        file.seek(0)
        file.write(page)
        file.flush()
        os.fsync(file.fileno())
    return True


def has_schema_of(path: Path) -> bool:
    """Whether a page is kept, and the one in the database has the same schema."""
    kept = _kept(path)
    if kept is None:
        return False
    with path.open("rb") as file:
        return file.read(PAGE)[_SCHEMA] == kept[_SCHEMA]


def is_kept(path: Path) -> bool:
    """Whether there is such a page."""
    return _kept(path) is not None


def counts_wrong(path: Path) -> bool:
    """Whether a database without write-ahead log says that it has more or fewer pages than it has."""
    log = path.with_name(path.name + "-wal")
    if _kept(path) is None or not path.exists() or (log.exists() and log.stat().st_size):
        return False
    with path.open("rb") as file:
        page = file.read(PAGE)
        return int.from_bytes(page[_PAGES], "big") != file.seek(0, os.SEEK_END) // PAGE


def _beside(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _kept(path: Path) -> bytes | None:
    try:
        data = _beside(path).read_bytes()
    except FileNotFoundError:
        return None
    page = data[:PAGE]
    return page if len(data) == PAGE + 4 and crc32(page) == int.from_bytes(data[PAGE:], "big") else None


def _format(page: bytes) -> int:
    return int.from_bytes(page[60:64], "big")
