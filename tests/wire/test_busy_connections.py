"""Servers and clients of programs that poll: answers without a checkpoint, and nobody is starved by that."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from fakes.toy_protocol import Echo, Echoed, Later, Latered, Refused, ToyDialect, ToySession, packed
from ninep.net.errors import ConnectionLost
from ninep.wire.busypoll import TURNS, BusyPoll
from ninep.wire.client import Client
from ninep.wire.server import serve_connection

AGES = 0.3
"""Seconds to look: whoever must not be looked for would be missed for so long."""


def pair() -> tuple[trio.SocketStream, socket.socket]:
    here, there = socket.socketpair()
    here.setblocking(False)
    return trio.SocketStream(trio.socket.from_stdlib_socket(here)), there


def run(main: Callable[[BusyPoll], Awaitable[None]]) -> None:
    instrument = BusyPoll(AGES)

    async def until_done() -> None:
        with trio.fail_after(20):
            await main(instrument)
        instrument.limit = 0.0

    trio.run(until_done, instruments=[instrument])


def answering(peer: socket.socket) -> threading.Thread:
    """A server in a thread of its own that echoes until the connection ends."""

    def echo() -> None:
        with peer:
            while frame := peer.recv(4096):
                peer.sendall(frame[:2] + bytes([frame[2] + 100]) + frame[3:])

    thread = threading.Thread(target=echo)
    thread.start()
    return thread


@asynccontextmanager
async def running(stream: trio.SocketStream) -> AsyncIterator[Client[Any, Any]]:
    client: Client[Any, Any] = Client(stream, ToyDialect())
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        yield client
        nursery.cancel_scope.cancel()


def test_calls_one_after_the_other_are_found_by_looking() -> None:
    async def main(instrument: BusyPoll) -> None:
        stream, peer = pair()
        thread = answering(peer)
        async with running(stream) as client:
            await trio.sleep(0.001)
            for number in range(100):
                assert await client.call(Echo(b"%d" % number)) == Echoed(b"%d" % number)
            assert instrument.found >= 90
        await trio.to_thread.run_sync(thread.join)

    run(main)


def test_a_caller_that_always_finds_its_answer_lets_other_tasks_run() -> None:
    async def main(_: BusyPoll) -> None:
        stream, peer = pair()
        thread = answering(peer)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        async with running(stream) as client, trio.open_nursery() as nursery:
            await trio.sleep(0.001)
            nursery.start_soon(other)
            for number in range(10 * TURNS):
                await client.call(Echo(b"%d" % number))
            assert turns >= 8
            nursery.cancel_scope.cancel()
        await trio.to_thread.run_sync(thread.join)

    run(main)


def test_a_malformed_reply_found_by_looking_ends_the_connection() -> None:
    async def main(_: BusyPoll) -> None:
        stream, peer = pair()
        with peer:
            async with running(stream) as client:
                await trio.sleep(0.001)
                late = threading.Timer(0.01, peer.send, (packed(9, Echoed(b"never asked for")),))
                late.start()
                with pytest.raises(ConnectionLost, match="tag 9"):
                    await client.call(Echo(b"hello"))
                late.join()

    run(main)


def test_the_end_of_the_link_is_found_as_ever() -> None:
    async def main(_: BusyPoll) -> None:
        stream, peer = pair()
        async with running(stream) as client:
            await trio.sleep(0.001)
            late = threading.Timer(0.01, peer.close)
            late.start()
            with pytest.raises(ConnectionLost):
                await client.call(Echo(b"hello"))
            late.join()

    run(main)


def test_a_refusal_is_raised_again() -> None:
    async def main(_: BusyPoll) -> None:
        near, far = pair()
        far.setblocking(False)
        session = ToySession()

        def refuse(body: bytes) -> None:
            raise Refused(f"not {body.decode()}")

        session.echo = refuse
        there = trio.SocketStream(trio.socket.from_stdlib_socket(far))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_connection, there, ToyDialect(), session)
            async with running(near) as client:
                for _ in range(2 * TURNS):
                    with pytest.raises(Refused, match="not this"):
                        await client.call(Echo(b"this"))

    run(main)


def test_a_server_that_looks_serves_its_other_connections_and_what_waits() -> None:
    """Two in one loop with it: a request that waits for another task, and a client that keeps the server busy."""

    async def main(_: BusyPoll) -> None:
        stream, peer = pair()
        session = ToySession()
        both = trio.Event()

        def told(body: bytes) -> Echoed:
            if body == b"meanwhile":
                both.set()
            return Echoed(body)

        session.echo = told
        second, other = pair()
        results: list[bytes] = []
        expected = packed(3, Echoed(b"meanwhile")) + packed(2, Latered(b"gate"))

        def talk() -> None:
            with peer:
                for number in range(20 * TURNS):
                    peer.sendall(packed(1, Echo(b"%d" % number)))
                    peer.recv(4096)
                peer.sendall(packed(2, Later(b"gate")))
                peer.sendall(packed(3, Echo(b"meanwhile")))
                # They may come in one piece.
                while len(b"".join(results)) < len(expected):
                    results.append(peer.recv(4096))

        def talk_too() -> None:
            with other:
                for number in range(20 * TURNS):
                    other.sendall(packed(1, Echo(b"%d" % number)))
                    other.recv(4096)

        threads = [threading.Thread(target=talk), threading.Thread(target=talk_too)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_connection, stream, ToyDialect(), session)
            nursery.start_soon(serve_connection, second, ToyDialect(), ToySession())
            for thread in threads:
                thread.start()
            await both.wait()
            session.gate(b"gate").set()
        assert b"".join(results) == expected
        for thread in threads:
            thread.join()

    run(main)
