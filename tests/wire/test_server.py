"""A server loop without 9P or venti: order, groups, tasks, flushes, new beginnings, limits, ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from fakes.toy_protocol import (
    Echo,
    Echoed,
    Failed,
    Flush,
    Flushed,
    Later,
    Latered,
    PatientDialect,
    Refused,
    Reply,
    Request,
    Restart,
    Restarted,
    ToyDialect,
    ToySession,
    packed,
)
from fakes.toy_server import Foreseeing, echoes, hear, say, served, socket_pair
from ninep.wire import server
from ninep.wire.dialect import Dialect
from ninep.wire.inbox import SMALL
from ninep.wire.limits import Limits
from ninep.wire.server import MANY, serve_connection
from ninep.wire.taskless import in_task


async def test_what_came_together_is_answered_together_and_in_order() -> None:
    session = ToySession()
    async with served(session) as stream:
        await say(stream, (1, Echo(b"a")), (2, Echo(b"b")), (3, Echo(b"c")))
        data = await stream.receive_some()
        assert data == packed(1, Echoed(b"a")) + packed(2, Echoed(b"b")) + packed(3, Echoed(b"c"))
        assert session.commits == 1
    assert session.closes == 1


async def test_who_waits_is_overtaken() -> None:
    session = ToySession()
    async with served(session) as stream:
        await say(stream, (1, Later(b"slow")), (2, Echo(b"quick")))
        await hear(stream, (2, Echoed(b"quick")))
        session.gate(b"slow").set()
        await hear(stream, (1, Latered(b"slow")))


async def test_a_commit_that_fails_answers_for_all_of_its_group() -> None:
    session = ToySession()

    def fail() -> None:
        raise Refused("the disk is full")

    async with served(session) as stream:
        session.on_commit = fail
        await say(stream, (1, Echo(b"a")), (2, Echo(b"b")))
        await hear(stream, (1, Failed(b"the disk is full")), (2, Failed(b"the disk is full")))
        session.on_commit = lambda: None
        await say(stream, (1, Echo(b"a")))
        await hear(stream, (1, Echoed(b"a")))


async def test_a_commit_that_fails_takes_no_answer_from_who_only_asked() -> None:
    session = ToySession()

    def fail() -> None:
        raise Refused("full")

    async with served(session) as stream:
        session.on_commit = fail
        await say(stream, (1, Echo(b"?a")), (2, Echo(b"b")), (3, Flush(9)), (4, Echo(b"?c")))
        await hear(stream, (1, Echoed(b"?a")), (2, Failed(b"full")), (3, Flushed()), (4, Echoed(b"?c")))
        await stream.send_all(b"\0\x02\x63\x07")
        data = await stream.receive_some()
        assert data[2:4] == bytes((100, 7))
        assert b"full" not in data


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("taskless", [False, True], ids=["tasks", "taskless"])
async def test_nor_from_who_waited_for_it(*, waits: bool, taskless: bool) -> None:
    session = ToySession()

    def fail() -> None:
        raise Refused("full")

    async def fail_later() -> None:
        await trio.lowlevel.checkpoint()
        raise Refused("full")

    async def later(body: bytes) -> Reply:
        await in_task()
        await session.gate(body).wait()
        return Latered(body)

    session.later = later
    async with served(session, taskless=taskless) as stream:
        session.on_commit = fail_later if waits else fail
        await say(stream, (1, Later(b"?a")), (2, Later(b"b")))
        session.gate(b"?a").set()
        await hear(stream, (1, Latered(b"?a")))
        session.gate(b"b").set()
        await hear(stream, (2, Failed(b"full")))


async def test_no_reply_leaves_before_its_commit_has_ended(autojump_clock: MockClock) -> None:
    session = ToySession()

    async def lasting() -> None:
        await trio.sleep(5)

    async with served(session) as stream:
        session.on_commit = lasting
        start = trio.current_time()
        await say(stream, (1, Echo(b"a")))
        await hear(stream, (1, Echoed(b"a")))
        assert trio.current_time() - start == 5
        session.gate(b"b").set()
        await say(stream, (1, Later(b"b")))
        await hear(stream, (1, Latered(b"b")))
        assert trio.current_time() - start == 10


@pytest.mark.expects_errors
async def test_a_refusal_and_a_fault_are_answers(caplog: pytest.LogCaptureFixture) -> None:
    session = ToySession()

    def answer(body: bytes) -> Reply:
        raise Refused("no") if body == b"refuse" else ZeroDivisionError

    session.echo = answer
    async with served(session) as stream:
        await say(stream, (1, Echo(b"refuse")), (2, Echo(b"fault")))
        await hear(stream, (1, Failed(b"no")), (2, Failed(b"internal error")))
    assert "ZeroDivisionError" in caplog.text


async def test_no_answer_at_all() -> None:
    session = ToySession()
    session.echo = lambda body: None if body == b"hush" else Echoed(body)
    async with served(session) as stream:
        await say(stream, (1, Echo(b"hush")), (1, Echo(b"speak")))
        await hear(stream, (1, Echoed(b"speak")))


async def test_a_flush_is_answered_after_what_it_gives_up() -> None:
    session = ToySession()
    async with served(session) as stream:
        await say(stream, (1, Later(b"x")))
        await say(stream, (2, Flush(1)))
        await hear(stream, (2, Flushed()))
        assert session.ended == [(b"x", "Cancelled")]
        # Its tag is free again.
        await say(stream, (1, Echo(b"y")))
        await hear(stream, (1, Echoed(b"y")))


async def test_a_flush_that_comes_too_late_finds_the_answer_before_it() -> None:
    session = ToySession()

    async def stubborn(body: bytes) -> Reply:
        with trio.CancelScope(shield=True):
            await session.gate(body).wait()
        return Latered(body)

    session.later = stubborn
    async with served(session) as stream:
        await say(stream, (1, Later(b"x")), (2, Flush(1)), (3, Flush(1)), (4, Flush(2)))
        await trio.testing.wait_all_tasks_blocked()
        session.gate(b"x").set()
        await hear(stream, (1, Latered(b"x")), (2, Flushed()), (3, Flushed()), (4, Flushed()))


async def test_a_flush_of_nothing() -> None:
    async with served(ToySession()) as stream:
        await say(stream, (2, Flush(1)), (3, Flush(3)))
        await hear(stream, (2, Flushed()), (3, Flushed()))


async def test_a_tag_in_use_is_refused_where_requests_can_be_given_up() -> None:
    session = ToySession()
    async with served(session) as stream:
        await say(stream, (1, Later(b"x")), (1, Echo(b"again")))
        data = await stream.receive_some()
        assert data.startswith(packed(1, Failed(b"again"))[2:4]) or data[2] == 100
        session.gate(b"x").set()
        await hear(stream, (1, Latered(b"x")))


async def test_a_new_beginning_gives_up_everything_first() -> None:
    session = ToySession()
    async with served(session) as stream:
        await say(stream, (1, Later(b"x")), (2, Later(b"y")))
        await say(stream, (3, Restart(b"anew")), (4, Echo(b"after")))
        await hear(stream, (3, Restarted(b"anew")), (4, Echoed(b"after")))
        assert session.resets == 1
        assert sorted(session.ended) == [(b"x", "Cancelled"), (b"y", "Cancelled")]


async def test_an_unknown_message_is_refused_and_a_malformed_one_ends_it() -> None:
    session = ToySession()
    async with served(session) as stream:
        await stream.send_all(b"\0\x02\x63\x07")
        data = await stream.receive_some()
        assert data[2:4] == bytes((100, 7))
        await stream.send_all(packed(1, Echo(b"before")) + packed(2, Echo(b"\xff")) + packed(3, Echo(b"behind")))
        await hear(stream, (1, Echoed(b"before")))
        assert await stream.receive_some() == b""
    assert [getattr(request, "body", None) for request in session.begun] == [b"before"]
    assert session.closes == 1


async def test_hanging_up_sends_what_there_is() -> None:
    session = ToySession()
    async with served(session) as stream:
        await say(stream, (1, Later(b"slow")), (2, Echo(b"a")), (3, Echo(b"hangup")), (4, Echo(b"unheard")))
        await hear(stream, (2, Echoed(b"a")))
        session.gate(b"slow").set()
        await hear(stream, (1, Latered(b"slow")))
        assert await stream.receive_some() == b""
    assert Echo(b"unheard") not in session.begun


async def test_a_client_that_leaves_takes_its_requests_with_it(autojump_clock: MockClock) -> None:
    session = ToySession()
    async with served(session) as stream:
        await say(stream, (1, Later(b"x")))
        await trio.testing.wait_all_tasks_blocked()
    assert session.ended == [(b"x", "Cancelled")]
    assert session.closes == 1


async def test_no_more_requests_at_once_than_agreed(autojump_clock: MockClock) -> None:
    session = ToySession()
    async with served(session, limits=Limits(requests=3)) as stream:
        await say(stream, *((n, Later(b"%d" % n)) for n in range(8)))
        await trio.testing.wait_all_tasks_blocked()
        assert session.running == 3
        for n in range(8):
            session.gate(b"%d" % n).set()
        whole = sorted(packed(n, Latered(b"%d" % n)) for n in range(8))
        got = b""
        while len(got) < 8 * len(whole[0]):
            got += await stream.receive_some(8 * len(whole[0]) - len(got))
        # Which of those that run together ends first is nobody's promise.
        assert sorted(got[at : at + 5] for at in range(0, len(got), 5)) == whole
    assert session.most_running == 3


@pytest.mark.parametrize("dialect", [ToyDialect, PatientDialect])
async def test_bytes_come_as_they_like(dialect: Callable[[], Dialect[Any, Any]]) -> None:
    session = ToySession()
    async with served(session, dialect()) as stream:
        for byte in b"".join(packed(n, Echo(b"%d" % n)) for n in range(5)):
            await stream.send_all(bytes((byte,)))
        await hear(stream, *((n, Echoed(b"%d" % n)) for n in range(5)))


# Sessions that want to see what came together


class SettingOut(Foreseeing):
    """Works on requests elsewhere as soon as it has been given them."""

    works_ahead = True


async def test_a_session_is_given_a_run_before_the_first_of_it_begins() -> None:
    session = Foreseeing()
    async with served(session, PatientDialect()) as stream:
        await say(stream, *echoes(0, MANY - 1))
        await hear(stream, *((n, Echoed(b"%d" % n)) for n in range(MANY - 1)))
        assert session.seen == []
        await say(stream, *echoes(100, 12))
        await hear(stream, *((n % 16, Echoed(b"%d" % n)) for n in range(100, 112)))
        assert session.seen == [[request for _, request in echoes(100, 12)]]


async def test_a_run_ends_where_something_else_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a flush, a new beginning, a tag that comes again, and what cannot be read."""
    monkeypatch.setattr(server, "MANY", 1)
    session = Foreseeing()
    async with served(session) as stream:
        pieces = [
            packed(1, Echo(b"a")),
            packed(2, Echo(b"b")),
            packed(3, Flush(9)),
            packed(4, Echo(b"c")),
            packed(5, Restart(b"r")),
            packed(6, Echo(b"d")),
            packed(6, Echo(b"e")),
            b"\0\x02\x63\x07",
            packed(8, Echo(b"f")),
        ]
        await stream.send_all(b"".join(pieces))
        replies = [(1, Echoed(b"a")), (2, Echoed(b"b")), (3, Flushed()), (4, Echoed(b"c")), (5, Restarted(b"r"))]
        await hear(stream, *replies, (6, Echoed(b"d")), (6, Echoed(b"e")))
        assert (await stream.receive_some())[2:4] == bytes((100, 7))
    assert session.seen == [[Echo(b"a"), Echo(b"b")], [Echo(b"c")], [Echo(b"d")], [Echo(b"e")], [Echo(b"f")]]


async def test_a_tag_that_waits_is_refused_in_the_run_that_began_it() -> None:
    session = ToySession()
    async with served(session) as stream:
        await say(stream, (1, Later(b"x")), (2, Echo(b"a")), (1, Echo(b"again")), (2, Echo(b"b")))
        await hear(stream, (2, Echoed(b"a")), (1, Failed(b"duplicate tag")), (2, Echoed(b"b")))
        session.gate(b"x").set()
        await hear(stream, (1, Latered(b"x")))


@pytest.mark.parametrize("bad", [0, 5, 11])
async def test_what_cannot_be_read_is_told_when_its_turn_comes(bad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MANY", 1)
    session = Foreseeing()
    messages = [packed(tag, request) for tag, request in echoes(0, 12)]
    messages[bad] = b"\0\x02\x63\x07"
    async with served(session, PatientDialect()) as stream:
        await stream.send_all(b"".join(messages))
        await hear(stream, *((n, Echoed(b"%d" % n)) for n in range(bad)))
        data = b""
        while len(data) < 4:
            data += await stream.receive_some(4 - len(data))
        assert data[2:4] == bytes((100, 7))
        size = int.from_bytes(data[:2]) - 2
        while size:
            size -= len(await stream.receive_some(size))
        await hear(stream, *((n, Echoed(b"%d" % n)) for n in range(bad + 1, 12)))
        assert session.seen == [
            [request for _, request in part] for part in (echoes(0, bad), echoes(bad + 1, 11 - bad)) if part
        ]


async def test_a_malformed_one_among_them_ends_it_after_those_before_it() -> None:
    session = Foreseeing()
    messages = [packed(tag, request) for tag, request in echoes(0, 12)]
    messages[9] = packed(9, Echo(b"\xff"))
    async with served(session, PatientDialect()) as stream:
        await stream.send_all(b"".join(messages))
        await hear(stream, *((n, Echoed(b"%d" % n)) for n in range(9)))
        assert await stream.receive_some() == b""


LONG = b"x" * (SMALL // 12)
"""So long that of three times ``MANY``, more than so many do not come with the first that are received."""


@pytest.mark.parametrize("session", [SettingOut(), Foreseeing()])
async def test_more_is_shown_before_the_first_begins_where_work_is_under_way(session: Foreseeing) -> None:
    near, far = await socket_pair()
    messages = [packed(n % 16, Echo(b"%d" % n + LONG)) for n in range(3 * MANY)]
    async with near, trio.open_nursery() as nursery:
        await near.send_all(b"".join(messages))
        nursery.start_soon(serve_connection, far, PatientDialect(2 * len(LONG)), session)
        await hear(near, *((n % 16, Echoed(b"%d" % n + LONG)) for n in range(3 * MANY)))
        await near.send_eof()
    assert len(session.seen) == 2
    assert session.begun_when_shown == [0, 0 if session.works_ahead else len(session.seen[0])]


@pytest.mark.parametrize("end", [b"", b"\0\1", packed(1, Echo(b"\xff"))])
async def test_what_was_shown_begins_before_the_connection_ends(end: bytes) -> None:
    """It ends with the last of them, with a frame that is none, and with one that cannot be read."""
    session = SettingOut()
    near, far = await socket_pair()
    async with near, trio.open_nursery() as nursery:
        nursery.start_soon(serve_connection, far, PatientDialect(), session)
        await near.send_all(b"".join(packed(n, Echo(b"%d" % n)) for n in range(MANY)) + end)
        if not end:
            await near.send_eof()
        await hear(near, *((n, Echoed(b"%d" % n)) for n in range(MANY)))
        assert await near.receive_some() == b""
    assert session.closes == 1


async def test_what_was_shown_may_never_begin() -> None:
    session = SettingOut()
    near, far = await socket_pair()
    async with near, trio.open_nursery() as nursery:
        nursery.start_soon(serve_connection, far, PatientDialect(), session)
        session.after_shown = nursery.cancel_scope.cancel
        await near.send_all(b"".join(packed(n, Echo(b"%d" % n)) for n in range(MANY)))
        await trio.sleep_forever()
    assert session.seen
    assert session.begun == []
    assert session.closes == 1


async def test_what_is_put_off_is_done_when_the_answers_have_left() -> None:
    near, far = await socket_pair()
    seen: list[bytes] = []
    rested = trio.Event()

    class PuttingOff(ToySession):
        def rest(self) -> None:
            with suppress(BlockingIOError):  # nothing was asked yet
                seen.append(os.read(near.socket.fileno(), 100))
                rested.set()

    session = PuttingOff()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_connection, far, ToyDialect(), session)
        await near.send_all(packed(1, Echo(b"a")) + packed(2, Echo(b"b")))
        with trio.fail_after(10):
            await rested.wait()
        assert b"".join(seen) == packed(1, Echoed(b"a")) + packed(2, Echoed(b"b"))
        await near.aclose()


async def test_what_began_together_may_have_no_reply_or_an_error() -> None:
    class Choosy(Foreseeing):
        def begin_all(self, run: Collection[Request]) -> Callable[[Request], Any]:
            numbers = dict(zip(run, range(len(run)), strict=True))

            def begin(request: Request) -> Any:
                number = numbers[request]
                if number % 4 == 3:
                    raise Refused("odd")
                return None if number % 4 == 1 else self.begin(request)

            return begin

    async with served(Choosy(), PatientDialect()) as stream:
        await say(stream, *echoes(0, MANY))
        refused = Failed(b"odd")
        await hear(
            stream,
            *((n, refused if n % 2 else Echoed(b"%d" % n)) for n in range(MANY) if n % 4 != 1),
        )
