"""How far the database is known to be on disk, so that a loss of power leaves a consistent state.

The operating system writes files to the disk in any order it likes: after a loss of power the database could speak of
data that never came there. So it is noted, after each time the data has been synced, how much of the database's
write-ahead log speaks of that data. When the machine has been restarted since, opening cuts the log there.
While the machine has not been restarted the operating system has everything, and nothing is cut: what was answered
stays, whatever ended the program.

The note stands in a file that has its room from the start, so that a full disk takes it, in two places that are written
in turn: what a loss of power tears is never the only one. Behind each sync the other place gets the same note, which
makes up for a damaged sector.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from fossil.errors import DamagedData
from fossil.metadata.databasefiles import DatabaseFiles
from fossil.metadata.walheader import INDEX_HEADER, LOG_HEADER, end_of_log, log_head, whole_length
from ninep.disk import PositionedFile, sync_folder

log = logging.getLogger(__name__)

NAME = "settled"
PLACE = 4096
"""Bytes between the two places; each is a sector or more on any disk."""
_SIZE = 512
"""Bytes of a note."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Mark(NamedTuple):
    """A place in the write-ahead log: which log, and how many bytes of it."""

    salt: str
    length: int


class Note(NamedTuple):
    """What is known.

    Attributes:
        number: of the note, each one larger than the one before.
        boot: the start of the machine in which it was made.
        mark: how far the write-ahead log counts after another start; None is all of it.
    """

    number: int
    boot: str
    mark: Mark | None


def boot() -> str:
    """Something that is different after every start of the machine; empty where there is no such thing."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def here(files: DatabaseFiles) -> Mark:
    """Where the write-ahead log ends now; nothing may be writing to it in this moment.

    Raises:
        UnknownIndex: SQLite has its index in a way that this program does not know.
        OSError
    """
    salt, length = end_of_log(files.index.read(INDEX_HEADER, 0), files.wal.read(LOG_HEADER, 0))
    return Mark(salt.hex(), length)


def pack(note: Note) -> bytes:
    """A note as it stands in the file: CRC-32 and JSON, filled up with newlines."""
    found = {"number": note.number, "boot": note.boot, **(note.mark._asdict() if note.mark is not None else {})}
    text = json.dumps(found).encode()
    return (b"%08x " % crc32(text) + text).ljust(_SIZE, b"\n")


def unpack(data: bytes) -> Note | None:
    """The newest note of a file; None where there is none that is whole."""
    found = [_one(data[at : at + _SIZE]) for at in (0, PLACE)]
    return max((note for note in found if note is not None), default=None, key=lambda note: note.number)


def _one(data: bytes) -> Note | None:
    try:
        if data.startswith(b"{"):
            # An older file has nothing but this.
            text = data.rstrip(b"\0\n")
        else:
            text = data[9:].rstrip(b"\n")
            if data[:9] != b"%08x " % crc32(text):
                return None
        found = json.loads(text)
        mark = Mark(str(found["salt"]), int(found["length"])) if "salt" in found else None
        return Note(int(found.get("number", 0)), str(found["boot"]), mark)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class NoteFile:
    """The file in a data directory, to be written by one thread at a time. Methods raise OSError."""

    def __init__(self, folder: Path) -> None:
        self._file = PositionedFile.open(folder / NAME, os.O_RDWR | os.O_CREAT)
        try:
            found = unpack(self._file.read(PLACE + _SIZE, 0))
            self._number = 0 if found is None else found.number
            if self._file.size() < PLACE + _SIZE:
                with suppress(OSError):
                    self._file.reserve(0, PLACE + _SIZE)
                # An older note is in the first place, and is not lost before the next one is written.
                self._number |= 1
            sync_folder(folder)
        except BaseException:
            self._file.close()
            raise

    def write(self, mark: Mark | None) -> None:
        """Notes a mark, durably; None says that all of the log counts."""
        self._number += 1
        data = pack(Note(self._number, boot(), mark))
        places = (0, PLACE) if self._number % 2 else (PLACE, 0)
        self._file.write((data,), places[0])
        self._file.sync()
        self._file.write((data,), places[1])

    def close(self) -> None:
        """Releases it."""
        self._file.close()


def last_note(folder: Path) -> Note | None:
    """The newest note of a data directory; None where there is none, or none that is whole. Raises OSError."""
    try:
        return unpack((folder / NAME).read_bytes())
    except FileNotFoundError:
        return None


def recover(folder: Path, metadata: Path) -> None:
    """Cuts off what may speak of data that is not on the disk, after the machine was started anew.

    Call it before the database is opened. A note that is damaged says nothing: all that is there is kept, since every
    piece of data has a digest that tells whether it is.

    Raises:
        DamagedData: what was durable of the write-ahead log is not whole. SQLite would leave out all from there on, and
            say nothing.
    """
    path = folder / NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    note = unpack(data)
    if note is None:
        log.warning("%s is damaged: opened with all that is there", path)
        return
    wal = metadata.with_name(metadata.name + "-wal")
    if note.mark is None or not wal.exists():
        return
    _check(wal, note.mark)
    if note.boot == boot():
        return
    with wal.open("r+b") as file:
        head = log_head(file.read(LOG_HEADER))
        size = file.seek(0, os.SEEK_END)
        keep = min(size, note.mark.length if head is not None and head.salt.hex() == note.mark.salt else 0)
        file.truncate(keep)
        os.fsync(file.fileno())
    metadata.with_name(metadata.name + "-shm").unlink(missing_ok=True)
    if size > keep:
        log.warning("after a loss of power the last seconds are given up: %d bytes of changes", size - keep)


def _check(wal: Path, mark: Mark) -> None:
    """Raises ``DamagedData`` if what was durable of a log is there and not whole."""
    with wal.open("rb") as file:
        data = file.read(mark.length)
    if mark.salt not in (data[16:24].hex(), data[LOG_HEADER + 8 : LOG_HEADER + 16].hex()):
        # All of it was moved into the database since, and the log begun anew.
        return
    if (found := whole_length(data)) < mark.length:
        raise DamagedData(
            f"{wal} is damaged: of {mark.length} bytes that were durable {found} are as they were written, and changes "
            "behind them are lost; restore the directory from a copy, or begin anew from an archive with "
            "'format --from'"
        )
