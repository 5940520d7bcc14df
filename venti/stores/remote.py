"""A block store on the other end of a connection. Source: venti(3)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio

from ninep.net.dial import dial
from ninep.net.errors import NoFreeTag
from ninep.net.identity import user_name_or_anonymous
from ninep.net.networks import Networks
from ninep.tasks.nursery import outlived
from ninep.wire.client import Call, Client
from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockTooLarge, DamagedBlock, Refusal
from venti.blocks.score import ZERO_SCORE, Score
from venti.protocol import messages as m
from venti.protocol.dialect import VentiDialect
from venti.protocol.handshake import exchange_versions

_DAMAGE = re.compile(
    "damaged block|loading clump|loadclump|clump is marked|decompression of|index and clump|reading beyond|"
    "score mismatch"
)
"""How servers, the original one among them, begin to say that what they have of a block is damaged."""
HELLO_PATIENCE = 20.0
"""Seconds that a server has for its version line and hello."""


class RemoteStore:
    """A ``BlockStore`` served by a venti; up to 256 calls are in flight, more wait.

    Every block read is checked against its score, and every score that comes back against the block. Methods raise
    ``ConnectionLost`` when the link broke: what was not followed by a ``sync`` must then be written again.
    """

    def __init__(self, client: Client[Any, Any], name: str) -> None:
        self._client = client
        self._name = name

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """See ``BlockStore``."""
        if score == ZERO_SCORE:
            return b""
        try:
            reply = await self._client.call(m.Tread(score, type, limit))
        except Refusal as error:
            self._translate(error, score)
            raise
        return self._checked(reply.data, score, limit)

    async def write(self, type: BlockType, data: Buffer) -> Score:
        """See ``BlockStore``."""
        if not len(data):
            return ZERO_SCORE
        if len(data) > m.LARGEST_BLOCK:
            raise BlockTooLarge
        reply = await self._client.call(m.Twrite(type, data))
        return self._agreed(reply.score, Score.of(data))

    def begin_read(self, score: Score, type: BlockType, limit: int) -> _Reading:
        """See ``PipelinedStore``."""
        return _Reading(self, self._begin(m.Tread(score, type, limit)), score, limit)

    def begin_write(self, type: BlockType, data: bytes, score: Score) -> _Writing:
        """See ``PipelinedStore``."""
        return _Writing(self, self._begin(m.Twrite(type, data)), score)

    def _begin(self, request: m.Request) -> Call[Any]:
        try:
            call = self._client.begin(request)
        except NoFreeTag:
            raise trio.WouldBlock from None
        self._client.send_soon()
        return call

    def _translate(self, error: Refusal, score: Score) -> None:
        if _DAMAGE.match(str(error)):
            raise DamagedBlock(score, self._name, str(error)) from error

    def _checked(self, view: Buffer, score: Score, limit: int) -> bytes:
        data = bytes(view)
        if Score.of(data) != score:
            raise DamagedBlock(score, self._name)
        if len(data) > limit:
            raise DamagedBlock(score, self._name, f"{len(data)} bytes came where at most {limit} were asked for")
        return data

    def _agreed(self, found: Score, score: Score) -> Score:
        if found != score:
            raise DamagedBlock(score, self._name, f"the server took it for {found}")
        return score

    async def sync(self) -> None:
        """See ``BlockStore``."""
        await self._client.call(m.Tsync())

    async def ping(self) -> None:
        """Returns when the server has answered, whatever else it is asked. Raises ``ConnectionLost``."""
        with suppress(Refusal):
            # The original does not know the request, and says so.
            await self._client.call(m.Tping())

    async def aclose(self) -> None:
        """Syncs, if the server is still there. The connection ends with the context that made it."""
        if self._client.lost is None:
            await self.sync()


class _Reading:
    """A ``Pending`` read."""

    __slots__ = ("_call", "_limit", "_score", "_store")

    def __init__(self, store: RemoteStore, call: Call[Any], score: Score, limit: int) -> None:
        self._store = store
        self._call = call
        self._score = score
        self._limit = limit

    async def wait(self) -> bytes:
        store = self._store
        try:
            reply = await store._client.wait(self._call)
        except Refusal as error:
            store._translate(error, self._score)
            raise
        return store._checked(reply.data, self._score, self._limit)


class _Writing:
    """A ``Pending`` write."""

    __slots__ = ("_call", "_score", "_store")

    def __init__(self, store: RemoteStore, call: Call[Any], score: Score) -> None:
        self._store = store
        self._call = call
        self._score = score

    async def wait(self) -> Score:
        reply = await self._store._client.wait(self._call)
        return self._store._agreed(reply.score, self._score)


@asynccontextmanager
async def connected(stream: trio.abc.Stream, name: str = "venti") -> AsyncIterator[RemoteStore]:
    """Speaks venti over ``stream``, which is closed at the end; ``name`` is for error texts.

    Raises:
        Malformed: the other side does not speak venti.
        ConnectionLost: it hung up.
    """
    async with stream:
        with trio.fail_after(HELLO_PATIENCE) as hello:
            version, buffer = await exchange_versions(stream)
        client: Client[Any, Any] = Client(stream, VentiDialect(version), buffer)
        async with outlived(client.run):
            with trio.fail_at(hello.deadline):
                await client.call(m.Thello(version, user_name_or_anonymous()), tag=0)
            yield RemoteStore(client, name)


@asynccontextmanager
async def connect(address: str, *, networks: Networks | None = None) -> AsyncIterator[RemoteStore]:
    """Dials a venti.

    Raises:
        Unreachable, BadAddress: there is nobody at ``address``.
    """
    stream = await dial(address, service="venti", networks=networks)
    async with connected(stream, f"venti {address}") as store:
        yield store
