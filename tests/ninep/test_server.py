"""Serving many connections: what one client does or suffers is nothing to the others."""

from __future__ import annotations

import logging
import math
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from fakes.ninep_client import Raw, talking
from ninep.protocol import messages as m
from ninep.protocol.codec import encode
from ninep.ram.tree import RamTree
from ninep.server.files import File
from ninep.server.serve import is_local, serve, serve_stream
from ninep.wire.limits import Limits

OWNER = "glenda"


class Watched(RamTree):
    """Remembers who attached and whether they were called local; attaching to ``fault`` is a fault."""

    def __init__(self) -> None:
        super().__init__(OWNER)
        self.attached: list[tuple[str, bool]] = []

    def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        if aname == "fault":
            raise ZeroDivisionError("a fault")
        self.attached.append((uname, local))
        return super().attach(uname, aname, local=local)


@asynccontextmanager
async def served(tree: RamTree, **limits: Any) -> AsyncIterator[int]:
    """The port of a running server."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, tree, listeners, **limits))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()
    assert listeners[0].socket.fileno() == -1


@asynccontextmanager
async def dialled(port: int) -> AsyncIterator[Raw]:
    """A client on a socket of its own."""
    async with talking(await trio.open_tcp_stream("127.0.0.1", port)) as raw:
        yield raw


def packed(*requests: tuple[int, m.Request]) -> bytes:
    pieces: list[bytes | bytearray | memoryview] = []
    for tag, request in requests:
        encode(tag, request, pieces)
    return b"".join(pieces)


HELLO = packed((m.NOTAG, m.Tversion(65536, "9P2000")), (1, m.Tattach(0, m.NOFID, OWNER, "")))


async def test_clients_of_all_kinds_next_to_a_good_one() -> None:
    """Some hang up in mid-frame, some send rubbish, some send a frame without end, some never read."""
    tree = Watched()
    async with served(tree) as port, dialled(port) as raw, trio.open_nursery() as nursery:
        await raw.ask(m.Tattach(0, m.NOFID, OWNER, ""))

        async def misbehave(data: bytes, *, read: bool) -> None:
            async with await trio.open_tcp_stream("127.0.0.1", port) as bad:
                await bad.send_all(data)
                if read:
                    try:
                        while await bad.receive_some():
                            pass
                    except trio.BrokenResourceError:
                        pass

        for data in (
            b"",
            b"\x00",
            b"GET / HTTP/1.0\r\n\r\n",
            b"\xff" * 100,
            HELLO + b"\x00\x10\x00\x00\x74",
            HELLO + packed((2, m.Tread(0, 0, 100)))[:-1],
            HELLO + os.urandom(10000),
        ):
            nursery.start_soon(lambda data=data: misbehave(data, read=False))
        for data in (b"GET / HTTP/1.0\r\n\r\n", HELLO + b"\x06\x00\x00\x00\x00\x00", b"\xff" * 7):
            nursery.start_soon(lambda data=data: misbehave(data, read=True))
        await raw.made("file", data=b"fine")
        assert await raw.content("file") == b"fine"


@pytest.mark.expects_errors
async def test_a_fault_in_the_tree_ends_no_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with served(Watched()) as port, dialled(port) as raw:
        assert await raw.refused(m.Tattach(0, m.NOFID, OWNER, "fault")) == "internal error"
        await raw.ask(m.Tattach(0, m.NOFID, OWNER, ""))
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR]


@pytest.mark.expects_errors
async def test_a_fault_in_the_server_ends_its_own_connection_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(Watched()) as port, dialled(port) as raw:
        await raw.ask(m.Tattach(0, m.NOFID, OWNER, ""))

        def fail(*arguments: object) -> None:
            raise ZeroDivisionError("a fault")

        monkeypatch.setattr("ninep.server.serve.NinePSession", fail)
        async with await trio.open_tcp_stream("127.0.0.1", port) as other:
            assert await other.receive_some() == b""
        assert type(await raw.ask(m.Tstat(0))) is m.Rstat
    assert "a connection failed" in caplog.text


async def test_a_client_that_does_not_read_is_not_read_from(autojump_clock: trio.testing.MockClock) -> None:
    """Replies pile up to a bound; then the server stops reading, and the client's sends wait."""
    tree = RamTree(OWNER)
    near, far = trio.testing.memory_stream_pair()
    pulled: list[int] = []
    held = trio.Event()

    class Slow(trio.abc.Stream):
        """The server's side of a link on which nothing leaves until ``held`` is set."""

        async def send_all(self, data: object) -> None:
            await held.wait()
            await far.send_all(data)

        async def wait_send_all_might_not_block(self) -> None: ...

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            data = bytes(await far.receive_some(4096))
            pulled.append(len(data))
            return data

        async def aclose(self) -> None:
            await far.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: serve_stream(Slow(), tree, limits=Limits(reply_bytes=100_000)))
        await near.send_all(HELLO)
        await near.send_all(packed((1, m.Twalk(0, 1, [])), (2, m.Tcreate(1, "f", 0o644, m.ORDWR))))
        await near.send_all(packed((3, m.Twrite(1, 0, bytes(10_000)))))
        for n in range(2000):
            await near.send_all(packed((10 + n, m.Tread(1, 0, 10_000))))
        await trio.sleep(60)
        before = sum(pulled)
        assert before < 30_000, "it took no more than what it may answer"
        held.set()
        received = 0
        while received < 2000 * 10_011:
            received += len(await near.receive_some())
        assert sum(pulled) > before
        await near.aclose()


async def test_a_client_that_sends_one_byte_an_hour(autojump_clock: trio.testing.MockClock) -> None:
    tree = RamTree(OWNER)
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: serve_stream(far, tree, limits=Limits(handshake=math.inf)))
        for byte in HELLO:
            await near.send_all(bytes([byte]))
            await trio.sleep(3600)
        received = b""
        while len(received) < 19 + 20:
            received += await near.receive_some()
        assert received[19 + 4] == 105
        await near.aclose()


@pytest.mark.parametrize(
    ("family", "peer", "own", "local"),
    [
        (socket.AF_INET, ("127.0.0.1", 5), ("127.0.0.1", 6), True),
        (socket.AF_INET, ("127.3.2.1", 5), ("127.0.0.1", 6), True),
        (socket.AF_INET, ("192.0.2.7", 5), ("192.0.2.7", 6), True),
        (socket.AF_INET, ("192.0.2.8", 5), ("192.0.2.7", 6), False),
        (socket.AF_INET6, ("::1", 5, 0, 0), ("::1", 6, 0, 0), True),
        (socket.AF_INET6, ("::ffff:127.0.0.1", 5, 0, 0), ("::ffff:127.0.0.1", 6, 0, 0), True),
        (socket.AF_INET6, ("::ffff:192.0.2.8", 5, 0, 0), ("::ffff:192.0.2.7", 6, 0, 0), False),
        (socket.AF_INET6, ("fe80::1%eth0", 5, 0, 2), ("fe80::1%eth0", 6, 0, 2), True),
        (socket.AF_INET6, ("fe80::2%eth0", 5, 0, 2), ("fe80::1%eth0", 6, 0, 2), False),
        (socket.AF_UNIX, "", "/somewhere", True),
    ],
)
def test_local(family: int, peer: object, own: object, local: bool) -> None:
    class Socket:
        def __init__(self) -> None:
            self.family = family

        def getpeername(self) -> object:
            return peer

        def getsockname(self) -> object:
            return own

    class Stream:
        socket = Socket()

    assert is_local(Stream()) is local


async def test_a_tree_is_told_who_is_local() -> None:
    tree = Watched()
    async with served(tree) as port, dialled(port) as raw:
        await raw.ask(m.Tattach(0, m.NOFID, "over tcp", ""))
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, tree)
        async with talking(near) as raw:
            await raw.ask(m.Tattach(0, m.NOFID, "from somewhere", ""))
    assert tree.attached == [("over tcp", True), ("from somewhere", False)]
