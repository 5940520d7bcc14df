"""A file server with the cache in front of it, all in memory but for what is kept, and every message counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
import trio.testing

from cfs.files.cache import Cache, opened
from cfs.files.proxy import CachedTree
from cfs.server import serve_client
from cfs.upstream.upstream import Upstream
from fakes.ninep_client import Raw, talking
from ninep.net.errors import Unreachable
from ninep.protocol import messages as m
from ninep.server.files import FileTree
from ninep.server.serve import serve_stream

MIB = 1 << 20
NAMES = {
    100: "Tversion",
    104: "Tattach",
    108: "Tflush",
    110: "Twalk",
    112: "Topen",
    114: "Tcreate",
    116: "Tread",
    118: "Twrite",
    120: "Tclunk",
    122: "Tremove",
    124: "Tstat",
    126: "Twstat",
}
"""Of the messages of 9P2000, by their numbers."""


class Tapped(trio.abc.Stream):
    """A stream that counts the messages sent on it; shut, it keeps them back until it is opened again."""

    def __init__(self, stream: trio.abc.Stream, sent: Counter[str], gate: Gate) -> None:
        self._stream = stream
        self._sent = sent
        self._gate = gate
        self._rest = b""

    async def send_all(self, data: object) -> None:
        self._rest += bytes(data)
        while len(self._rest) >= 4:
            size = int.from_bytes(self._rest[:4], "little")
            if len(self._rest) < size:
                break
            frame, self._rest = self._rest[:size], self._rest[size:]
            self._sent[NAMES.get(frame[4], f"T{frame[4]}")] += 1
        await self._gate.event.wait()
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self._stream.receive_some(max_bytes))

    async def aclose(self) -> None:
        await self._stream.aclose()


class Gate:
    """Whether messages get through to the file server."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.open()

    def open(self) -> None:
        self.event.set()

    def shut(self) -> None:
        self.event = trio.Event()


class Grid:
    """A file server ``tree``, reached directly or through a cache.

    Attributes:
        sent: messages that the cache sent to the file server, by name.
        links: the ends of the connections at the file server, so that they can be cut.
        gate: shut, the file server is slow.
        reachable: whether dialing leads anywhere.
        dialed: how often it was tried.
    """

    def __init__(self, tree: FileTree, cache: Cache, nursery: trio.Nursery, max_msize: int) -> None:
        self.tree = tree
        self.cache = cache
        self.store = cache.store
        self.sent: Counter[str] = Counter()
        self.links: list[trio.abc.Stream] = []
        self.gate = Gate()
        self.reachable = True
        self.dialed = 0
        self._nursery = nursery
        self._max_msize = max_msize

    async def dial(self) -> trio.abc.Stream:
        self.dialed += 1
        if not self.reachable:
            raise Unreachable("cannot reach tcp!files!564: no route")
        near, far = trio.testing.memory_stream_pair()
        self.links.append(far)
        self._nursery.start_soon(lambda: serve_stream(far, self.tree, max_msize=self._max_msize))
        return Tapped(near, self.sent, self.gate)

    async def cut(self) -> None:
        """Breaks all connections between the cache and the file server."""
        for link in self.links:
            await trio.aclose_forcefully(link)
        self.links.clear()
        await trio.testing.wait_all_tasks_blocked()

    @asynccontextmanager
    async def client(
        self, uname: str = "glenda", *, aname: str = "", msize: int = MIB + 24, **options: Any
    ) -> AsyncIterator[Raw]:
        """A client of the cache; ``options`` are for ``serve_client``."""
        async with self.new_client(msize=msize, **options) as raw:
            await raw.ask(m.Tattach(0, m.NOFID, uname, aname))
            yield raw

    @asynccontextmanager
    async def new_client(self, *, msize: int = MIB + 24, **options: Any) -> AsyncIterator[Raw]:
        """One that has not attached yet."""
        near, far = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: serve_client(far, self.cache, self.dial, **options))
            async with talking(near, msize=msize) as raw:
                yield raw

    async def written_out(self) -> None:
        """Waits until all that came in is on disk: threads are at work on it."""
        with trio.fail_after(60):
            while True:
                await trio.testing.wait_all_tasks_blocked()
                if not self.store.queued and self.store.idle:
                    return
                await trio.sleep(0.005)

    def forget_sent(self) -> None:
        self.sent.clear()


@asynccontextmanager
async def grid(
    tree: FileTree, directory: Path, *, size: int = 64 * MIB, max_msize: int = MIB + 24, **options: Any
) -> AsyncIterator[Grid]:
    """``max_msize`` is the file server's, ``options`` are for ``cfs.files.cache.opened``."""
    with opened(directory, size, "tcp!files!564", **options) as cache:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.run)
            yield Grid(tree, cache, nursery, max_msize)
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def cached(tree: FileTree, directory: Path, **options: Any) -> AsyncIterator[FileTree]:
    """``tree`` through the cache, as a tree."""
    async with grid(tree, directory, **options) as one, trio.open_nursery() as nursery:
        upstream = Upstream(one.dial, nursery)
        # As for a client that has a connection: renamings look for its files.
        one.cache.clients.add(upstream)
        yield CachedTree(one.cache, upstream)
        nursery.cancel_scope.cancel()
