"""Blocks on disk: arenas, an index over them, and the promises of both.

Order of things: a block is appended to the active arena; before its score leaves, the operating system has it
(``flush_nowait``); before a sync is answered, the disk has it. The index follows later in batches. After a crash the
tail of the log that is not whole is cut, and the rest is read into the index.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from hashlib import sha1
from pathlib import Path

import lmdb
import trio
from blake3 import blake3

from ninep.wire.dialect import Buffer
from venti.blocktype import BlockType
from venti.disk import arena as arenas
from venti.disk.clump import HEADER, BadClump, Clump, pack, unpack, unpack_header
from venti.disk.index import Index, Place
from venti.errors import (
    BlockNotFound,
    BlockTooLarge,
    DamagedBlock,
    DamagedStore,
    ReadTooSmall,
    ScoreCollision,
    StoreFailed,
    StoreFull,
    StoreInUse,
)
from venti.messages import LARGEST_BLOCK
from venti.score import ZERO_SCORE, Score

log = logging.getLogger(__name__)

ARENA_SIZE = 512 * 1024 * 1024
"""Bytes after which an arena is sealed and the next one begun."""
BATCH = 16384
"""Entries that collect in memory before they go to the index."""
FORMAT = "ninegrid venti store 1\n"
MOST_PIECES = 1000
"""Buffers of one gathering write."""
MOST_FILES = 256
"""Arenas that are kept open at the same time."""

_WIRE = [bytes((kind.wire,)) for kind in BlockType]
_full = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class DiskStore:
    """An ``ImmediateStore`` in a directory. ``open_disk_store`` makes one."""

    def __init__(
        self, path: Path, arena_size: int, clock: Callable[[], float], fdatasync: Callable[[int], None]
    ) -> None:
        self._folder = path / "arenas"
        self._arena_size = arena_size
        self._clock = clock
        self._fdatasync = fdatasync
        self._index = Index(path / "index")
        self._files: dict[int, int] = {}
        self._recent: dict[bytes, Place] = {}
        self._frozen: dict[bytes, Place] = {}
        self._pieces: list[Buffer] = []
        self._waiting: dict[bytes, Buffer] = {}
        self._damaged: set[bytes] = set()
        self._unsealed: set[int] = set()
        self._failed: str | None = None
        self._work = trio.Lock()
        self._nowait = True
        self._wake = trio.Event()
        self._synced = -1
        self._closed = False
        self._number = 0
        self._tail = self._flushed = arenas.START
        self._recover()

    # Opening

    def _recover(self) -> None:
        """Brings log and index together, and cuts what a crash left half written."""
        numbers = sorted(int(file.stem) for file in self._folder.glob("*.arena"))
        if numbers != list(range(len(numbers))):
            missing = sorted(set(range(max(numbers) + 1)) - set(numbers))
            raise DamagedStore(f"{self._folder}: arenas {missing} are missing: put them back")
        if not numbers:
            self._index.clear()
            self._files[0] = arenas.create(self._folder, 0, int(self._clock()))
            return
        ends = {number: self._end(number, last=number == numbers[-1]) for number in numbers}
        covered = self._index.covered or (0, arenas.START)
        if covered[0] not in ends or covered[1] > ends[covered[0]]:
            log.warning("the index is ahead of the arenas: it is made anew")
            self._index.clear()
            covered = (0, arenas.START)
        for number in numbers[covered[0] :]:
            start = covered[1] if number == covered[0] else arenas.START
            for found in arenas.clumps(self._file(number), start, ends[number]):
                self._add(number, found)
                if len(self._recent) >= BATCH:
                    self._write_index(self._recent, (number, found.offset + found.clump.end))
                    self._recent = {}
        self._number = numbers[-1]
        self._tail = self._flushed = ends[self._number]
        if arenas.sealed_at(self._file(self._number)) is not None:
            self._next_arena()

    def _end(self, number: int, *, last: bool) -> int:
        """Where the clumps of an arena end; an arena that should be sealed and is not gets its seal."""
        descriptor = self._file(number)
        arenas.check_head(descriptor, number, arenas.arena_path(self._folder, number))
        sealed = arenas.sealed_at(descriptor)
        if sealed is not None:
            return sealed
        size = os.fstat(descriptor).st_size
        start = arenas.START
        if self._index.covered and self._index.covered[0] == number and self._index.covered[1] <= size:
            start = self._index.covered[1]
        end = start
        for found in arenas.clumps(descriptor, start, size):
            if arenas.is_whole(descriptor, found):
                end = found.offset + found.clump.end
        if end < size:
            log.warning("arena %d: %d bytes at its end are no whole clump and are cut", number, size - end)
            os.ftruncate(descriptor, end)
        if not last:
            arenas.seal(descriptor, end, number)
        return end

    def _add(self, number: int, found: arenas.Found) -> None:
        clump = found.clump
        key = clump.score + bytes((clump.type,))
        # A block is only ever written again because its first copy was damaged: the last one counts.
        self._recent[key] = Place(number, found.offset, clump.stored, clump.size, clump.digest[:16])

    def _file(self, number: int) -> int:
        descriptor = self._files.get(number)
        if descriptor is None:
            if len(self._files) >= MOST_FILES:
                for old in list(self._files):
                    if old != self._number and old not in self._unsealed:
                        os.close(self._files.pop(old))
                        break
            path = arenas.arena_path(self._folder, number)
            descriptor = self._files[number] = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        return descriptor

    # Reading

    def _place(self, key: bytes) -> Place | None:
        return self._recent.get(key) or self._frozen.get(key) or self._index.get(key)

    def _find(self, score: Score, type: BlockType, limit: int) -> tuple[bytes, Place]:
        key = score + _WIRE[type]
        place = self._place(key)
        if place is None:
            raise BlockNotFound(score, type)
        if place.size > limit:
            raise ReadTooSmall(limit, place.size)
        return key, place

    def read_nowait(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``ImmediateStore``; waits for no disk."""
        if score == ZERO_SCORE:
            return b""
        key, place = self._find(score, type, limit)
        waiting = self._waiting.get(key)
        if waiting is not None:
            return bytes(waiting)
        if not self._nowait:
            raise trio.WouldBlock
        buffer = bytearray(HEADER + place.stored)
        try:
            count = os.preadv(self._file(place.arena), [buffer], place.offset, os.RWF_NOWAIT)
        except BlockingIOError:
            raise trio.WouldBlock from None
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                raise self._damage(key, place, error.strerror or "") from error
            self._nowait = False
            raise trio.WouldBlock from None
        if count < len(buffer):
            raise trio.WouldBlock
        return self._checked(score, key, place, buffer)

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``."""
        try:
            return self.read_nowait(score, type, limit)
        except trio.WouldBlock:
            pass
        key, place = self._find(score, type, limit)
        descriptor = os.dup(self._file(place.arena))
        try:
            data = await trio.to_thread.run_sync(os.pread, descriptor, HEADER + place.stored, place.offset)
        except OSError as error:
            raise self._damage(key, place, error.strerror or "") from error
        finally:
            os.close(descriptor)
        return self._checked(score, key, place, data)

    def _checked(self, score: Score, key: bytes, place: Place, data: Buffer) -> bytes:
        try:
            clump: Clump = unpack_header(data)
            if clump.score != score or clump.type != key[20]:
                raise BadClump("another block is there")
            return unpack(clump, memoryview(data)[HEADER:])
        except BadClump as error:
            raise self._damage(key, place, str(error)) from error

    def _damage(self, key: bytes, place: Place, detail: str) -> DamagedBlock:
        """The error to raise; from now on a write of the same block stores it again."""
        self._damaged.add(key)
        return DamagedBlock(Score(key[:20]), self._where(place), detail)

    def _where(self, place: Place) -> str:
        return f"arena {place.arena} offset {place.offset}"

    # Writing

    def write_nowait(self, type: BlockType, data: Buffer) -> Score:
        """See ``ImmediateStore``; never waits.

        A block whose copy was found damaged by a read is stored again and served from there.
        """
        if len(data) > LARGEST_BLOCK:
            raise BlockTooLarge
        if not len(data):
            return ZERO_SCORE
        if self._failed is not None:
            raise StoreFailed(self._failed)
        score: Score = bytes.__new__(Score, sha1(data, usedforsecurity=False).digest())
        digest = blake3(data).digest()
        key = score + _WIRE[type]
        place = self._recent.get(key) or self._frozen.get(key) or self._index.get(key)
        if place is not None:
            if place.check != digest[:16]:
                raise ScoreCollision(score)
            if key not in self._damaged:
                return score
            self._damaged.discard(key)
        header, stored = pack(type.wire, data, score, digest, int(self._clock()))
        self._pieces += (header, stored)
        self._recent[key] = Place(self._number, self._tail, len(stored), len(data), digest[:16])
        self._waiting[key] = data
        self._tail += HEADER + len(stored)
        return score

    def flush_nowait(self) -> None:
        """See ``ImmediateStore``."""
        if not self._pieces:
            return
        descriptor = self._files[self._number]
        pieces = self._pieces
        at = self._flushed
        try:
            for first in range(0, len(pieces), MOST_PIECES):
                group = pieces[first : first + MOST_PIECES]
                size = sum(map(len, group))
                done = os.pwritev(descriptor, group, at)
                if done < size:
                    rest = b"".join(group)[done:]
                    while rest:
                        count = os.pwrite(descriptor, rest, at + done)
                        done += count
                        rest = rest[count:]
                at += size
        except OSError as error:
            self._unwrite(descriptor)
            if error.errno in _full:
                raise StoreFull from error
            self._fail(f"writing to arena {self._number} failed: {error.strerror}")
            raise StoreFailed(self._failed) from error
        self._pieces = []
        self._waiting.clear()
        self._flushed = at
        if at >= self._arena_size:
            self._roll()
        if len(self._recent) >= BATCH and not self._frozen:
            self._wake.set()

    def _unwrite(self, descriptor: int) -> None:
        """Forgets what was not flushed, so that nobody is ever told that it is stored."""
        for key in self._waiting:
            self._recent.pop(key, None)
        self._pieces = []
        self._waiting.clear()
        self._tail = self._flushed
        with suppress(OSError):
            os.ftruncate(descriptor, self._flushed)

    def _fail(self, text: str) -> None:
        log.error("%s; the store takes no more writes", text)
        self._failed = f"{text}: restart the server once the disk is well"

    def _roll(self) -> None:
        """The active arena is full: the next begins, the old one is sealed in the background."""
        self._unsealed.add(self._number)
        try:
            self._next_arena()
        except OSError as error:
            self._unsealed.discard(self._number)
            log.warning("cannot begin the next arena yet: %s", error)
            return
        self._wake.set()

    def _next_arena(self) -> None:
        descriptor = arenas.create(self._folder, self._number + 1, int(self._clock()))
        self._number += 1
        self._files[self._number] = descriptor
        self._tail = self._flushed = arenas.START

    async def write(self, type: BlockType, data: Buffer) -> Score:
        """See ``BlockStore``."""
        score = self.write_nowait(type, data)
        self.flush_nowait()
        return score

    async def sync(self) -> None:
        """See ``BlockStore``. Callers that come while one sync runs share the next."""
        self.flush_nowait()
        wanted = (self._number << 48) + self._flushed
        async with self._work:
            if self._failed is not None:
                raise StoreFailed(self._failed)
            if self._synced < wanted:
                await self._sync_log()

    async def _sync_log(self) -> None:
        """Makes everything durable that has been flushed; the caller holds ``_work``."""
        reached = (self._number << 48) + self._flushed
        descriptors = [self._files[number] for number in sorted({*self._unsealed, self._number})]
        try:
            for descriptor in descriptors:
                await trio.to_thread.run_sync(self._fdatasync, descriptor)
        except OSError as error:
            # What the kernel could not write it may have dropped; a second try would find nothing to do and lie.
            self._fail(f"fdatasync failed: {error.strerror}")
            raise StoreFailed(self._failed) from error
        self._synced = reached

    # In the background

    async def run(self) -> None:
        """Writes index batches and seals full arenas as they come, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            try:
                with trio.CancelScope(shield=True):
                    await self._settle()
            except (OSError, lmdb.Error, StoreFailed) as error:
                log.warning("work in the background failed and is tried again later: %s", error)

    async def _settle(self) -> None:
        async with self._work:
            if self._recent:
                await self._sync_log()
                covered = (self._synced >> 48, self._synced & (1 << 48) - 1)
                done, self._frozen, self._recent = dict(self._recent), self._recent, {}
                for key in self._waiting:
                    # Not flushed when the log was synced: the next batch has them.
                    done.pop(key, None)
                    self._recent[key] = self._frozen.pop(key)
                for key, place in list(done.items()):
                    if (place.arena, place.offset) >= covered:
                        del done[key]
                        self._recent[key] = self._frozen.pop(key)
                try:
                    self._index.prepare()
                    await trio.to_thread.run_sync(self._index.write, done, covered)
                    self._index.refresh(covered)
                    self._frozen = {}
                except BaseException:
                    self._recent = self._frozen | self._recent
                    self._frozen = {}
                    raise
            for number in sorted(self._unsealed):
                descriptor = self._files[number]
                end = os.fstat(descriptor).st_size
                await trio.to_thread.run_sync(arenas.seal, descriptor, end, number)
                self._unsealed.discard(number)

    def _write_index(self, batch: dict[bytes, Place], covered: tuple[int, int]) -> None:
        self._index.prepare()
        self._index.write(batch, covered)
        self._index.refresh(covered)

    async def aclose(self) -> None:
        """See ``BlockStore``. A store that failed is closed without a word: it said so when it failed."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._failed is None:
                self.flush_nowait()
                await self._settle()
                async with self._work:
                    await self._sync_log()
        except (OSError, lmdb.Error, StoreFailed, StoreFull) as error:
            log.warning("closing the store: %s", error)
        finally:
            self._index.close()
            for descriptor in self._files.values():
                os.close(descriptor)
            self._files.clear()


@asynccontextmanager
async def open_disk_store(
    path: str | Path,
    *,
    arena_size: int = ARENA_SIZE,
    clock: Callable[[], float] = time.time,
    fdatasync: Callable[[int], None] = os.fdatasync,
) -> AsyncIterator[DiskStore]:
    """Opens the store in the directory ``path``, which is made if it is not there.

    ``arena_size`` is in bytes; ``clock`` gives seconds since 1970. Cancelled, the store is synced and closed.

    Raises:
        StoreInUse: another process has it open.
        DamagedStore: it is damaged beyond what can be repaired here, or not a store.
    """
    path = Path(path)
    (path / "arenas").mkdir(parents=True, exist_ok=True)
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreInUse(f"{path} is in use by another process: stop it, or choose another --store") from error
        _check_format(path)
        store = DiskStore(path, arena_size, clock, fdatasync)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.run)
                try:
                    yield store
                finally:
                    nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await store.aclose()
    finally:
        os.close(lock)


def _check_format(path: Path) -> None:
    file = path / "format"
    try:
        found = file.read_text()
    except FileNotFoundError:
        if any((path / "arenas").iterdir()):
            raise DamagedStore(f"{file} is missing: restore it, it says {FORMAT.strip()!r}") from None
        file.write_text(FORMAT)
        return
    if found != FORMAT:
        raise DamagedStore(f"{path} is {found.strip()!r}, which this program does not know: use a newer one")
