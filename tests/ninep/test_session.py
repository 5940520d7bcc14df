"""The conversation itself: versions, fids, flushes, and files that make a request wait."""

from __future__ import annotations

import contextlib

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as some

from fakes.ninep_client import connected, talking
from fakes.slow_tree import SlowTree
from ninep.net.errors import ConnectionLost
from ninep.protocol import messages as m
from ninep.protocol.dialect import NinePDialect
from ninep.protocol.errors import FileError
from ninep.ram.tree import RamTree
from ninep.server.files import File
from ninep.server.serve import serve, serve_stream
from ninep.server.session import NinePSession
from ninep.wire.client import Client

OWNER = "glenda"


@pytest.mark.parametrize(
    ("msize", "version", "answer"),
    [
        (8192, "9P2000", m.Rversion(8192, "9P2000")),
        (1 << 30, "9P2000", m.Rversion(1048600, "9P2000")),
        (8192, "9P2000.u", m.Rversion(8192, "9P2000.u")),
        (8192, "9P2000.L", m.Rversion(8192, "9P2000.L")),
        (8192, "9P2000.x", m.Rversion(8192, "9P2000")),
        (8192, "9P1999", m.Rversion(8192, "unknown")),
        (8192, "", m.Rversion(8192, "unknown")),
        (8192, "9P20001", m.Rversion(8192, "unknown")),
        (256, "9P2000", m.Rversion(256, "9P2000")),
    ],
)
def test_version(msize: int, version: str, answer: m.Rversion) -> None:
    assert NinePSession(RamTree(OWNER), NinePDialect()).begin(m.Tversion(msize, version)) == answer


def test_version_must_come_first_and_be_big_enough() -> None:
    session = NinePSession(RamTree(OWNER), NinePDialect())
    with pytest.raises(FileError, match="Tversion"):
        session.begin(m.Tattach(0, m.NOFID, OWNER, ""))
    with pytest.raises(FileError, match="too small"):
        session.begin(m.Tversion(255, "9P2000"))
    session.begin(m.Tversion(8192, "nonsense"))
    with pytest.raises(FileError, match="Tversion"):
        session.begin(m.Tattach(0, m.NOFID, OWNER, ""))


async def test_new_version_forgets_fids() -> None:
    async with connected(RamTree(OWNER)) as raw:
        await raw.create("temporary", mode=m.ORDWR | m.ORCLOSE)
        await raw.ask(m.Tversion(8192, "9P2000"), tag=m.NOTAG)
        assert await raw.refused(m.Tstat(0)) == "fid unknown or out of range"
        await raw.ask(m.Tattach(0, m.NOFID, OWNER, ""))
        assert await raw.list() == []


async def test_fids() -> None:
    async with connected(RamTree(OWNER)) as raw:
        assert await raw.refused(m.Tauth(5, OWNER, "")) == "authentication not required"
        assert await raw.refused(m.Tattach(0, m.NOFID, OWNER, "")) == "fid already in use"
        assert await raw.refused(m.Tattach(9, 3, OWNER, "")) == "fid unknown or out of range"
        fid = await raw.walk()
        assert await raw.refused(m.Twalk(0, fid, [])) == "fid already in use"
        assert await raw.refused(m.Twalk(77, 78, [])) == "fid unknown or out of range"
        for request in (m.Topen(77, 0), m.Tread(77, 0, 1), m.Twrite(77, 0, b""), m.Tclunk(77), m.Tremove(77)):
            assert await raw.refused(request) == "fid unknown or out of range"
        await raw.ask(m.Tclunk(fid))
        await raw.ask(m.Twalk(0, fid, []))


async def test_fids_are_bounded() -> None:
    tree = RamTree(OWNER)
    session = NinePSession(tree, NinePDialect(), max_fids=100)
    session.begin(m.Tversion(8192, "9P2000"))
    session.begin(m.Tattach(0, m.NOFID, OWNER, ""))
    for fid in range(1, 100):
        session.begin(m.Twalk(0, fid, []))
    with pytest.raises(FileError, match="too many fids"):
        session.begin(m.Twalk(0, 100, []))
    session.begin(m.Tclunk(5))
    session.begin(m.Twalk(0, 100, []))


async def test_flush_cancels_and_is_answered_after(autojump_clock: trio.testing.MockClock) -> None:
    tree = SlowTree("walk", "open", "clunk")
    async with connected(tree) as raw:
        fid = await raw.open("file")
        call = raw.client.begin(m.Tread(fid, 0, 10))
        again = raw.client.begin(m.Tflush(call.tag))
        twice = raw.client.begin(m.Tflush(call.tag))
        assert await raw.client.wait(again) == m.Rflush()
        assert await raw.client.wait(twice) == m.Rflush()
        assert call.reply is None
        assert tree.log[-1] == "read 0 cancelled"


async def test_flush_of_what_is_over_or_never_was() -> None:
    async with connected(RamTree(OWNER)) as raw:
        for tag in (999, 0, m.NOTAG):
            assert await raw.ask(m.Tflush(tag)) == m.Rflush()


async def test_flushed_walk_leaves_no_fid(autojump_clock: trio.testing.MockClock) -> None:
    tree = SlowTree("clunk", "stat")
    async with connected(tree) as raw:
        call = raw.client.begin(m.Twalk(0, 5, ["a"]))
        await raw.client.wait(raw.client.begin(m.Tflush(call.tag)))
        assert await raw.refused(m.Tstat(5)) == "fid unknown or out of range"
        tree.let("walk")
        await raw.ask(m.Twalk(0, 5, ["a"]))
        assert (await raw.ask(m.Tstat(5))).stat.name == "a"


async def test_short_walk_that_waits_leaves_no_fid() -> None:
    async with connected(SlowTree("walk", "clunk")) as raw:
        assert len((await raw.ask(m.Twalk(0, 5, ["short", "x"]))).wqids) == 1
        assert await raw.refused(m.Tclunk(5)) == "fid unknown or out of range"


async def test_cancelled_caller_flushes(autojump_clock: trio.testing.MockClock) -> None:
    tree = SlowTree("walk", "open", "clunk")
    async with connected(tree) as raw:
        fid = await raw.open("file")
        with trio.move_on_after(1) as scope:
            await raw.read(fid)
        assert scope.cancelled_caught
        assert tree.log[-1] == "read 0 cancelled"


async def test_reads_share_a_fid_and_clunk_waits_for_them(autojump_clock: trio.testing.MockClock) -> None:
    tree = SlowTree("walk", "open")
    async with connected(tree) as raw:
        fid = await raw.open("file")
        calls = [raw.client.begin(m.Tread(fid, offset, 1)) for offset in (1, 2)]
        calls.append(raw.client.begin(m.Tclunk(fid)))
        raw.client.send()
        await trio.sleep(1)
        assert sorted(tree.log[-2:]) == ["read 1", "read 2"]
        assert await raw.refused(m.Tread(fid, 3, 1)) == "fid unknown or out of range"
        tree.let("read 2")
        await trio.sleep(1)
        assert "clunk" not in tree.log
        tree.let("read 1")
        tree.let("clunk")
        assert [type(await raw.client.wait(call)) for call in calls] == [m.Rread, m.Rread, m.Rclunk]


async def test_requests_in_one_go_wait_for_each_other(autojump_clock: trio.testing.MockClock) -> None:
    """A walk, an open, reads and a clunk of one fid, sent before any is answered."""
    tree = SlowTree("clunk")
    async with connected(tree) as raw:
        requests: list[m.Request] = [
            m.Twalk(0, 5, ["a"]),
            m.Topen(5, m.OREAD),
            m.Tread(5, 1, 1),
            m.Tread(5, 2, 1),
            m.Tstat(5),
            m.Tclunk(5),
            m.Twalk(0, 5, ["b"]),
        ]
        calls = [raw.client.begin(request) for request in requests]
        raw.client.send()
        for what in ("walk", "open", "read 2", "read 1", "stat"):
            await trio.sleep(1)
            tree.let(what)
        kinds = [type(await raw.client.wait(call)) for call in calls]
        assert kinds == [m.Rwalk, m.Ropen, m.Rread, m.Rread, m.Rstat, m.Rclunk, m.Rwalk]


async def test_what_waited_for_a_failed_walk_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    tree = SlowTree("clunk")
    async with connected(tree) as raw:
        walk = raw.client.begin(m.Twalk(0, 5, ["short", "x"]))
        opening = raw.client.begin(m.Topen(5, m.OREAD))
        tree.let("walk")
        assert len((await raw.client.wait(walk)).wqids) == 1
        with pytest.raises(FileError, match="fid unknown"):
            await raw.client.wait(opening)


async def test_hanging_up_cancels_and_gives_up_fids(autojump_clock: trio.testing.MockClock) -> None:
    tree = SlowTree("walk", "open", "clunk")
    async with connected(tree) as raw:
        fid = await raw.open("file")
        raw.client.begin(m.Tread(fid, 0, 10))
        raw.client.send()
        await trio.sleep(0.1)
    assert "read 0 cancelled" in tree.log
    assert tree.log.count("clunk done") == 2


async def test_unknown_message_costs_nothing() -> None:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, RamTree(OWNER))
        await near.send_all(bytes.fromhex("08000000 18 0100 00"))
        assert (await near.receive_some()).endswith(b"unknown message")
        await near.aclose()


@pytest.mark.parametrize("data", ["06000000 64", "ffffffff 64 0000", "13000000 64 ffff 00200000 4000 395032303030"])
async def test_malformed_ends_the_connection(data: str) -> None:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_stream, far, RamTree(OWNER))
        await near.send_all(bytes.fromhex(data))
        assert await near.receive_some() == b""


@given(some.lists(some.binary(min_size=1, max_size=60), max_size=5), some.booleans())
def test_garbage_disturbs_nobody_else(chunks: list[bytes], framed: bool) -> None:
    """Any bytes on one connection: it may end, the other goes on."""

    async def scene() -> None:
        tree = RamTree(OWNER)
        near, far = trio.testing.memory_stream_pair()
        async with connected(tree) as raw, trio.open_nursery() as nursery:
            nursery.start_soon(serve_stream, far, tree)
            if framed:
                hello = bytes.fromhex("13000000 64 ffff 00200000 0600 395032303030")
                attach = bytes.fromhex("14000000 68 0700 00000000 ffffffff 010075 0000")
                await near.send_all(hello + attach)
            with contextlib.suppress(trio.BrokenResourceError):
                for chunk in chunks:
                    await near.send_all((len(chunk) + 4).to_bytes(4, "little") + chunk if framed else chunk)
            await near.aclose()
            await raw.made("file", data=b"fine")
            assert await raw.content("file") == b"fine"

    trio.run(scene)


@pytest.mark.expects_errors
async def test_own_fault_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(RamTree):
        def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
            raise KeyError("a secret")

    async with connected(Broken(OWNER), attach=False) as raw:
        assert await raw.refused(m.Tattach(0, m.NOFID, OWNER, "")) == "internal error"
    assert "a secret" in caplog.text


async def test_many_at_once_over_tcp() -> None:
    """Five clients with a thousand requests in flight each, over real sockets."""
    tree = RamTree(OWNER)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]

    async def work(number: int) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with talking(stream) as raw:
            await raw.ask(m.Tattach(0, m.NOFID, OWNER, ""))
            fid = await raw.create(f"{number}")
            calls = [raw.client.begin(m.Twrite(fid, n * 10, b"%10d" % n)) for n in range(1000)]
            for call in calls:
                assert (await raw.client.wait(call)).count == 10
            reads = [raw.client.begin(m.Tread(fid, n * 10, 10)) for n in range(1000)]
            for n, call in enumerate(reads):
                assert bytes((await raw.client.wait(call)).data) == b"%10d" % n

    async with trio.open_nursery() as nursery:
        await nursery.start(serve, tree, listeners)
        async with trio.open_nursery() as workers:
            for number in range(5):
                workers.start_soon(work, number)
        nursery.cancel_scope.cancel()


async def test_server_that_goes_away_fails_the_callers() -> None:
    near, far = trio.testing.memory_stream_pair()
    client: Client[m.Request, m.Reply] = Client(near, NinePDialect())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run)

        async def hang_up() -> None:
            await far.receive_some()
            await far.aclose()

        nursery.start_soon(hang_up)
        with pytest.raises(ConnectionLost):
            await client.call(m.Tversion(8192, "9P2000"), tag=m.NOTAG)
