"""The cache on local disk: file data by attach name, qid path and version, within a bound of bytes.

A cache may be lost at any time, so nothing here waits for the disk; what a crash leaves behind is found out by
checksums and costs a refetch. The order of things:

* Bytes that come in (``add``) are held in memory at once, and read from there, until a batch of them is written:
  ``take`` makes room and gives every piece a place, ``Batch.carry_out`` moves the bytes (in a worker thread, if the
  caller likes), ``record`` enters them in the index. Places are never used twice.
* An extent leaves the index, and that is committed, before its blocks are given back.
* Bytes are handed out only after their checksum was compared. What does not pass is dropped and counts as absent.

Recency is kept in *ages* (``ages``), so that reading costs no writing. The extents of the oldest age go first, among
them those stored first.

Nothing here is for use from two threads, except as said of ``Batch.carry_out`` and ``Store.page_in``.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from cfs.disk import compaction
from cfs.disk.ages import Ages
from cfs.disk.batch import Batch, Piece
from cfs.disk.checking import Checker
from cfs.disk.directory import Directory
from cfs.disk.extents import Extents
from cfs.disk.filetable import FileTable
from cfs.disk.index import Index
from cfs.disk.layout import BATCH, GROWTH, LEAST, PINNED, QUEUE, Version, pages, segment_size
from cfs.disk.opening import Opened, make_cache, open_cache, remake_cache
from cfs.disk.outage import Outage
from cfs.disk.row import Place, Row
from cfs.disk.rows import rows_of
from cfs.disk.segments import Files, Segments
from cfs.disk.stored import StoredFile
from cfs.disk.waiting import Held, Waiting, assemble
from cfs.errors import BadBound
from cfs.statistics import Statistics
from ninep.wire.dialect import Buffer

T = TypeVar("T")
log = logging.getLogger(__name__)


class Store:
    """An open cache directory. A context manager; closing it writes out what waits.

    Attributes:
        made: files of which something was entered.
        outdated: files that were found in another version than was held.
    """

    def __init__(self, directory: Path, size: int, server: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Opens the cache of ``server`` with a bound of ``size`` bytes; makes it where there is none.

        A cache of another server or format, or one that is damaged as a whole, is emptied, and a warning says so.

        Raises:
            CacheInUse, NotACache, BadBound
            OSError: the directory can't be used.
        """
        if size < LEAST:
            raise BadBound(size, LEAST)
        self._size = size
        self._server = server
        self._directory = Directory(directory)
        self._files = Files(directory)
        self._index: Index | None = None
        self._index_size = 0
        self._segments = Segments(segment_size(size), 0)
        self._table = FileTable()
        self._waiting = Waiting()
        self._taken: list[Held] = []
        self._batch: Batch | None = None
        self._ages = Ages(size)
        self._checker = Checker(str(directory), self._files)
        self._outage = Outage(str(directory), clock)
        self._counts = dict.fromkeys(("stored", "evicted", "refused"), 0)
        self.made = self.outdated = 0
        self.on_work: Callable[[], None] = lambda: None
        """Called when there is something to ``take``."""
        try:
            self._adopt(open_cache(self._directory, self._files, size, server))
            self._shrink()
        except BaseException:
            self._files.close()
            self._directory.release()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Writes out what waits, closes the index and unlocks the directory; a second call does nothing."""
        try:
            self.flush()
        finally:
            if self._index is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._index.close(clean=True)
                self._index = None
            self._table.kill_all()
            self._files.close()
            self._directory.release()

    @property
    def statistics(self) -> Statistics:
        """The counts as they stand."""
        used = self._segments.used + self._index_size
        return Statistics(self._size, used, damaged=self._checker.damaged, **self._counts)

    @property
    def off(self) -> bool:
        """Whether caching is turned off for the time being, because the disk refused."""
        return bool(self._outage)

    @property
    def queued(self) -> int:
        """Bytes that wait for the next batch."""
        return self._waiting.size

    @property
    def idle(self) -> bool:
        """Whether no batch is under way."""
        return self._batch is None

    @property
    def keeps(self) -> bool:
        """Whether bytes that come in now and soon would be kept: the disk takes them, and not too slowly."""
        return not self._outage and self._waiting.size < QUEUE // 2

    # Files

    def file(self, tree: str, path: int, version: Version, *, pin: int = 0) -> StoredFile:
        """What is held of a file at a version; data of any other version is dropped.

        With a ``pin`` nothing of it gives way, without one anything may.
        """
        loaded = self._table.get(tree, path)
        if loaded is not None:
            if loaded.version == version:
                self._table.use(loaded)
                self._pin_file(loaded, pin)
                return loaded
            self.outdated += 1
            self.drop(tree, path)
        number, present, pinned = None, Extents(), 0
        if self._index is not None:
            try:
                found = self._index.find(tree, path)
                if found is not None and found.version != version:
                    self.outdated += 1
                    self._forget(found.number)
                elif found is not None:
                    number, pinned = found.number, found.pin
                    present = Extents((start, start + length) for start, length in self._index.ranges(number))
            except sqlite3.Error as error:
                self._broken(error)
                number, present = None, Extents()
        present.cut(version.length)
        file = StoredFile(tree, path, version, number, present)
        file.users = 1
        file.pin = pinned
        self._table.add(file)
        self._pin_file(file, pin)
        return file

    def holds(self, tree: str, path: int) -> bool:
        """Whether anything is held of a file, at whichever version."""
        loaded = self._table.get(tree, path)
        if loaded is not None:
            return bool(loaded.present)
        return self.consult(lambda index: index.find(tree, path) is not None, False)

    def release(self, file: StoredFile) -> None:
        """Gives a file back."""
        self._table.give_back(file)

    def drop(self, tree: str, path: int) -> None:
        """Forgets a file, whatever its version."""
        loaded = self._table.take(tree, path)
        number = None if loaded is None else loaded.number
        if loaded is not None:
            loaded.die()
        if loaded is None and (found := self.consult(lambda index: index.find(tree, path), None)):
            number = found.number
        if number is not None:
            self.consult(lambda _: self._forget(number), None)

    def consult(self, ask: Callable[[Index], T], otherwise: T) -> T:
        """Asks the index. Where there is none, or it fails and is made anew, the answer is ``otherwise``."""
        if self._index is None:
            return otherwise
        try:
            return ask(self._index)
        except sqlite3.Error as error:
            self._broken(error)
            return otherwise

    def unpin(self, pin: int) -> None:
        """Lets go what a pin held; it may give way from now on."""
        self.consult(lambda index: index.delete_pin(pin, self._ages.present), None)
        self._table.unpin(pin)

    def _pin_file(self, file: StoredFile, pin: int) -> None:
        number = file.number
        if file.pin != pin:
            file.pin = pin
            file.unload_rows()
            if number is not None:
                self.consult(lambda index: index.pin_file(number, pin, PINNED if pin else self._ages.present), None)

    # Reading

    def read(self, file: StoredFile, start: int, end: int, *, wait: bool = True) -> Buffer | None:
        """The bytes of a range, or None if not all are present and in order.

        With ``wait`` false also None if the disk would have to be waited for; the range is still in ``file.present``
        then, and ``page_in`` brings it nearer.
        """
        if start >= end:
            return b""
        if not file.present.covers(start, end):
            return None
        waiting = self._waiting.pieces(file, start, end) if file.waiting else ()
        found: list[tuple[int, Buffer]] = [(piece.start, piece.data) for piece in waiting]
        if file.number is not None and self._index is not None:
            rows = rows_of(file, start, end, self.consult)
            if len(rows) > 1 and not found and (run := self._checker.read_run(file, rows, self.nonce)) is not None:
                for row in rows:
                    self._touch(file, row)
                return assemble([(rows[0].start, run)], start, end)
            for row in rows:
                if file.dead:
                    return None
                data = self._checked(file, row, wait, start > row.start or end < row.start + row.place.length)
                if data is None:
                    return None
                found.append((row.start, data))
        if len(found) > 1:
            found.sort(key=itemgetter(0))
        return assemble(found, start, end)

    def places(self, file: StoredFile, start: int, end: int) -> list[Place]:
        """Where the bytes of a range are on disk, for ``page_in``."""
        return [row.place for row in rows_of(file, start, end, self.consult)]

    def page_in(self, places: Iterable[Place]) -> None:
        """Waits for the disk until the bytes are in the system's memory. May run in a worker thread."""
        with contextlib.suppress(OSError):
            for place in places:
                self._files.read(place)

    # Writing

    def add(self, file: StoredFile, start: int, data: Buffer) -> bool:
        """Keeps bytes of a file; what is present already stays as it is. False if they could not be kept."""
        if file.dead or not data:
            return False
        if self._outage or not self._usable() or self._waiting.size + len(data) > QUEUE:
            self._counts["refused"] += len(data)
            return False
        view = memoryview(data)
        for gap in file.present.gaps(start, min(start + len(data), file.version.length)):
            self._waiting.add(file, gap.start, gap.end, view[gap.start - start : gap.end - start])
            file.present.add(gap.start, gap.end)
        self.on_work()
        return True

    def flush(self) -> None:
        """Writes out everything that waits, in line."""
        while (batch := self.take()) is not None:
            try:
                sums = batch.carry_out(self._files, self.nonce)
            except OSError as error:
                self.failed(batch, error)
            else:
                self.record(batch, sums)

    @property
    def files(self) -> Files:
        """The files that a batch is carried out on."""
        return self._files

    @property
    def nonce(self) -> bytes:
        """The key of this cache's checksums."""
        return self._index.nonce if self._index is not None else bytes(32)

    def take(self) -> Batch | None:
        """The next batch to carry out, or None. ``record`` or ``failed`` must follow before the next ``take``."""
        work = self._waiting or self._segments.reclaimable or self._ages
        return self.consult(self._take, None) if work else None

    def record(self, batch: Batch, sums: list[bytes]) -> None:
        """Enters the pieces of a batch that was carried out."""
        if batch is not self._batch or self._index is None:
            return
        rows: list[tuple[int, Row]] = []
        try:
            for held, piece, sum_ in zip(self._taken, batch.pieces, sums, strict=True):
                file = held.file
                if file.dead:
                    self._give_up(piece.place)
                    continue
                if file.number is None:
                    self._table.give_number(file, self._index.new_file(file.tree, file.path, file.version, file.pin))
                    self.made += 1
                assert file.number is not None
                age = PINNED if file.pin else self._ages.present
                rows.append((file.number, Row(held.start, piece.place, age, sum_)))
                file.entered(rows[-1][1])
                self._counts["stored"] += len(held.data)
            if rows:
                self._index.insert(rows)
            left, unread = compaction.entered(batch.moves, batch.moved, self._index, self._table)
            self._index.commit()
        except sqlite3.Error as error:
            self._broken(error)
            return
        if rows:
            self._outage.end()
        for place in left:
            self._give_up(place)
        self._index_size = self._index.size
        self._end_batch()
        self._lose(unread)

    def failed(self, batch: Batch, error: OSError) -> None:
        """Turns caching off for a while after a batch could not be carried out; none of its pieces is present."""
        if batch is not self._batch:
            return
        for held, piece in zip(self._taken, batch.pieces, strict=True):
            self._give_up(piece.place)
            held.file.present.remove(held.start, held.end)
        for move in batch.moves:
            self._give_up(move.to)
        self._turn_off(error)
        self._end_batch()

    # Inside

    def _adopt(self, opened: Opened) -> None:
        self._index, self._segments = opened
        self._index_size = self._index.size

    def _shrink(self) -> None:
        """Brings a cache that was made with a larger bound within this one."""
        assert self._index is not None
        try:
            self._ages.present = self._index.latest_age()
            self._make_room(self._index, 0)
        except sqlite3.Error as error:
            self._broken(error)
        self.flush()

    def _broken(self, error: sqlite3.Error) -> None:
        """The index failed: everything in it is given up, and it is made anew."""
        if self._index is not None:
            with contextlib.suppress(sqlite3.Error):
                self._index.close(clean=False)
            self._index = None
        self._empty()
        last = self._segments.current
        try:
            self._adopt(
                remake_cache(self._directory, self._files, self._size, self._server, last, f"its index failed: {error}")
            )
        except OSError as again:
            self._turn_off(again)

    def _empty(self) -> None:
        self._table.kill_all()
        self._waiting.drop()
        self._waiting.end()
        self._taken.clear()
        self._batch = None
        self._ages.clear()
        self._checker.recent.clear()

    def _turn_off(self, error: Exception) -> None:
        self._outage.begin(error)
        for piece in self._waiting.drop():
            piece.file.present.remove(piece.start, piece.end)
            self._counts["refused"] += len(piece.data)
            self._table.unload(piece.file)

    def _usable(self) -> bool:
        """Whether there is an index, made on the spot if the disk refused one earlier."""
        if self._index is None:
            try:
                last = self._segments.current
                self._adopt(make_cache(self._directory, self._files, self._size, self._server, last))
            except OSError as error:
                self._turn_off(error)
                return False
        return True

    def _checked(self, file: StoredFile, row: Row, wait: bool, partly: bool) -> Buffer | None:
        """The bytes of an extent, none if they are damaged, None if the disk would have to be waited for."""
        assert file.number is not None
        self._touch(file, row)
        data = self._checker.read(file, row, self.nonce, wait=wait, partly=partly)
        if data is not None and not data:
            self._lose([(file.number, row.start, row.place)])
        return data

    def _touch(self, file: StoredFile, row: Row) -> None:
        if file.number is not None and (now := self._ages.touch((file.number, row.start), row)) is not None:
            file.entered(now)

    def _lose(self, extents: list[tuple[int, int, Place]]) -> None:
        """Takes extents out of the index and gives their places up."""
        if self._index is None or not extents:
            return
        for number, _, _ in extents:
            self._table.disturb(number)
        try:
            self._index.delete([(number, start) for number, start, _ in extents])
            empty = {number for number, _, _ in extents if self._table.numbered(number) is None}
            if empty:
                self._index.delete_empty(empty)
        except sqlite3.Error as error:
            self._broken(error)
            return
        for number, start, place in extents:
            self._give_up(place)
            file = self._table.numbered(number)
            if file is not None:
                file.present.remove(start, start + place.length)
                file.left(start)
            self._unremember(number, start)

    def _forget(self, number: int) -> None:
        """Takes a whole file out of the index."""
        assert self._index is not None
        self._table.forget_number(number)
        for start, place in self._index.delete_file(number):
            self._give_up(place)
            self._unremember(number, start)

    def _unremember(self, number: int, start: int) -> None:
        self._checker.recent.forget((number, start))
        self._ages.forget((number, start))

    def _give_up(self, place: Place) -> None:
        self._segments.give_up(place)
        self.on_work()

    def _make_room(self, index: Index, need: int) -> bool:
        """Gives up the extents used longest ago until ``need`` bytes fit within the bound."""
        self._ages.enter(index)
        limit = self._size - self._size // GROWTH
        while (excess := self._segments.used + need + self._index_size - limit) > 0:
            victims = index.oldest(excess)
            if not victims:
                return False
            self._counts["evicted"] += len(victims)
            self._lose(victims)
            if self._index is not index:
                return False
        return True

    def _take(self, index: Index) -> Batch | None:
        self._taken = self._waiting.take(min(BATCH, self._segments.size))
        size = sum(pages(len(held.data)) for held in self._taken)
        moving = compaction.chosen(index, self._segments)
        fits = self._make_room(index, size + compaction.size_of(moving))
        if self._index is not index:
            return None
        if not fits:
            for held in self._taken:
                held.file.present.remove(held.start, held.end)
                self._counts["refused"] += len(held.data)
            self._end_batch()
            moving = []
        self._ages.stored(size)
        place = self._segments.place
        pieces = [Piece(held.file.what, held.start, place(len(held.data)), held.data) for held in self._taken]
        moves = compaction.placed(moving, self._segments)
        index.commit()
        self._batch = Batch(*self._segments.reclaim(), pieces, moves, [])
        return self._batch

    def _end_batch(self) -> None:
        self._taken = []
        self._batch = None
        for file in self._waiting.end():
            self._table.unload(file)
