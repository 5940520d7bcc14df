"""How conversations over TLS end: with a goodbye, which a cut has not."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from fakes.toy_protocol import Echo, Echoed, Later, Latered, ToyDialect, ToySession, packed
from ninep.net.accept import accept
from ninep.net.errors import ConnectionLost
from ninep.net.listen import listen
from ninep.net.tls import GOODBYE, client_context, hang_up, server_context
from ninep.wire.client import Client
from ninep.wire.limits import Limits
from ninep.wire.server import serve_connection

trustme = pytest.importorskip("trustme", reason="trustme is not installed: pip install 'ninegrid[test]'")

Secured = trio.SSLStream[Any]


class Contexts:
    """One for a server, and one for a client that trusts it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
        self.server = server_context(str(folder / "server.pem"))
        self.client = client_context(str(folder / "authority.pem"))


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return Contexts(tmp_path_factory.mktemp("papers"))


async def pair(contexts: Contexts) -> tuple[Secured, Secured]:
    """A client's and a server's end, past the handshake."""
    near, far = trio.testing.memory_stream_pair()
    client: Secured = trio.SSLStream(near, contexts.client, server_hostname="127.0.0.1")
    server: Secured = trio.SSLStream(far, contexts.server, server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        nursery.start_soon(server.do_handshake)
    return client, server


@asynccontextmanager
async def served(
    contexts: Contexts, session: ToySession, limits: Limits
) -> AsyncIterator[tuple[Secured, trio.Nursery]]:
    """A client's end, and what the server at the other runs in."""
    near, far = await pair(contexts)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_connection, far, ToyDialect(), session, limits=limits))
        await near.send_all(packed(1, Echo(b"a")))
        assert await near.receive_some() == packed(1, Echoed(b"a"))
        yield near, nursery


@pytest.mark.parametrize("why", ["hangup", "malformed", "idle", "cancelled"])
async def test_a_server_says_that_it_ends(contexts: Contexts, autojump_clock: trio.testing.MockClock, why: str) -> None:
    limits = Limits(idle=5) if why == "idle" else Limits()
    async with served(contexts, ToySession(), limits) as (client, server):
        if why == "cancelled":
            server.cancel_scope.cancel()
        elif why != "idle":
            await client.send_all(packed(1, Echo(b"hangup" if why == "hangup" else b"\xff")))
        with trio.CancelScope(shield=True), trio.fail_after(60):
            assert await client.receive_some() == b""


async def test_a_client_says_that_it_ends(contexts: Contexts) -> None:
    near, far = await pair(contexts)
    client: Client[Any, Any] = Client(near, ToyDialect())
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        nursery.cancel_scope.cancel()
    assert await far.receive_some() == b""


async def test_a_client_that_ends_is_heard(contexts: Contexts) -> None:
    session = ToySession()
    async with served(contexts, session, Limits()) as (client, _):
        await client.send_all(packed(1, Later(b"x")))
        await client.aclose()
    assert session.closes == 1


async def test_a_reader_that_takes_nothing_keeps_nobody(
    contexts: Contexts, autojump_clock: trio.testing.MockClock
) -> None:
    _, far = await pair(contexts)

    async def full() -> None:
        await trio.sleep_forever()

    far.transport_stream.send_stream.send_all_hook = full
    start = trio.current_time()
    with trio.CancelScope() as scope:
        scope.cancel()
        await hang_up(far)
    assert trio.current_time() - start == pytest.approx(GOODBYE)


async def test_a_handshake_that_never_came_is_not_made_for_a_goodbye(contexts: Contexts) -> None:
    near, far = trio.testing.memory_stream_pair()
    await hang_up(trio.SSLStream(far, contexts.server, server_side=True))
    assert await near.receive_some() == b""


@pytest.mark.parametrize("cut", [False, True])
async def test_a_client_tells_a_cut_from_an_end(contexts: Contexts, cut: bool) -> None:
    near, far = await pair(contexts)
    client: Client[Any, Any] = Client(near, ToyDialect())
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        answered, pending = client.begin(Echo(b"a")), client.begin(Echo(b"b"))
        client.send()
        await far.send_all(packed(answered.tag, Echoed(b"a")))
        assert await client.wait(answered) == Echoed(b"a")
        await (far.transport_stream if cut else far).aclose()
        with pytest.raises(ConnectionLost, match="connection lost: it was cut" if cut else "connection closed"):
            await client.wait(pending)


@pytest.mark.parametrize("cut", [False, True])
async def test_a_server_lets_what_runs_end_only_where_the_client_has_said_so(
    contexts: Contexts, autojump_clock: trio.testing.MockClock, cut: bool
) -> None:
    session = ToySession()

    async def slow(body: bytes) -> Latered:
        await trio.sleep(0.5)
        return Latered(body)

    session.later = slow
    async with served(contexts, session, Limits(grace=1)) as (client, _):
        await client.send_all(packed(1, Later(b"x")))
        await (client.transport_stream if cut else client).aclose()
    assert session.ended == [(b"x", "Cancelled" if cut else "answered")]


# The ssl module of the standard library at the other end of a real socket


async def test_a_peer_that_is_strict_about_the_end_of_a_server(contexts: Contexts) -> None:
    def ask(port: int) -> list[bytes]:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
            contexts.client.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as peer,
        ):
            peer.sendall(packed(1, Echo(b"a")))
            heard = [peer.recv(100)]
            peer.sendall(packed(1, Echo(b"hangup")))
            return [*heard, peer.recv(100)]

    def leave(port: int) -> None:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
            contexts.client.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as peer,
        ):
            peer.sendall(packed(1, Echo(b"a")))
            peer.recv(100)
            # It waits for the server's goodbye.
            peer.unwrap()

    async def converse(stream: trio.abc.Stream) -> None:
        await serve_connection(stream, ToyDialect(), ToySession())

    listeners = await listen("tls!127.0.0.1!0", service="9fs", context=contexts.server)
    port = listeners[0].transport_listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(accept, listeners, converse)
        assert await trio.to_thread.run_sync(ask, port) == [packed(1, Echoed(b"a")), b""]
        await trio.to_thread.run_sync(leave, port)
        nursery.cancel_scope.cancel()


async def test_a_peer_that_is_strict_about_the_end_of_a_client(contexts: Contexts) -> None:
    heard: list[bytes] = []

    def answer(listening: socket.socket) -> None:
        plain, _ = listening.accept()
        plain.settimeout(30)
        with contexts.server.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False) as peer:
            peer.recv(100)
            peer.sendall(packed(15, Echoed(b"a")))
            heard.append(peer.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with trio.open_nursery() as threads:
            threads.start_soon(trio.to_thread.run_sync, answer, listening)
            plain = await trio.open_tcp_stream("127.0.0.1", listening.getsockname()[1])
            stream: Secured = trio.SSLStream(plain, contexts.client, server_hostname="127.0.0.1")
            client: Client[Any, Any] = Client(stream, ToyDialect())
            async with trio.open_nursery() as nursery:
                await nursery.start(client.run)
                assert await client.wait(client.begin(Echo(b"a"), tag=15)) == Echoed(b"a")
                nursery.cancel_scope.cancel()
    assert heard == [b""]
