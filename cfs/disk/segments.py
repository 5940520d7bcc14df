"""The data of the cache: numbered files that are appended to, with holes where extents were evicted.

``Segments`` keeps count of what each file holds; ``Files`` moves bytes and may be used from a worker thread. An emptied
segment is removed. Where the file system cannot punch holes, the space of an extent is only free when its whole segment
is, and the counts say so.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from cfs.disk.layout import PAGE, pages, segment_name, segment_number
from cfs.disk.row import Place
from ninep.disk import pwrite_all
from ninep.wire.dialect import Buffer

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = getattr(_libc, "fallocate", None)
if _fallocate is not None:
    _fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
MOST_OPEN = 128
"""Segments that are open at once. A cache of 10 GiB has some 160."""
SPARE = 8
"""So many segments more than twice what would do are no reason to move anything."""
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)


class _Opened:
    """A descriptor, closed when nobody refers to it any more: not while another thread still reads."""

    __slots__ = ("descriptor",)

    def __init__(self, path: Path) -> None:
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class Files:
    """The segment files of one directory, of which at most ``most_open`` are kept open."""

    def __init__(self, directory: Path, most_open: int = MOST_OPEN) -> None:
        self._directory = directory
        self._most_open = most_open
        self._opened: dict[int, _Opened] = {}

    def numbers(self) -> list[int]:
        """The segments that exist, oldest first."""
        found = [segment_number(entry.name) for entry in os.scandir(self._directory)]
        return sorted(number for number in found if number is not None)

    def write(self, place: Place, data: Buffer) -> None:
        """Writes an extent; raises ``OSError``, of which a full disk is one."""
        opened = self._open(place.segment)
        pwrite_all(opened.descriptor, data, place.offset)

    def read(self, place: Place) -> bytes:
        """The bytes of an extent, fewer where the file ends; waits for the disk."""
        opened = self._open(place.segment)
        return os.pread(opened.descriptor, place.length, place.offset)

    def read_nowait(self, place: Place) -> Buffer | None:
        """The same if they are in memory, else None."""
        if not _NOWAIT:
            return None
        data = bytearray(place.length)
        try:
            opened = self._open(place.segment)
            count = os.preadv(opened.descriptor, [data], place.offset, _NOWAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return None
            raise
        return data if count == place.length else None

    def punch(self, place: Place) -> bool:
        """Gives the blocks of an extent back; False where the file system cannot."""
        if _fallocate is None:
            return False
        opened = self._open(place.segment)
        return bool(_fallocate(opened.descriptor, _KEEP_SIZE | _PUNCH_HOLE, place.offset, pages(place.length)) == 0)

    def can_punch(self) -> bool:
        """Whether the file system gives blocks back, tried on a file that is removed again."""
        probe = Place(0, 0, PAGE)
        try:
            self.write(probe, bytes(PAGE))
            return self.punch(probe)
        finally:
            self.remove(0)

    def punch_between(self, places: Iterable[Place]) -> None:
        """Gives back everything that lies before, between and after the places, which are in order of segments."""
        by_segment: dict[int, list[Place]] = {}
        for place in places:
            by_segment.setdefault(place.segment, []).append(place)
        for segment, held in by_segment.items():
            at = 0
            for place in held:
                if place.offset > at:
                    self.punch(Place(segment, at, place.offset - at))
                at = max(at, place.offset + pages(place.length))
            opened = self._open(segment)
            if os.fstat(opened.descriptor).st_size > at:
                os.ftruncate(opened.descriptor, at)

    def remove(self, segment: int) -> None:
        """Closes and removes a segment; no matter if it is gone."""
        self._opened.pop(segment, None)
        (self._directory / segment_name(segment)).unlink(missing_ok=True)

    def close(self) -> None:
        """Closes all files."""
        self._opened.clear()

    def _open(self, segment: int) -> _Opened:
        """The caller keeps the object for as long as it uses the descriptor."""
        opened = self._opened.get(segment)
        if opened is None:
            path = self._directory / segment_name(segment)
            try:
                opened = _Opened(path)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._opened:
                    raise
                # What is held here is the first that can be done without.
                self._opened.clear()
                opened = _Opened(path)
            opened = self._opened.setdefault(segment, opened)
            while len(self._opened) > self._most_open:
                self._give_one_back()
        return opened

    def _give_one_back(self) -> None:
        with contextlib.suppress(StopIteration, KeyError, RuntimeError):  # another thread does the same
            del self._opened[next(iter(self._opened))]


class Segments:
    """How full each segment is. Bytes are counted in whole pages. Pure arithmetic.

    Attributes:
        used: bytes that count against the bound.
        punching: whether space is free as soon as its extent is given up.
        emptied: segments that hold nothing any more.
        holes: places given up that are to be punched.
    """

    def __init__(self, size: int, last: int, *, punching: bool = True) -> None:
        """New extents go to segments after ``last``, each ``size`` bytes long."""
        self.size = size
        self.used = 0
        self.punching = punching
        self.emptied: list[int] = []
        self.holes: list[Place] = []
        self._current = last + 1
        self._offset = 0
        self._live: dict[int, int] = {}
        self._dead: dict[int, int] = {}

    @property
    def current(self) -> int:
        """The segment that is being appended to."""
        return self._current

    def known(self, segment: int, size: int) -> None:
        """Counts ``size`` bytes, in whole pages, that the index remembers in a segment."""
        self._live[segment] = self._live.get(segment, 0) + size
        self.used += size

    def sparse(self) -> int | None:
        """The emptiest segment, where there are more than twice as many as what they hold would fill."""
        if len(self._live) <= SPARE + 2 * self.used // self.size:
            return None
        others = (segment for segment in self._live if segment != self._current)
        found = min(others, key=self._live.__getitem__, default=None)
        return found if found is not None and 2 * self._live[found] <= self.size else None

    def place(self, length: int) -> Place:
        """Room for ``length`` bytes, which count from now on."""
        size = pages(length)
        if self._offset + size > self.size:
            left, self._current, self._offset = self._current, self._current + 1, 0
            if self._live.get(left) == 0:
                self._empty(left)
        place = Place(self._current, self._offset, length)
        self._offset += size
        self.known(place.segment, size)
        return place

    def give_up(self, place: Place) -> None:
        """Stops counting an extent."""
        segment, size = place.segment, pages(place.length)
        self._live[segment] -= size
        if self.punching:
            self.used -= size
            self.holes.append(place)
        else:
            self._dead[segment] = self._dead.get(segment, 0) + size
        if not self._live[segment] and segment != self._current:
            self._empty(segment)

    @property
    def reclaimable(self) -> bool:
        """Whether anything waits to be given back to the disk."""
        return bool(self.emptied or self.holes)

    def reclaim(self) -> tuple[list[Place], list[int]]:
        """Places to punch and segments to remove, for the caller to do so."""
        holes, emptied = self.holes, self.emptied
        self.holes, self.emptied = [], []
        return holes, emptied

    def _empty(self, segment: int) -> None:
        del self._live[segment]
        self.used -= self._dead.pop(segment, 0)
        self.emptied.append(segment)
