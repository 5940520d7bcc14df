"""A toy server loop with one client, for tests of what every server does."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing
from trio.testing import MemoryReceiveStream, MemorySendStream

from fakes.toy_protocol import Echo, Reply, Request, ToyDialect, ToySession, packed
from ninep.wire.dialect import Dialect
from ninep.wire.limits import Limits
from ninep.wire.server import serve_connection

USUAL = Limits()
Stream = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


@asynccontextmanager
async def served(
    session: ToySession,
    dialect: Dialect[Any, Any] | None = None,
    limits: Limits = USUAL,
    *,
    taskless: bool = False,
) -> AsyncIterator[Stream]:
    """The client's end of a connection, which must be over soon after the client is done."""
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            await serve_connection(far, dialect or ToyDialect(), session, limits=limits, taskless=taskless)

        nursery.start_soon(serve)
        yield near
        await near.aclose()


async def say(stream: Stream, *messages: tuple[int, Request]) -> None:
    await stream.send_all(b"".join(packed(tag, message) for tag, message in messages))


async def hear(stream: trio.abc.ReceiveStream, *expected: tuple[int, Reply]) -> None:
    """Exactly this, and all of it."""
    data = b"".join(packed(tag, reply) for tag, reply in expected)
    got = b""
    while len(got) < len(data):
        more = await stream.receive_some(len(data) - len(got))
        assert more, f"the server hung up after {got!r}"
        got += more
    assert got == data


class Foreseeing(ToySession):
    """Notes each run before it begins."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[Request]] = []
        self.begun_when_shown: list[int] = []
        self.after_shown: Callable[[], None] = lambda: None

    def begin_all(self, run: Collection[Request]) -> Callable[[Request], Any]:
        assert not any(request in self.begun for request in run)
        self.seen.append(list(run))
        self.begun_when_shown.append(len(self.begun))
        self.after_shown()
        return super().begin_all(run)


def echoes(first: int, count: int) -> list[tuple[int, Request]]:
    return [(n % 16, Echo(b"%d" % n)) for n in range(first, first + count)]


async def socket_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    near, far = (trio.socket.from_stdlib_socket(end) for end in socket.socketpair())
    return trio.SocketStream(near), trio.SocketStream(far)
