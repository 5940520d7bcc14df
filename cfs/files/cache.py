"""The cache that all connections share: the store, the task that writes it out, and the fetches in progress."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

import trio

from cfs.disk.batch import Batch
from cfs.disk.layout import BATCH, LEAST, NOTES
from cfs.disk.pins import Pins
from cfs.disk.store import Store
from cfs.disk.stored import StoredFile
from cfs.errors import BadBound
from cfs.known.frozen import OF_FOSSIL, Frozen
from cfs.known.knowledge import Memory, Names
from cfs.known.notebook import Notebook
from cfs.statistics import Counts
from cfs.upstream.upstream import Upstream
from ninep.protocol.locks import LockTable
from ninep.server.host_ids import HostIds
from ninep.tasks.rounds import Rounds
from ninep.wire.dialect import Buffer
from ninep.wire.taskless import Carried, Waiter, state, wait_for, wake

log = logging.getLogger(__name__)

PAUSE = 0.02
"""Seconds that bytes wait for company before they are written to disk, unless there is a batch of them already."""
SHARE = 16
"""This fraction of the bound is for notes of trees that cannot change."""
UNDER_WAY = 64 * 1024 * 1024
"""While so many bytes are on their way, for all readers together, nothing is read ahead."""


class Arrival:
    """Something on its way from the file server.

    Attributes:
        done: whether it is over, whichever way it ended.
    """

    __slots__ = ("_event", "_places", "done")

    def __init__(self) -> None:
        self.done = False
        self._places: list[_Place] = []
        self._event: trio.Event | None = None

    async def wait(self) -> None:
        """Returns when it is over."""
        while not self.done:
            if state.inside:
                place = _Place()
                self._places.append(place)
                await wait_for(place)
            else:
                if self._event is None:
                    self._event = trio.Event()
                await self._event.wait()

    def over(self) -> None:
        """Wakes whoever waits."""
        self.done = True
        if self._event is not None:
            self._event.set()
        for place in self._places:
            if (waiter := place.task) is not None:
                place.task = None
                wake(waiter)


class Fetch(Arrival):
    """A range of a file on its way from the file server.

    Attributes:
        start: first byte.
        end: after the last.
        data: what came; shorter than asked where the file has become so.
        error: why nothing came.
        waiters: readers that wait for it.
        owner: whose fid it uses.
    """

    __slots__ = ("_carried", "data", "end", "error", "owner", "start", "waiters")

    def __init__(self, owner: object, start: int, end: int) -> None:
        super().__init__()
        self.owner = owner
        self.start = start
        self.end = end
        self.data: Buffer = b""
        self.error: Exception | None = None
        self.waiters = 0
        self._carried: Carried[None] | None = None

    def carry(self, work: Coroutine[Any, Any, None], nursery: trio.Nursery) -> None:
        """Begins to bring it here; ``work`` sees to it that ``over`` is called."""
        self._carried = Carried(work, nursery, _nothing)
        self._carried.go()

    def cancel(self) -> None:
        """Nobody wants it any more."""
        if self._carried is not None and not self.done:
            self._carried.cancel()


class _Place:
    __slots__ = ("task",)

    def __init__(self) -> None:
        self.task: Waiter | None = None


def _nothing(_: None, error: Exception | None) -> None:
    if error is not None:
        log.error("a fetch failed", exc_info=error)


class Cache:
    """A store in use.

    Attributes:
        store: what is held of files.
        memory: what is remembered of directories and attributes.
        counts: for the statistics.
        pins: what is not to give way.
        clients: the ways to the file server, one for each client.
        ids: which numbers users and groups have for clients of other dialects than 9P2000: this machine's.
        locks: the record locks that clients have.
        samples: how many samples of the counts were taken.
        under_way: bytes that were asked for and have not come.
    """

    def __init__(self, store: Store, memory: Memory) -> None:
        self.store = store
        self.memory = memory
        self.counts = Counts()
        self.pins = Pins(store)
        self.clients: set[Upstream] = set()
        self.ids = HostIds()
        self.locks = LockTable()
        self.samples = 0
        self._fetches: dict[StoredFile, list[Fetch]] = {}
        self.under_way = 0
        self._work = trio.Event()
        store.on_work = memory.book.on_work = self._wake

    def renamed(self, aname: str, names: Names, now: Names) -> None:
        """A file got another place through the cache: whoever has a fid for it or below it finds it again there."""
        depth = len(names)
        for client in self.clients:
            for place in client.files:
                if place.aname == aname and place.names[:depth] == names:
                    place.names = now + place.names[depth:]

    def statistics(self) -> str:
        """A sample of all counts; see ``Counts.sample``."""
        held = self.store.statistics
        book = self.memory.book
        self.samples += 1
        values = self.counts.values
        values["ninsert"], values["nupdate"] = self.store.made, self.store.outdated
        return self.counts.sample(held._replace(size=held.size + book.bound, used=held.used + book.size))

    @property
    def may_read_ahead(self) -> bool:
        """Whether what nobody has asked for yet would be kept, and is not too much."""
        return self.under_way < UNDER_WAY and self.store.keeps

    def fetches(self, file: StoredFile) -> list[Fetch]:
        """What of a file is on its way, in the order of the positions."""
        return sorted(self._fetches.get(file, ()), key=attrgetter("start"))

    def begin(self, file: StoredFile, fetch: Fetch) -> None:
        """Something is on its way."""
        self._fetches.setdefault(file, []).append(fetch)
        self.under_way += fetch.end - fetch.start

    def end(self, file: StoredFile, fetch: Fetch) -> None:
        """It is not any more; wakes whoever waits for it."""
        self.under_way -= fetch.end - fetch.start
        fetches = self._fetches[file]
        fetches.remove(fetch)
        if not fetches:
            del self._fetches[file]
        fetch.over()

    def _wake(self) -> None:
        self._work.set()

    async def run(self) -> None:
        """Writes out what comes in, a batch at a time in a worker thread, until cancelled."""
        rounds = Rounds(log, "writing the cache out")
        while True:
            await self._work.wait()
            self._work = trio.Event()
            if self.store.queued < BATCH or rounds.failures:
                await trio.sleep(PAUSE)
            with rounds.one():
                self.memory.book.flush()
                with trio.CancelScope(shield=True):
                    while (batch := self.store.take()) is not None:
                        await self._carry_out(batch)

    async def _carry_out(self, batch: Batch) -> None:
        store = self.store
        try:
            sums = await trio.to_thread.run_sync(batch.carry_out, store.files, store.nonce)
        except OSError as error:
            store.failed(batch, error)
        except Exception as error:
            # However it ended, the next batch can only be taken when this one is over.
            store.failed(batch, OSError(f"internal error: {error!r}"))
            raise
        else:
            store.record(batch, sums)


@contextmanager
def opened(
    directory: Path, size: int, server: str, *, frozen: Iterable[str] = OF_FOSSIL, trust: float = 0.0
) -> Iterator[Cache]:
    """The cache of ``server`` in a directory, within a bound of ``size`` bytes; see ``Store``.

    Raises:
        CacheInUse, NotACache, BadBound
        OSError: the directory can't be used.
    """
    if size < 2 * LEAST:
        raise BadBound(size, 2 * LEAST)
    share = size // SHARE
    with Store(directory, size - share, server) as store:
        book = Notebook(directory / NOTES, share, server)
        try:
            yield Cache(store, Memory(book, Frozen(frozen), trust))
        finally:
            book.close()
