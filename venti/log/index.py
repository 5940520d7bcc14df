"""The index: the place of each block in the log, by score and type, in LMDB.

The log is the truth. The index says how much of the log it covers; what comes after is read from the log when the
store is opened, and an index that is lost, damaged or ahead of the log is rebuilt.

Key: ``score[20] type[1]``. Value, little-endian: ``arena[4] offset[8] stored[4] size[4] digest[16]``, the last being
the first half of the block's BLAKE3. Key ``covered``: ``arena[4] offset[8]``.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from struct import Struct
from struct import error as StructError
from typing import Any, NamedTuple

import lmdb

from ninep.disk import PositionedFile
from venti.blocks.errors import DamagedStore
from venti.log.filter import Filter
from venti.log.log import Position

log = logging.getLogger(__name__)

_VALUE = Struct("<IQII16s")
_COVERED = Struct("<IQ")
_COVERED_KEY = b"covered"
_PAGE = 4096
FIRST_SIZE = 256 * 1024 * 1024
"""Bytes of address space to begin with; it grows as needed, the file is only as large as its content."""
MEMORY = 256 * 1024 * 1024
"""Bytes of the index that may be mapped into this process; see ``Index``."""
TRANSACTION = 4096
"""Entries of one transaction. Each may change a page of its own, and LMDB holds those in memory until it commits."""
_LOOKUPS = 1024
"""Look-ups, or entries written, after which the mapped memory is measured: each may map 64 KiB."""
_OVERSHOOT = 128 * 1024 * 1024
"""Bytes that may be mapped between two measurements."""
_DONTNEED = 4
"""MADV_DONTNEED of madvise(2)."""

PLACE = _VALUE.size
"""Bytes of a packed place."""
MALFORMED = b"?"
"""In place of an entry that is none."""
CHECK = slice(20, 36)
"""Where in a packed place the half digest is."""


class Place(NamedTuple):
    """Where a block is, and enough of its BLAKE3 to tell another block with the same score."""

    arena: int
    offset: int
    stored: int
    size: int
    check: bytes

    @classmethod
    def unpack(cls, value: bytes) -> Place:
        """From what the index keeps."""
        return cls._make(_VALUE.unpack(value))


pack_place = _VALUE.pack
"""The fields of a ``Place``, as the index keeps them."""
unpack_place = _VALUE.unpack
"""Those fields again, as a plain tuple."""


LOCK_SIZE = 8192
"""Bytes of LMDB's table of readers; it takes a larger file as it is."""


class Index:
    """Look-ups in the thread of the event loop, writes of whole batches in another, never two at once.

    LMDB maps its file, and mapped pages count as memory of this process although the kernel can have them back at any
    time. When more than ``memory`` bytes of files are mapped, those of the index are given back: they stay in the
    kernel's cache, and the process stays small.

    A filter answers for most keys that are not there, once ``learn`` has gone through all that are.
    """

    def __init__(
        self,
        path: Path,
        *,
        memory: int = MEMORY,
        read_only: bool = False,
        strict: bool = False,
        beside: bool = False,
    ) -> None:
        """Opens or makes the index at ``path``, a directory; one that cannot be used is thrown away and made anew.

        ``read_only``: nothing is made or changed, and an index that cannot be used counts as empty. ``beside``, with
        it: another process may write the index meanwhile. ``strict``: an index that cannot be used is an error.

        Raises:
            lmdb.Error: it cannot be used, with ``strict``.
        """
        self._path = path
        self._memory = memory
        self._read_only = read_only
        self._beside = beside
        self._environment: Any = None
        self._reader: Any = None
        self._get: Callable[[bytes], memoryview | None] = _nothing
        self._lookups = 0
        self._apart = _mapped()
        self._filter = Filter()
        self._filtered = False
        self.covered: Position | None = None
        try:
            self._open()
        except lmdb.Error as error:
            if strict:
                self.close()
                raise
            log.warning("the index cannot be used (%s): it is made anew from the arenas", error)
            self.clear()

    def _open(self) -> None:
        if not self._read_only:
            self._path.mkdir(exist_ok=True)
        if self._read_only and not ((file := self._path / "data.mdb").exists() and file.stat().st_size):
            raise lmdb.InvalidError("it is empty")
        if not self._read_only:
            _reserve(self._path / "lock.mdb")
        size = max(FIRST_SIZE, 2 * sum(file.stat().st_size for file in self._path.glob("*")))
        self._environment = lmdb.open(
            str(self._path),
            map_size=size,
            metasync=False,
            mode=0o600,
            max_readers=8,
            readahead=False,
            readonly=self._read_only,
            create=not self._read_only,
            lock=self._beside or not self._read_only,
        )
        if (self._path / "data.mdb").stat().st_size < (self._environment.info()["last_pgno"] + 1) * _PAGE:
            # To look at a page that is not there would kill the process.
            raise lmdb.CorruptedError("it has lost its end")
        self._renew()
        self._filter = Filter(self.entries())
        self._filtered = not self._read_only and not self.entries()

    def renew(self) -> None:
        """Lets look-ups see what another process has written meanwhile."""
        self._reader.abort()
        self._renew()

    def clear(self) -> None:
        """Forgets everything."""
        self.close()
        self.covered = None
        self._filtered = False
        if self._read_only:
            self._get = _nothing
            return
        shutil.rmtree(self._path, ignore_errors=True)
        self._open()

    def get(self, key: bytes) -> bytes | None:
        """The packed ``Place`` of a block, as far as the last batch.

        Raises:
            DamagedStore: the index cannot be read.
        """
        if self._filtered and not self._filter.may_have(key):
            return None
        self._lookups += 1
        if self._lookups >= _LOOKUPS:
            self._lookups = 0
            self._bound()
        try:
            value = self._get(key)
        except lmdb.Error as error:
            # What one page does to a transaction must not keep the others from being read.
            with suppress(lmdb.Error):
                self.renew()
            raise DamagedStore(f"the index is damaged: stop the server and run rebuild-index: {error}") from error
        return value if value is None else _checked(value)

    def _bound(self) -> None:
        if _mapped() - self._apart > self._memory - self._filter.size - _OVERSHOOT:
            _give_back(self._path / "data.mdb")

    def prepare(self) -> None:
        """Makes room for a batch; in the thread of the look-ups, while nothing is being written."""
        # Whoever looked at the index from outside and was killed would keep pages from being used again.
        self._environment.reader_check()
        self._filter.make_room(self.entries())
        information = self._environment.info()
        used = (information["last_pgno"] + 1) * _PAGE
        if used * 2 > information["map_size"]:
            self._reader.abort()
            self._environment.set_mapsize(information["map_size"] * 2)
            self._renew()

    def write(self, batch: Mapping[bytes, bytes], covered: Position | None) -> None:
        """Adds packed places, and the position in the log that they reach to, durably; in any thread.

        Where more entries up to that position follow, it is None: entries beyond what is covered are true all the same.

        Raises:
            lmdb.Error: nothing was added.
        """
        with self._environment.begin(write=True) as transaction, transaction.cursor() as cursor:
            entries = sorted(batch.items())
            # Before anybody can look them up, and whether or not all of them get there.
            self._filter.add(batch)
            for first in range(0, len(entries), _LOOKUPS):
                cursor.putmulti(entries[first : first + _LOOKUPS])
                self._bound()
            if covered is not None:
                transaction.put(_COVERED_KEY, _COVERED.pack(*covered))

    def finish(self) -> None:
        """Lets look-ups see the batch that was written; in their thread."""
        self.renew()
        self._bound()

    def learn(self, key: bytes) -> bytes | None:
        """Adds some keys to the filter, from ``key`` on; returns where to go on, None when it knows all of them.

        In any thread, while nothing is written.

        Raises:
            lmdb.Error: the index is damaged.
        """
        with self._environment.begin() as transaction, transaction.cursor() as cursor:
            keys = list(islice(cursor.iternext(values=False), _LOOKUPS)) if cursor.set_range(key) else []
        self._bound()
        self._filter.add(keys)
        if len(keys) == _LOOKUPS:
            return bytes(keys[-1]) + b"\0"
        self._filtered = True
        return None

    def entries(self) -> int:
        """How many blocks it knows."""
        return 0 if self._environment is None else max(0, int(self._environment.stat()["entries"]) - 1)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key and its packed place, by key; each some thousands as of one moment. See ``part``."""
        part = self.part(b"")
        while part:
            yield from (item for item in part if item[0] != _COVERED_KEY)
            part = self.part(part[-1][0] + b"\0")

    def part(self, key: bytes) -> list[tuple[bytes, bytes]]:
        """Some thousand entries from a key on, by key. In any thread, while nothing makes room for a batch.

        Raises:
            lmdb.Error: the index is damaged.
        """
        with self._environment.begin(buffers=True) as transaction, transaction.cursor() as cursor:
            found = islice(cursor.iternext(), TRANSACTION) if cursor.set_range(key) else ()
            part = [(bytes(found_key), _checked(value)) for found_key, value in found]
        self._bound()
        return part

    def _renew(self) -> None:
        self._reader = self._environment.begin(buffers=True)
        self._get = self._reader.get
        covered = self._get(_COVERED_KEY)
        try:
            self.covered = Position(*_COVERED.unpack(covered)) if covered else None
        except StructError as error:
            raise lmdb.CorruptedError("it does not say how far it reaches") from error

    def close(self) -> None:
        """Releases the files."""
        if self._environment is not None:
            if self._reader is not None:
                self._reader.abort()
            self._environment.close()
            self._environment = self._reader = None


def parts(batch: Mapping[bytes, bytes]) -> Iterator[dict[bytes, bytes]]:
    """A batch as pieces for one transaction each, neighbours together."""
    entries = sorted(batch.items())
    for first in range(0, len(entries), TRANSACTION):
        yield dict(entries[first : first + TRANSACTION])


def _reserve(path: Path) -> None:
    """Takes the room of LMDB's table of readers, which it maps with a hole in it: a full disk would kill the process.

    Raises OSError: there is no room.
    """
    try:
        with closing(PositionedFile.open(path, os.O_RDWR | os.O_CREAT)) as file:
            missing = LOCK_SIZE - file.size()
            if not file.reserve(0, LOCK_SIZE) and missing > 0:
                file.write((bytes(missing),), file.size())
            if missing > 0:
                file.truncate(LOCK_SIZE)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _checked(value: memoryview) -> bytes:
    """What an entry holds. One of another length is not looked at: if its page is damaged it may reach anywhere."""
    return bytes(value) if len(value) == PLACE else MALFORMED


def _nothing(key: bytes) -> memoryview | None:
    """The look-up of an index that is not there."""
    return None


def _give_back(path: Path) -> None:
    """Unmaps the pages of a mapped file; the next look at one finds it again. Nothing is lost, in whatever thread."""
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(path.absolute())):
            start, end = (int(word, 16) for word in line.split(" ", 1)[0].split("-"))
            madvise(start, end - start, _DONTNEED)


def _mapped() -> int:
    """Bytes of files that are mapped into this process and present."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[2]) * _PAGE
    except OSError:
        return 0
