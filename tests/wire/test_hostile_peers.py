"""Peers that ask for much and take nothing, or are gone; requests and replies that go wrong in unforeseen ways."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing

from fakes.toy_protocol import (
    Buffer,
    Echo,
    Echoed,
    Failed,
    Flush,
    Flushed,
    Later,
    Latered,
    PatientDialect,
    Reply,
    Request,
    Restart,
    Restarted,
    ToyDialect,
    ToySession,
    packed,
)
from fakes.toy_server import Foreseeing, echoes, hear, say, served, socket_pair
from ninep.wire import limits, server
from ninep.wire.limits import Limits
from ninep.wire.outbox import Outbox
from ninep.wire.server import serve_connection

LARGE = b"x" * 60_000


class Choking(ToyDialect):
    """Its decoder and its encoder fail where nobody foresaw it."""

    def decode_request(self, frame: memoryview) -> tuple[int, Request]:
        if bytes(frame[2:]) == b"choke":
            raise ZeroDivisionError
        return super().decode_request(frame)

    def encode(self, tag: int, message: Request | Reply, out: list[Buffer]) -> int:
        if bytes(getattr(message, "body", b"")) == b"unsayable":
            raise ZeroDivisionError
        return super().encode(tag, message, out)


async def test_nothing_is_begun_for_a_peer_that_is_gone() -> None:
    session = ToySession()
    session.echo = lambda _: Echoed(LARGE)
    near, far = await socket_pair()
    await near.send_all(b"".join(packed(n % 16, Echo(b"%d" % n)) for n in range(2000)))
    await near.aclose()
    await serve_connection(far, ToyDialect(), session)
    assert len(session.begun) <= Limits().reply_bytes // len(LARGE) + 2
    assert session.closes == 1


async def test_what_runs_for_a_peer_that_takes_no_replies_is_given_up() -> None:
    session = ToySession()
    near, far = await socket_pair()
    with trio.fail_after(10):
        async with near, trio.open_nursery() as nursery:
            nursery.start_soon(serve_connection, far, ToyDialect(), session)
            await say(near, (1, Later(b"x")))
            await trio.testing.wait_all_tasks_blocked()
            near.socket.shutdown(socket.SHUT_RD)
            # It still sends, and does not hang up.
            await say(near, (2, Echo(b"y")))
    assert session.ended == [(b"x", "Cancelled")]
    assert session.closes == 1


async def test_a_broken_outbox_keeps_nothing() -> None:
    near, far = await socket_pair()
    await near.aclose()
    outbox = Outbox(far)
    for _ in range(3):
        outbox.push([LARGE], len(LARGE))
        outbox.send_now()
    assert outbox.broken
    assert outbox.size == 0
    with trio.fail_after(10):
        await outbox.run()
        await outbox.wait_below(1)
    await far.aclose()


async def test_others_have_their_turn_while_many_requests_are_worked_off(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(server, "perf_counter", lambda: now)
    turns: list[int] = []
    session = ToySession()

    def slowly(body: bytes) -> Reply:
        nonlocal now
        now += server.SLICE / 4
        return Echoed(body)

    session.echo = slowly

    async def other() -> None:
        while True:
            turns.append(len(session.begun))
            await trio.lowlevel.checkpoint()

    async with served(session) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await say(stream, *((n % 16, Echo(b"%d" % n)) for n in range(100)))
        await hear(stream, *((n % 16, Echoed(b"%d" % n)) for n in range(100)))
        nursery.cancel_scope.cancel()
    assert max(later - earlier for earlier, later in pairwise(turns)) <= 10


async def test_and_while_it_begins_what_it_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(server, "perf_counter", lambda: now)
    turns: list[int] = []
    session = Foreseeing()

    def slowly(body: bytes) -> Reply:
        nonlocal now
        now += server.SLICE / 4
        return Echoed(body)

    session.echo = slowly

    async def other() -> None:
        while True:
            turns.append(len(session.begun))
            await trio.lowlevel.checkpoint()

    async with served(session, PatientDialect()) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await say(stream, *echoes(0, 100))
        await hear(stream, *((n % 16, Echoed(b"%d" % n)) for n in range(100)))
        nursery.cancel_scope.cancel()
    assert session.seen
    assert max(later - earlier for earlier, later in pairwise(turns)) <= 10


async def test_and_while_they_come_between_flushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of one request each: the turn of a connection does not begin again with every run."""
    now = 0.0
    monkeypatch.setattr(server, "perf_counter", lambda: now)
    turns: list[int] = []
    session = ToySession()

    def slowly(body: bytes) -> Reply:
        nonlocal now
        now += server.SLICE / 4
        return Echoed(body)

    session.echo = slowly

    async def other() -> None:
        while True:
            turns.append(len(session.begun))
            await trio.lowlevel.checkpoint()

    async with served(session) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(other)
        pairs = [((1, Echo(b"%d" % n)), (2, Flush(9))) for n in range(100)]
        await say(stream, *(one for pair in pairs for one in pair))
        await hear(stream, *(one for n in range(100) for one in ((1, Echoed(b"%d" % n)), (2, Flushed()))))
        nursery.cancel_scope.cancel()
    assert max(later - earlier for earlier, later in pairwise(turns)) <= 10


async def test_replies_to_come_count_before_they_are_there() -> None:
    class Bringing(ToyDialect):
        def brings(self, request: Request) -> int:
            return 1000

    session = ToySession()
    async with served(session, Bringing(), Limits(request_bytes=3000)) as stream:
        await say(stream, *((n, Later(b"%d" % n)) for n in range(8)))
        await trio.testing.wait_all_tasks_blocked()
        assert session.running == 3
        for n in range(8):
            session.gate(b"%d" % n).set()
            await hear(stream, (n, Latered(b"%d" % n)))


async def test_many_connections_share_what_may_be_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bringing(ToyDialect):
        def brings(self, request: Request) -> int:
            return 1000

    monkeypatch.setattr(limits, "ALL", 12_000)
    monkeypatch.setattr(limits, "LEAST", 2000)
    for connections, running in ((1, 8), (3, 4), (10, 2)):
        sessions = [ToySession() for _ in range(connections)]
        async with AsyncExitStack() as stack:
            for session in sessions:
                stream = await stack.enter_async_context(served(session, Bringing()))
                await trio.testing.wait_all_tasks_blocked()
                stack.callback(lambda session=session: [session.gate(b"%d" % n).set() for n in range(8)])
                session.stream = stream  # type: ignore[attr-defined]
            for session in sessions:
                await say(session.stream, *((n, Later(b"%d" % n)) for n in range(8)))  # type: ignore[attr-defined]
            await trio.testing.wait_all_tasks_blocked()
            assert {session.running for session in sessions} == {running}


async def test_nothing_more_begins_while_the_peer_does_not_take_what_there_is() -> None:
    session = ToySession()

    async def large(body: bytes) -> Reply:
        await trio.lowlevel.checkpoint()
        return Latered(LARGE)

    session.later = large
    near, far = await socket_pair()
    far.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(LARGE))
    async with trio.open_nursery() as nursery:
        few = Limits(requests=2, reply_bytes=1000)
        nursery.start_soon(partial(serve_connection, far, ToyDialect(), session, limits=few))
        await say(near, *((n % 16, Later(b"%d" % n)) for n in range(64)))
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(session.begun) < 16
        await near.aclose()


@pytest.mark.expects_errors
@pytest.mark.parametrize("request_kind", [Echo, Later])
@pytest.mark.parametrize("taskless", [False, True])
async def test_a_reply_that_cannot_be_said_is_an_error_of_its_request(
    request_kind: Callable[[bytes], Request], taskless: bool, caplog: pytest.LogCaptureFixture
) -> None:
    session = ToySession()

    async def later(body: bytes) -> Reply:
        return Latered(body)

    session.later = later
    async with served(session, Choking(), taskless=taskless) as stream:
        await say(stream, (1, request_kind(b"unsayable")), (2, Echo(b"b")))
        answers = [packed(1, Failed(b"internal error")), packed(2, Echoed(b"b"))]
        data = b""
        while len(data) < sum(map(len, answers)):
            data += await stream.receive_some()
        assert data in (b"".join(answers), b"".join(reversed(answers)))
    assert f"{request_kind.__name__}(body=9 bytes)" in caplog.text


@pytest.mark.expects_errors
async def test_and_so_it_is_where_many_were_shown_together() -> None:
    class Both(Choking):
        flushes = PatientDialect.flushes

    async with served(Foreseeing(), Both()) as stream:
        await say(stream, *echoes(0, 5), (5, Echo(b"unsayable")), *echoes(6, 10))
        await hear(
            stream,
            *((n, Echoed(b"%d" % n)) for n in range(5)),
            (5, Failed(b"internal error")),
            *((n, Echoed(b"%d" % n)) for n in range(6, 16)),
        )


@pytest.mark.expects_errors
@pytest.mark.parametrize("shown", [False, True])
async def test_a_decoder_that_fails_ends_its_connection_and_answers_for_nobody_else(
    shown: bool, caplog: pytest.LogCaptureFixture
) -> None:
    session = Foreseeing() if shown else ToySession()
    async with served(session, Choking()) as stream:
        await say(stream, *echoes(0, 9), (9, Echo(b"choke")), (10, Echo(b"behind")))
        await hear(stream, *((n, Echoed(b"%d" % n)) for n in range(9)))
        assert await stream.receive_some() == b""
    assert "ZeroDivisionError" in caplog.text
    assert Echo(b"behind") not in session.begun


@pytest.mark.expects_errors
@pytest.mark.parametrize("after", [-1, 0, 3])
async def test_a_session_that_fails_at_a_run_answers_all(after: int) -> None:
    """When it is given it, and when it begins it."""

    class Failing(Foreseeing):
        def begin_all(self, run: Collection[Request]) -> Callable[[Request], Any]:
            if after < 0:
                raise ZeroDivisionError

            def begin(request: Request) -> Any:
                if request in list(run)[after:]:
                    raise ZeroDivisionError
                return self.begin(request)

            return begin

    async with served(Failing(), PatientDialect()) as stream:
        await say(stream, *echoes(0, 9))
        whole = 9 if after < 0 else after
        await hear(
            stream,
            *((n, Echoed(b"%d" % n)) for n in range(whole)),
            *((n, Failed(b"internal error")) for n in range(whole, 9)),
        )


async def test_flushes_under_a_tag_in_use_are_refused() -> None:
    session = ToySession()

    async def stubborn(body: bytes) -> Reply:
        with trio.CancelScope(shield=True):
            await session.gate(body).wait()
        return Latered(body)

    session.later = stubborn
    async with served(session) as stream:
        await say(stream, (1, Later(b"x")), (2, Flush(1)), *[(2, Flush(1))] * 3)
        await hear(stream, *[(2, Failed(b"duplicate tag"))] * 3)
        session.gate(b"x").set()
        await hear(stream, (1, Latered(b"x")), (2, Flushed()))


@pytest.mark.expects_errors
async def test_a_new_beginning_that_is_refused_leaves_the_connection() -> None:
    class Refusing(ToySession):
        def begin(self, request: Request) -> Any:
            if request == Restart(b"no"):
                raise ZeroDivisionError
            return super().begin(request)

    async with served(Refusing()) as stream:
        await say(stream, (1, Restart(b"no")), (2, Restart(b"yes")))
        await hear(stream, (1, Failed(b"internal error")), (2, Restarted(b"yes")))
