"""The block store on disk: it appends blocks to the log, indexes them, and syncs both in the right order.

Order of things: a block is appended to the active arena; before its score leaves, the operating system has it
(``flush_nowait``); before a sync is answered, the disk has it. The index follows later in batches. After a crash the
tail of the log that is not whole is cut, and the rest is read into the index.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Sequence
from struct import error as StructError

import lmdb
import trio
from blake3 import blake3

from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.compression import compressed
from venti.blocks.errors import (
    BlockNotFound,
    BlockTooLarge,
    DamagedBlock,
    ReadOnlyStore,
    ReadTooSmall,
    ScoreCollision,
    StoreFailed,
    StoreFull,
    VentiError,
)
from venti.blocks.score import ZERO_SCORE, Score
from venti.log import space as spaces
from venti.log.arena import Found, Gap, Listed
from venti.log.clump import HEADER, BadClump, pack_header, unpack_header, unpack_whole
from venti.log.damaged import DamagedList, inside, tell_lost
from venti.log.distrusted import Distrusted
from venti.log.index import CHECK, PLACE, Index, Place, pack_place, parts, unpack_place
from venti.log.lately import Lately
from venti.log.log import BEGINNING, Log, Position
from venti.log.seen import Seen
from venti.log.space import Space
from venti.log.synced import SyncedFile
from venti.protocol.messages import LARGEST_BLOCK
from venti.stores.interface import Preparation
from venti.workers.pool import Workers

log = logging.getLogger(__name__)

BATCH = 16384
"""Entries that collect in memory before they go to the index."""
BATCHES = 4
"""So many batches may collect; then writes wait for the index."""
RETRY = 2.0
"""Seconds after which work in the background that failed is tried again."""

_FARTHEST = 1 << 62
"""An offset behind all that a file can have."""
_WIRE = [bytes((kind.wire,)) for kind in BlockType]
_make_score = bytes.__new__
_NO_NOWAIT = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class DiskStore:
    """An ``ImmediateStore`` in a directory. ``opening.open_disk_store`` makes one.

    Attributes:
        log: the arenas, for tools that go through all of them.
        read_only: it takes no writes.
    """

    def __init__(
        self,
        log: Log,
        index: Index,
        space: Space,
        *,
        clock: Callable[[], float] = time.time,
        score_of: Callable[[Buffer], Score] = Score.of,
        workers: Workers | None = None,
        notes: DamagedList | None = None,
        synced: SyncedFile | None = None,
    ) -> None:
        self.log = log
        self.read_only = log.read_only
        self._index = index
        self._space = space
        self._clock = clock
        self._score_of = score_of
        self._recent: dict[bytes, bytes] = {}
        self._frozen: dict[bytes, bytes] = {}
        self._waiting: dict[bytes, Buffer] = {}
        self._damaged = Distrusted(notes)
        self._notes = notes
        self._synced_file = synced
        self._seen = Seen()
        self._workers = workers
        self._lately = Lately()
        self._failed: str | None = None
        self._index_failed: str | None = None
        self._work = trio.Lock()
        self._nowait = True
        self._wake = trio.Event()
        self._settled = trio.lowlevel.ParkingLot()
        self._synced = Position(-1, 0)
        self._closed = False
        self._catch_up()
        if synced is not None:
            synced.write(self.log.durable_ends())
        if self.log.full and not self.read_only:
            self._wake.set()

    def _catch_up(self) -> None:
        """Reads into the index what the log has and it has not."""
        covered = self._index.covered or BEGINNING
        if covered.arena >= len(self.log.numbers) or covered.offset > self.log.end(covered.arena):
            if self._index.covered is not None:
                log.warning("the index is ahead of the arenas: it is made anew")
                tell_lost(self._index, self.log, self._notes)
                self._index.clear()
            covered = BEGINNING
        for number, found, damaged in self.log.since(covered):
            clump = found.clump
            key = clump.score + bytes((clump.type,))
            if damaged and self._value(key) is not None:
                continue
            # Of two clumps with one key the later one is good: it was written because the other was damaged.
            self._recent[key] = pack_place(number, found.offset, clump.stored, clump.size, clump.digest[:16])
            if damaged:
                self.distrust(number, found, "it was safe, and is not any more")
            if len(self._recent) >= BATCH and not self.read_only:
                self._write_index(self._recent, Position(number, found.end))
                self._recent = {}

    # Reading

    def locate(self, score: Score, type: BlockType) -> Place | None:
        """Where a block is; None if it is not stored."""
        value = self._value(score + _WIRE[type])
        return None if value is None else Place.unpack(value)

    def _value(self, key: bytes) -> bytes | None:
        return self._recent.get(key) or self._frozen.get(key) or self._index.get(key)

    def read_nowait(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``ImmediateStore``; waits for no disk."""
        if score == ZERO_SCORE:
            return b""
        key = score + _WIRE[type]
        value = self._recent.get(key) or self._frozen.get(key) or self._index.get(key)
        if value is None:
            raise BlockNotFound(score, type)
        try:
            arena, offset, stored, size, _ = unpack_place(value)
        except StructError:
            raise self._damaged.malformed(key) from None
        if stored > size or size > LARGEST_BLOCK or offset > _FARTHEST:
            raise self._damaged.malformed(key)
        if size > limit:
            raise ReadTooSmall(limit, size)
        if self._waiting:
            waiting = self._waiting.get(key)
            if waiting is not None:
                return bytes(waiting)
        if not self._nowait:
            raise trio.WouldBlock
        buffer = bytearray(HEADER + stored)
        try:
            count = self.log.file(arena).read_nowait(buffer, offset)
        except BlockingIOError:
            raise trio.WouldBlock from None
        except OSError as error:
            if error.errno not in _NO_NOWAIT:
                raise self._damaged.found(key, Place.unpack(value), error.strerror or "") from error
            self._nowait = False
            raise trio.WouldBlock from None
        if count < len(buffer):
            raise trio.WouldBlock
        try:
            return unpack_whole(buffer, key)
        except BadClump as error:
            raise self._damaged.found(key, Place.unpack(value), str(error)) from error

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``."""
        try:
            return self.read_nowait(score, type, limit)
        except trio.WouldBlock:
            pass
        key = score + _WIRE[type]
        place = self.locate(score, type)
        assert place is not None, "it was there a moment ago"
        try:
            file = self.log.file(place.arena).duplicate()
            try:
                data = await trio.to_thread.run_sync(file.read, HEADER + place.stored, place.offset)
            finally:
                file.close()
        except OSError as error:
            raise self._damaged.found(key, place, error.strerror or "") from error
        try:
            return unpack_whole(data, key)
        except BadClump as error:
            raise self._damaged.found(key, place, str(error)) from error

    # Damage

    def distrust(self, number: int, found: Found, detail: str) -> DamagedBlock | None:
        """Somebody saw that a clump is damaged: the next write of its block stores it anew.

        None if the block has been stored anew since, or is not in the index.
        """
        key = found.clump.score + bytes((found.clump.type,))
        value = self._value(key)
        place = None if value is None else Place.unpack(value)
        if place is None or (place.arena, place.offset) != (number, found.offset):
            return None
        return self._damaged.found(key, place, detail)

    async def known_in(self, number: int, gap: Gap) -> list[Listed]:
        """The blocks that the index places in a part of an arena where no clump can be read. Takes long."""
        found: list[Listed] = []
        key = b""
        while True:
            async with self._work:
                part = await trio.to_thread.run_sync(self._index.part, key)
            found += inside(part, number, gap)
            if not part:
                break
            key = part[-1][0] + b"\0"
        return found + inside((self._frozen | self._recent).items(), number, gap)

    # Writing

    def prepare_nowait(self, blocks: Sequence[Buffer]) -> Preparation | None:
        """See ``PreparingStore``. What is expected wrongly costs time and nothing else."""
        if self._workers is None or self.read_only:
            return None
        self._lately.turn()
        return self._workers.begin(blocks) if self._lately.new else None

    def write_nowait(self, type: BlockType, data: Buffer) -> Score:
        """See ``ImmediateStore``; waits for nothing but an index that has fallen far behind.

        A block that is known to be damaged is stored anew.
        """
        (outcome,) = self.write_all_nowait((type,), (data,))
        if isinstance(outcome, Score):
            return outcome
        raise outcome

    def write_all_nowait(
        self, types: Sequence[BlockType], blocks: Sequence[Buffer], preparation: Preparation | None = None
    ) -> list[Score | Exception]:
        """See ``PreparingStore``."""
        refusal = self._refusal()
        if refusal is not None:
            return [BlockTooLarge() if len(data) > LARGEST_BLOCK else refusal for data in blocks]
        prepared = preparation.results() if preparation is not None else (None,) * len(blocks)
        # Most of the time of a busy server is spent in this loop.
        recent, frozen, old, young = self._recent.get, self._frozen.get, self._index.get, self._seen.young.get
        damaged, seen, space = self._damaged.keys, self._seen, self._space
        outcomes: list[Score | Exception] = []
        pieces: list[Buffer] = []
        arena, start = self.log.tail
        at, now, new = start, int(self._clock()), 0
        try:
            for type, data, found in zip(types, blocks, prepared, strict=True):
                size = len(data)
                if size > LARGEST_BLOCK or not size:
                    outcomes.append(BlockTooLarge() if size else ZERO_SCORE)
                    continue
                wire = _WIRE[type]
                digest = blake3(data).digest() if found is None else found[1]
                name = digest + wire
                score = young(name) or seen.get(name)
                if score is not None and not damaged:
                    outcomes.append(score)
                    continue
                score = self._score_of(data) if found is None else _make_score(Score, found[0])
                key = score + wire
                value = recent(key) or frozen(key) or old(key)
                if value is not None:
                    if value[CHECK] != digest[:16]:
                        if self._is_another(key, value, digest):
                            outcomes.append(ScoreCollision(score))
                            continue
                    elif not damaged or key not in damaged:
                        seen.add(name, score)
                        outcomes.append(score)
                        continue
                if space.full and not space.allows():
                    outcomes.append(StoreFull())
                    continue
                if len(self._recent) >= BATCH * BATCHES:
                    failed = self._index_failed
                    outcomes.append(
                        trio.WouldBlock() if failed is None else StoreFull(f"no space left in the index: {failed}")
                    )
                    continue
                new += 1
                encoding, stored = found[2:] if found is not None else compressed(data)
                length = len(stored)
                pieces.append(pack_header(wire[0], encoding, length, size, now, score, digest))
                pieces.append(stored)
                self._recent[key] = pack_place(arena, at, length, size, digest[:16])
                self._waiting[key] = data
                at += HEADER + length
                seen.add(name, score)
                outcomes.append(score)
        finally:
            if pieces:
                self.log.append(pieces, at - start)
            self._lately.add(len(blocks), new)
        return outcomes

    def _is_another(self, key: bytes, value: bytes, digest: bytes) -> bool:
        """Whether a block of another BLAKE3 is stored, as the index says; its entry may be what is wrong."""
        if len(value) != PLACE or (place := Place.unpack(value)).offset > _FARTHEST or place.stored > place.size:
            return False
        if key in self._waiting:
            return True
        try:
            clump = unpack_header(self.log.file(place.arena).read(HEADER, place.offset))
        except (BadClump, OSError):
            return True
        return clump.score + bytes((clump.type,)) != key or clump.digest != digest

    def _refusal(self) -> VentiError | None:
        if self.read_only:
            return ReadOnlyStore()
        return None if self._failed is None else StoreFailed(self._failed)

    def flush_nowait(self) -> None:
        """See ``ImmediateStore``."""
        if not self._waiting:
            return
        before = self.log.flushed
        try:
            self.log.flush()
        except OSError as error:
            # What was not flushed is forgotten, so that nobody is ever told that it is stored.
            for key in self._waiting:
                self._recent.pop(key, None)
            self._waiting.clear()
            self._seen.clear()
            self.log.forget()
            if spaces.is_full(error):
                self._space.ended(f"writing to arena {before.arena} failed: {error.strerror}")
                raise StoreFull from error
            self._fail(f"writing to arena {before.arena} failed: {error.strerror}")
            raise StoreFailed(self._failed) from error
        if self._damaged.keys:
            self._damaged.keys.difference_update(self._waiting)
        self._waiting.clear()
        self._space.took(self.log.flushed.offset - before.offset)
        if self.log.is_full:
            try:
                self.log.begin_arena()
                self._wake.set()
            except OSError as error:
                log.warning("cannot begin the next arena yet: %s", error)
        if len(self._recent) >= BATCH and not self._frozen:
            self._wake.set()

    async def write(self, type: BlockType, data: Buffer) -> Score:
        """See ``BlockStore``."""
        while True:
            try:
                score = self.write_nowait(type, data)
            except trio.WouldBlock:
                self._wake.set()
                await self._settled.park()
            else:
                self.flush_nowait()
                return score

    async def sync(self) -> None:
        """See ``BlockStore``. Callers that come while one sync runs share the next."""
        if self.read_only:
            return
        self.flush_nowait()
        wanted = self.log.flushed
        async with self._work:
            if self._failed is not None:
                raise StoreFailed(self._failed)
            if self._synced < wanted:
                await self._sync_log()

    async def _sync_log(self) -> None:
        """Makes everything durable that has been flushed; the caller holds ``_work``."""
        reached = self.log.flushed
        files, ends = self.log.to_sync(), self.log.unsealed_ends()
        try:
            for file in files:
                await trio.to_thread.run_sync(file.sync)
        except OSError as error:
            # What the kernel could not write it may have dropped; a second try would find nothing to do and lie.
            self._fail(f"fdatasync failed: {error.strerror}")
            raise StoreFailed(self._failed) from error
        self._synced = reached
        if self._synced_file is not None:
            self._synced_file.write(ends)

    def _fail(self, text: str) -> None:
        log.error("%s; the store takes no more writes", text)
        self._failed = f"{text}: restart the server once the disk is well"

    # In the background

    async def run(self) -> None:
        """Writes index batches and seals full arenas as they come, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            try:
                with trio.CancelScope(shield=True):
                    await self._settle()
            except Exception as error:
                foreseen = isinstance(error, OSError | lmdb.Error | StoreFailed | StoreFull)
                if self._index_failed != (text := str(error) or repr(error)):
                    unknown = None if foreseen else error
                    log.warning("work in the background failed and is tried again: %s", text, exc_info=unknown)
                self._index_failed = text
                self._settled.unpark_all()
                await trio.sleep(RETRY)
                self._wake.set()

    async def learn(self) -> None:
        """Lets the index learn which keys it has, so that others are quickly refused; rests more than it works."""
        key: bytes | None = b"" if self._index.entries() else None
        try:
            while key is not None:
                start = trio.current_time()
                async with self._work:
                    key = await trio.to_thread.run_sync(self._index.learn, key)
                await trio.sleep(2 * (trio.current_time() - start))
        except Exception as error:
            log.warning("the index cannot be read through, and every look-up goes to it: %s", error)

    async def _settle(self) -> None:
        if self._failed is not None:
            return
        async with self._work:
            if self._recent:
                self.flush_nowait()
                self._frozen, self._recent = self._recent, {}
                reached = self.log.flushed
                try:
                    await self._sync_log()
                    left = len(self._frozen)
                    for part in parts(self._frozen):
                        left -= len(part)
                        covered = None if left else reached
                        self._index.prepare()
                        await trio.to_thread.run_sync(self._index.write, part, covered)
                        self._index.finish()
                except BaseException:
                    self._recent = self._frozen | self._recent
                    raise
                finally:
                    self._frozen = {}
                self._index_failed = None
                self._settled.unpark_all()
        for number in self.log.full:
            try:
                await trio.to_thread.run_sync(self.log.seal, number)
            except StoreFailed as error:
                self._fail(str(error))
                raise
            async with self._work:
                self.log.sealed(number)

    def _write_index(self, batch: dict[bytes, bytes], covered: Position) -> None:
        self._index.prepare()
        self._index.write(batch, covered)
        self._index.finish()

    async def aclose(self) -> None:
        """See ``BlockStore``. A store that failed is closed without a word: it said so when it failed."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._failed is None and not self.read_only:
                self.flush_nowait()
                await self._settle()
                async with self._work:
                    await self._sync_log()
        except (OSError, lmdb.Error, StoreFailed, StoreFull) as error:
            log.warning("closing the store: %s", error)
        finally:
            self._index.close()
            self.log.close()
            if self._synced_file is not None:
                self._synced_file.close()
