"""Reading one open file through the cache.

What is present is answered at once where the disk need not be waited for. What is missing is fetched, all gaps at the
same time, unless it is on its way already for somebody else. A reader that goes from front to back gets what follows
before it asks.

The cache is a help and never a condition: bytes that it could not keep are handed on from where they came, and a
file that has changed is read as if there were no cache.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import trio

from cfs.cache import Cache, Fetch
from cfs.stored import StoredFile
from cfs.waiting import assemble
from ninep.errors import NinepError
from ninep.messages import Tread
from ninep.remote import RemoteFile
from ninep.wire import WireError
from ninep.wire.client import Call
from ninep.wire.dialect import Buffer, Maybe

PIECE = 256 * 1024
"""Most bytes of one fetch: whoever waits for its first byte waits for its last."""
FIRST_AHEAD = 128 * 1024
"""Bytes that are read ahead of a reader that goes on where it left off; doubled as it goes on."""
MOST_AHEAD = 4 * 1024 * 1024
ROUNDS = 3
"""How often what was evicted, damaged or lost meanwhile is fetched again before it is read past the cache."""


class Reader:
    """One open of a cached file: what is held of its version at that time, the fid to fetch with, where it is."""

    def __init__(self, cache: Cache, held: StoredFile, remote: RemoteFile, nursery: trio.Nursery) -> None:
        """``held`` is given back by ``close``; fetches run in ``nursery``."""
        self.held = held
        self._cache = cache
        self._remote = remote
        self._nursery = nursery
        self._own: set[Fetch] = set()
        self._next = 0
        self._window = FIRST_AHEAD // 2
        self._ahead = 0

    def close(self) -> None:
        """Gives up the file and what is on its way through this fid; whoever else waits for that fetches it anew."""
        for fetch in self._own:
            fetch.scope.cancel()
        self._cache.store.release(self.held)

    def read(self, start: int, end: int) -> Maybe[Buffer]:
        """The bytes of a range within the file. Cancelled, it gives up what nobody else waits for.

        Raises:
            FileError: refused by the file server.
            WireError: the connection is lost.
        """
        held = self.held
        data = self._cache.store.read(held, start, end, wait=False)
        # In the order of arrival, and before anything that is read ahead.
        fetches = [] if data is not None or held.dead else self._fetches(start, end)
        if start == self._next:
            self._read_ahead(end)
        else:
            self._window, self._ahead = FIRST_AHEAD // 2, 0
        self._next = end
        return data if data is not None else self._waited(start, end, fetches)

    async def _waited(self, start: int, end: int, fetches: list[Fetch]) -> Buffer:
        store, held = self._cache.store, self.held
        for _ in range(ROUNDS):
            await self._wait(fetches)
            found: list[tuple[int, Buffer]] = [(fetch.start, fetch.data) for fetch in fetches]
            data = assemble(found, start, end)
            if data is not None:
                return data
            for part in held.present.parts(start, end):
                data = store.read(held, *part, wait=False)
                if data is None:
                    await trio.to_thread.run_sync(store.page_in, store.places(held, *part))
                    data = store.read(held, *part)
                found.append((part.start, data or b""))
            found.sort(key=itemgetter(0))
            data = assemble(found, start, end)
            if data is not None:
                return data
            if held.dead:
                break
            fetches = self._fetches(start, end)
        return await self._remote.read_range(start, end - start)

    def _fetches(self, start: int, end: int) -> list[Fetch]:
        """All that fills the gaps of a range: what is on its way already, and the rest, set going now."""
        wanted: list[Fetch] = []
        under_way = self._cache.fetches(self.held)
        for at, stop in self.held.present.gaps(start, end):
            for fetch in under_way:
                if fetch.start < stop and at < fetch.end:
                    wanted += self._begin(at, fetch.start)
                    wanted.append(fetch)
                    at = fetch.end
            wanted += self._begin(at, stop)
        return wanted

    def _begin(self, start: int, end: int) -> list[Fetch]:
        remote = self._remote
        begun = []
        while start < end:
            fetch = Fetch(self, start, min(start + PIECE, end))
            begun.append(fetch)
            try:
                call = remote.connection.client.begin(Tread(remote.fid, start, min(fetch.end - start, remote.iounit)))
            except WireError as error:
                fetch.error = error
                fetch.over()
                break
            self._own.add(fetch)
            self._cache.begin(self.held, fetch)
            self._nursery.start_soon(self._fetch, fetch, call)
            start = fetch.end
        return begun

    async def _fetch(self, fetch: Fetch, call: Call[Any]) -> None:
        """Takes the answer to the first message of a fetch, asks for the rest if there is one, and keeps it all."""
        store, held, remote = self._cache.store, self.held, self._remote
        try:
            with fetch.scope:
                data: Buffer = (await remote.connection.client.wait(call)).data
                rest = fetch.end - fetch.start - len(data)
                if rest:
                    more = await remote.read_range(fetch.start + len(data), rest)
                    rest -= len(more)
                    data = b"".join((data, more))
                fetch.data = data
                if rest:
                    # Shorter than it was: it is another file now.
                    store.drop(held.tree, held.path)
                else:
                    store.add(held, fetch.start, data)
        except (NinepError, WireError) as error:
            fetch.error = error
        finally:
            self._own.discard(fetch)
            self._cache.end(held, fetch)

    async def _wait(self, fetches: list[Fetch]) -> None:
        """Waits for all. Raises what one of our own failed with; what failed for others is fetched by us next."""
        for fetch in fetches:
            fetch.waiters += 1
        try:
            for fetch in fetches:
                await fetch.wait()
        finally:
            given_up = []
            for fetch in fetches:
                fetch.waiters -= 1
                if not fetch.waiters:
                    fetch.scope.cancel()
                    given_up.append(fetch)
            with trio.CancelScope(shield=True):
                for fetch in given_up:
                    await fetch.wait()
        for fetch in fetches:
            if fetch.owner is self and fetch.error is not None:
                raise fetch.error

    def _read_ahead(self, end: int) -> None:
        """Sets going what follows, more each time, as long as it can be kept."""
        if end + self._window // 2 < self._ahead or self.held.dead or not self._cache.may_read_ahead:
            return
        self._window = min(self._window * 2, MOST_AHEAD)
        start = max(end, self._ahead)
        self._ahead = min(end + self._window, self.held.version.length)
        self._fetches(start, self._ahead)
