"""What one client may use of a server: past each limit it gets an error or a close, and the others notice nothing."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from fakes.ninep_client import Raw, talking
from fakes.slow_tree import SlowTree
from ninep.protocol import messages as m
from ninep.protocol.codec import encode
from ninep.ram.tree import RamTree
from ninep.server.files import FileTree
from ninep.server.serve import serve, serve_stream
from ninep.wire.limits import Limits

OWNER = "glenda"


@asynccontextmanager
async def served(tree: FileTree, **limits: Any) -> AsyncIterator[int]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, tree, listeners, **limits))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def attached(port: int) -> AsyncIterator[Raw]:
    async with talking(await trio.open_tcp_stream("127.0.0.1", port)) as raw:
        await raw.ask(m.Tattach(0, m.NOFID, OWNER, ""))
        yield raw


async def test_fids() -> None:
    async with served(RamTree(OWNER), max_fids=10) as port, attached(port) as greedy, attached(port) as other:
        for _ in range(9):
            await greedy.walk()
        assert "too many fids" in await greedy.refused(m.Twalk(0, 100, []))
        assert "too many fids" in await greedy.refused(m.Tattach(100, m.NOFID, OWNER, ""))
        await other.made("file", data=b"fine")
        await greedy.ask(m.Tclunk(1))
        await greedy.ask(m.Twalk(0, 1, ["file"]))


async def test_who_says_nothing_makes_room() -> None:
    async with served(RamTree(OWNER), connections=2) as port:
        silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(2)]
        async with attached(port) as first, attached(port) as second:
            for stream in silent:
                assert await stream.receive_some() == b""
                await stream.aclose()
            async with await trio.open_tcp_stream("127.0.0.1", port) as refused:
                assert await refused.receive_some() == b""
            await first.made("file", data=b"fine")
            await second.walk("file")


def packed_version() -> bytes:
    frame: list[Any] = []
    encode(m.NOTAG, m.Tversion(8192, m.VERSION), frame)
    return b"".join(frame)


@pytest.mark.parametrize("connections", [1, 3])
async def test_connections(connections: int, caplog: pytest.LogCaptureFixture) -> None:
    async with served(RamTree(OWNER), connections=connections) as port, attached(port) as first:
        streams = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(connections - 1)]
        for stream in streams:
            await stream.send_all(packed_version())
            await stream.receive_some()
        async with await trio.open_tcp_stream("127.0.0.1", port) as refused:
            assert await refused.receive_some() == b""
        assert "a connection was refused" in caplog.text
        await first.made("file", data=b"fine")
        for stream in streams:
            await stream.aclose()
        if streams:
            while True:
                # Its place is free when the server has seen it go.
                try:
                    async with attached(port) as later:
                        assert await later.content("file") == b"fine"
                        break
                except* Exception:
                    await trio.sleep(0.01)


async def test_requests_in_flight_wait_and_the_rest_goes_on() -> None:
    tree = SlowTree("open", "clunk", "walk")
    async with served(tree, limits=Limits(requests=4)) as port, attached(port) as greedy, attached(port) as other:
        fids = [await greedy.walk("a") for _ in range(8)]
        for fid in fids:
            await greedy.ask(m.Topen(fid, m.OREAD))
        calls = [greedy.client.begin(m.Tread(fid, 0, 10)) for fid in fids]
        greedy.client.send()
        other_fid = await other.walk("b")
        await other.ask(m.Topen(other_fid, m.OREAD))
        while tree.log.count("read 0") < 4:  # noqa: ASYNC110 a log has no event
            await trio.sleep(0.01)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert tree.log.count("read 0") == 4
        tree.let("read 0")
        for call in calls:
            await greedy.client.wait(call)


async def closed(limits: Limits, *speech: tuple[float, bytes], tree: FileTree | None = None) -> float:
    """When a connection is closed by the server on which pieces are sent at given times."""
    near, far = trio.testing.memory_stream_pair()
    begun = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: serve_stream(far, tree or RamTree(OWNER), limits=limits))

        async def speak() -> None:
            for time, data in speech:
                await trio.sleep_until(begun + time)
                with contextlib.suppress(trio.BrokenResourceError):
                    await near.send_all(data)

        nursery.start_soon(speak)
        while await near.receive_some():
            pass
        return trio.current_time() - begun


def packed(tag: int, request: m.Request) -> bytes:
    pieces: list[Any] = []
    encode(tag, request, pieces)
    return b"".join(pieces)


HELLO = packed(m.NOTAG, m.Tversion(8192, "9P2000"))
ATTACH = packed(1, m.Tattach(0, m.NOFID, OWNER, ""))


async def test_who_says_nothing_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    limits = Limits(handshake=30)
    assert await closed(limits) == pytest.approx(30)
    assert await closed(limits, (0, HELLO[:5]), (20, HELLO[5:10])) == pytest.approx(30)


async def test_who_has_begun_may_be_silent_unless_told_otherwise(autojump_clock: trio.testing.MockClock) -> None:
    with trio.move_on_after(100_000) as scope:
        await closed(Limits(handshake=30), (0, HELLO))
    assert scope.cancelled_caught


async def test_who_is_idle_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    limits = Limits(idle=100)
    assert await closed(limits, (0, HELLO)) == pytest.approx(100)
    assert await closed(limits, (0, HELLO), (90, ATTACH)) == pytest.approx(190)
    part = [(time, ATTACH[time // 50 - 1 : time // 50]) for time in range(50, 500, 50)]
    assert await closed(limits, (0, HELLO), *part) == pytest.approx(100), "pieces of a request are none"


@pytest.mark.parametrize("handshake", [60, math.inf])
async def test_who_may_not_be_idle_for_long_is_not_so_at_the_start_either(
    autojump_clock: trio.testing.MockClock, handshake: float
) -> None:
    limits = Limits(idle=10, handshake=handshake)
    assert await closed(limits) == pytest.approx(10)
    assert await closed(limits, (0, HELLO)) == pytest.approx(10)


async def test_who_waits_for_an_answer_is_not_idle(autojump_clock: trio.testing.MockClock) -> None:
    tree = SlowTree("clunk")
    attach = packed(1, m.Tattach(0, m.NOFID, OWNER, "slow"))

    async def answer() -> None:
        await trio.sleep(1000)
        tree.let("attach")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        ended = await closed(Limits(idle=100, handshake=math.inf), (0, HELLO), (10, attach), tree=tree)
        assert 1000 < ended <= 1101


async def test_a_flood_of_requests_lets_others_in() -> None:
    """Tens of thousands of requests in one go: another client's single one is not behind all of them."""
    order: list[str] = []
    tree = RamTree(OWNER)
    near, far = trio.testing.memory_stream_pair()
    flood = b"".join(packed(2, m.Tstat(0)) for _ in range(20_000))

    async def other() -> None:
        while "flooded" not in order:
            order.append("turn")
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_stream, far, tree, limits=Limits(reply_bytes=1 << 30)))
        await near.send_all(HELLO + ATTACH)
        await near.send_all(flood)
        nursery.start_soon(other)
        received = 0
        while received < 20_000 * 60:
            received += len(await near.receive_some())
        order.append("flooded")
        assert order.count("turn") > 15
        await near.aclose()
