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

from cfs.disk.stored import StoredFile
from cfs.disk.waiting import assemble
from cfs.errors import Interrupted, ServerGone
from cfs.files.cache import Cache, Fetch
from cfs.upstream.handle import TRIES, Handle
from ninep.client.remote import RemoteFile
from ninep.net.errors import ConnectionLost, WireError
from ninep.protocol.errors import BadFidUse, FileError, InputOutput, NinepError, UnknownFid
from ninep.protocol.messages import Tread
from ninep.wire.client import Call
from ninep.wire.dialect import Buffer, Maybe
from ninep.wire.taskless import in_task

PIECE = 256 * 1024
"""Most bytes of one fetch: whoever waits for its first byte waits for its last."""
FIRST_AHEAD = 128 * 1024
"""Bytes that are read ahead of a reader that goes on where it left off; doubled as it goes on."""
MOST_AHEAD = 4 * 1024 * 1024
ROUNDS = 3
"""How often what was evicted, damaged or lost meanwhile is fetched again before it is read past the cache."""


class Reader:
    """One open of a cached file: what is held of its version at that time, the fid to fetch with, where it is."""

    def __init__(self, cache: Cache, held: StoredFile, handle: Handle) -> None:
        """``held`` is given back by ``close``; fetches run in the nursery of the client."""
        self.held = held
        self._cache = cache
        self._handle = handle
        self._nursery = handle.upstream.nursery
        self._own: set[Fetch] = set()
        self._next = 0
        self._window = FIRST_AHEAD // 2
        self._ahead = 0

    def close(self) -> None:
        """Gives up the file and what is on its way through this fid; whoever else waits for that fetches it anew."""
        for fetch in list(self._own):
            fetch.cancel()
        self._cache.store.release(self.held)

    def read(self, start: int, end: int) -> Maybe[Buffer]:
        """The bytes of a range within the file. Cancelled, it gives up what nobody else waits for.

        Raises:
            FileError: refused by the file server, or it is gone.
        """
        held = self.held
        values = self._cache.counts.values
        data = self._cache.store.read(held, start, end, wait=False)
        if data is not None:
            values["hits"] += 1
            values["bytesfromcache"] += end - start
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
        values = self._cache.counts.values
        values["misses" if fetches else "hits"] += 1
        values["nshared"] += any(fetch.owner is not self for fetch in fetches)
        values["bytesfromcache"] += sum(part.end - part.start for part in held.present.parts(start, end))
        for _ in range(ROUNDS):
            await self._wait(fetches)
            found: list[tuple[int, Buffer]] = [(fetch.start, fetch.data) for fetch in fetches]
            data = assemble(found, start, end)
            if data is not None:
                return data
            for part in held.present.parts(start, end):
                data = store.read(held, *part, wait=False)
                if data is None:
                    await in_task()
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
        values["ndelegateread"] += 1
        return await self._handle.do(Tread, lambda remote: remote.read_range(start, end - start))

    def expect(self, end: int, remote: RemoteFile, call: Call[Any]) -> None:
        """The bytes up to ``end`` were asked for together with the open."""
        if self.held.present.gaps(0, end) == [(0, end)] and not self._cache.fetches(self.held):
            fetch = Fetch(self, 0, end)
            self._own.add(fetch)
            self._cache.begin(self.held, fetch)
            fetch.carry(self._expected(fetch, remote, call), self._nursery)

    async def _expected(self, fetch: Fetch, remote: RemoteFile, call: Call[Any]) -> None:
        """Whoever waits for it asks himself if nothing has come of it."""
        begun = self._cache.counts.begin(Tread)
        try:
            await self._take(fetch, remote, call)
        except (UnknownFid, BadFidUse, InputOutput):
            # Servers that do not begin requests in the order of arrival say so.
            remote.connection.in_order = False
        except (NinepError, WireError):
            pass
        finally:
            self._cache.counts.end(Tread, begun)
            self._own.discard(fetch)
            self._cache.end(self.held, fetch)

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
        remote = self._handle.live
        begun = []
        while start < end:
            fetch = Fetch(self, start, min(start + PIECE, end))
            begun.append(fetch)
            try:
                call = None if remote is None else _asked(remote, fetch)
            except WireError as error:
                fetch.error = ServerGone()
                fetch.error.__cause__ = error
                fetch.over()
                break
            self._own.add(fetch)
            self._cache.begin(self.held, fetch)
            fetch.carry(self._fetch(fetch, remote, call), self._nursery)
            start = fetch.end
        return begun

    async def _fetch(self, fetch: Fetch, remote: RemoteFile | None, call: Call[Any] | None) -> None:
        """Brings a piece here and keeps it, over as many links as it takes."""
        counts = self._cache.counts
        begun = counts.begin(Tread)
        try:
            for _ in range(TRIES):
                try:
                    if remote is None or call is None:
                        remote = await self._handle.revived()
                        call = _asked(remote, fetch)
                    await self._take(fetch, remote, call)
                    break
                except ConnectionLost:
                    remote = call = None
            else:
                raise Interrupted
        except FileError as error:
            fetch.error = error
        except (NinepError, WireError) as error:
            fetch.error = Interrupted()
            fetch.error.__cause__ = error
        finally:
            counts.end(Tread, begun)
            self._own.discard(fetch)
            self._cache.end(self.held, fetch)

    async def _take(self, fetch: Fetch, remote: RemoteFile, call: Call[Any]) -> None:
        """Takes the answer to the first message of a fetch, asks for the rest if there is one, and keeps it all."""
        store, held, counts = self._cache.store, self.held, self._cache.counts
        data: Buffer = (await remote.connection.client.wait(call)).data
        rest = fetch.end - fetch.start - len(data)
        if rest:
            counts.sent["Tread"] += -(-rest // remote.iounit)
            more = await remote.read_range(fetch.start + len(data), rest)
            rest -= len(more)
            data = b"".join((data, more))
        fetch.data = data
        counts.values["nfetch"] += 1
        counts.values["bytesfromserver"] += len(data)
        if rest:
            # Shorter than it was: it is another file now.
            store.drop(held.tree, held.path)
        else:
            store.add(held, fetch.start, data)

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
                if not fetch.waiters and not fetch.done:
                    fetch.cancel()
                    given_up.append(fetch)
            if given_up:
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


def _asked(remote: RemoteFile, fetch: Fetch) -> Call[Any]:
    """Sends the first message of a fetch."""
    count = min(fetch.end - fetch.start, remote.iounit)
    return remote.connection.client.begin(Tread(remote.fid, fetch.start, count))
