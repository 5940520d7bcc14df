"""How far the database is known to be on the disk, so that a loss of power leaves a consistent state.

The operating system writes files to the disk in any order it likes: after a loss of power the database could speak of
data that never came there. So it is noted, after each time the data has been synced, how much of the database's
write-ahead log speaks of that data. When the machine has been started anew since, opening cuts the log there.
While the machine has not been restarted the operating system has everything, and nothing is cut: what was answered
stays, whatever ended the program. The formats read here are those of https://www.sqlite.org/walformat.html.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from fossil.errors import DamagedData
from ninep.disk import replace_file

NAME = "settled"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_HEADER, _FRAME_HEADER = 32, 24


class Mark(NamedTuple):
    """A place in the write-ahead log: which log, and how many bytes of it."""

    salt: str
    length: int


def boot() -> str:
    """Something that is different after every start of the machine; empty where there is no such thing."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def here(metadata: Path) -> Mark:
    """Where the write-ahead log ends now; nothing may be writing to it in this moment."""
    try:
        with metadata.with_name(metadata.name + "-shm").open("rb") as file:
            index = file.read(48)
    except FileNotFoundError:
        index = b""
    if len(index) < 48 or not index[12]:
        return Mark("", 0)
    page = int.from_bytes(index[14:16], sys.byteorder)
    page = 65536 if page == 1 else page
    frames = int.from_bytes(index[16:20], sys.byteorder)
    return Mark(index[32:40].hex(), _HEADER + frames * (_FRAME_HEADER + page) if frames else 0)


def note(folder: Path, mark: Mark | None) -> None:
    """Remembers a mark, durably; None says that all of the log counts. In any thread. Raises OSError."""
    text = json.dumps({"boot": boot(), **(mark._asdict() if mark is not None else {})})
    replace_file(folder / NAME, text.encode())


def recover(folder: Path, metadata: Path) -> int:
    """Cuts off what may speak of data that is not on the disk, after the machine was started anew.

    Call it before the database is opened. Returns how many bytes went.

    Raises:
        DamagedData: the note is not one.
    """
    try:
        found = json.loads((folder / NAME).read_text())
        mark = Mark(found["salt"], found["length"]) if "salt" in found else None
        same = found["boot"] == boot()
    except FileNotFoundError:
        return 0
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedData(f"{folder / NAME} is damaged: remove it to open with all that is there") from error
    log = metadata.with_name(metadata.name + "-wal")
    if same or mark is None or not log.exists():
        return 0
    with log.open("r+b") as file:
        salt = file.read(_HEADER)[16:24].hex()
        size = file.seek(0, os.SEEK_END)
        keep = min(size, mark.length if salt == mark.salt else 0)
        file.truncate(keep)
        os.fsync(file.fileno())
    metadata.with_name(metadata.name + "-shm").unlink(missing_ok=True)
    return size - keep
