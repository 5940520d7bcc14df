"""The cache as all connections share it: the store, the task that writes it out, and what is on its way here."""

from __future__ import annotations

from operator import attrgetter

import trio

from cfs.store import BATCH, Store
from cfs.stored import StoredFile
from ninep.wire.dialect import Buffer

PAUSE = 0.02
"""Seconds that bytes wait for company before they are written to disk, unless there is a batch of them already."""
UNDER_WAY = 64 * 1024 * 1024
"""While so many bytes are on their way, for all readers together, nothing is read ahead."""


class Fetch:
    """A range of a file on its way from the file server.

    Attributes:
        start: first byte.
        end: after the last.
        data: what came; shorter than asked where the file has become so.
        error: why nothing came.
        waiters: readers that wait for it.
        owner: whose fid it uses.
        scope: cancelled when nobody wants it any more.
    """

    __slots__ = ("_done", "data", "end", "error", "owner", "scope", "start", "waiters")

    def __init__(self, owner: object, start: int, end: int) -> None:
        self.owner = owner
        self.start = start
        self.end = end
        self.data: Buffer = b""
        self.error: Exception | None = None
        self.waiters = 0
        self.scope = trio.CancelScope()
        self._done = trio.Event()

    async def wait(self) -> None:
        """Returns when it is over, whichever way it ended."""
        await self._done.wait()

    def over(self) -> None:
        """Wakes whoever waits."""
        self._done.set()


class Cache:
    """A store in use.

    Attributes:
        store: what is held.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._fetches: dict[StoredFile, list[Fetch]] = {}
        self._under_way = 0
        self._work = trio.Event()
        store.on_work = self._wake

    @property
    def may_read_ahead(self) -> bool:
        """Whether what nobody has asked for yet would be kept, and is not too much."""
        return self._under_way < UNDER_WAY and self.store.keeps

    def fetches(self, file: StoredFile) -> list[Fetch]:
        """What of a file is on its way, in the order of the positions."""
        return sorted(self._fetches.get(file, ()), key=attrgetter("start"))

    def begin(self, file: StoredFile, fetch: Fetch) -> None:
        """Something is on its way."""
        self._fetches.setdefault(file, []).append(fetch)
        self._under_way += fetch.end - fetch.start

    def end(self, file: StoredFile, fetch: Fetch) -> None:
        """It is not any more; wakes whoever waits for it."""
        self._under_way -= fetch.end - fetch.start
        fetches = self._fetches[file]
        fetches.remove(fetch)
        if not fetches:
            del self._fetches[file]
        fetch.over()

    def _wake(self) -> None:
        self._work.set()

    async def run(self) -> None:
        """Writes out what comes in, a batch at a time in a worker thread, until cancelled."""
        store = self.store
        while True:
            await self._work.wait()
            self._work = trio.Event()
            if store.queued < BATCH:
                await trio.sleep(PAUSE)
            with trio.CancelScope(shield=True):
                while (batch := store.take()) is not None:
                    try:
                        sums = await trio.to_thread.run_sync(batch.carry_out, store.files, store.nonce)
                    except OSError as error:
                        store.failed(batch, error)
                    else:
                        store.record(batch, sums)
