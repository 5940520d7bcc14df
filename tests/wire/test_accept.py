"""Letting clients in: where there is no room for them, where it fails, and that a conversation ends nobody else."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from ninep.net.accept import PAUSE, accept, has_spoken
from ninep.tasks.sparing import SILENCE

Stream = trio.StapledStream[Any, Any]


class Listener(trio.abc.Listener[Any]):
    """Gives what it is told to give: errors, then streams. ``near`` are the other ends."""

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)
        self.near: list[Stream] = []
        self.closed = False
        self._sender, self._receiver = trio.open_memory_channel[Stream](100)

    def come(self) -> Stream:
        near, far = trio.testing.memory_stream_pair()
        self._sender.send_nowait(far)
        self.near.append(near)
        return near

    async def accept(self) -> Any:
        if self.errors:
            await trio.lowlevel.checkpoint()
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return await self._receiver.receive()

    async def aclose(self) -> None:
        self.closed = True
        await trio.lowlevel.checkpoint()


def run(listener: Listener, converse: Callable[[Any], Awaitable[None]], nursery: trio.Nursery, **keywords: Any) -> None:
    async def let_in() -> None:
        await accept([listener], converse, **keywords)  # type: ignore[list-item]  # all that it needs

    nursery.start_soon(let_in)


async def speaking(stream: Stream) -> None:
    has_spoken(stream)
    await stream.receive_some(1)


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPERM, errno.ENETDOWN, errno.EPROTO])
async def test_who_cannot_be_taken_in_ends_nothing(
    number: int, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(number, number)
    async with trio.open_nursery() as nursery:
        run(listener, speaking, nursery)
        near = listener.come()
        await near.send_all(b"x")
        assert await near.receive_some() == b""
        nursery.cancel_scope.cancel()
    assert caplog.text.count(os.strerror(number)) == 1
    assert "Traceback" not in caplog.text
    assert listener.closed


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
async def test_without_descriptors_who_comes_is_hung_up_on(
    number: int, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(number)
    before = len(os.listdir("/proc/self/fd"))
    async with trio.open_nursery() as nursery:
        run(listener, speaking, nursery)
        refused = listener.come()
        assert await refused.receive_some() == b""
        # The reserve is there again, and so is the server.
        await trio.testing.wait_all_tasks_blocked()
        assert len(os.listdir("/proc/self/fd")) == before + 1
        near = listener.come()
        await near.send_all(b"x")
        nursery.cancel_scope.cancel()
    assert len(os.listdir("/proc/self/fd")) == before
    assert os.strerror(number) in caplog.text
    assert "ulimit -n" in caplog.text
    assert "Traceback" not in caplog.text


async def test_the_same_trouble_is_told_once_in_a_while(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(*[errno.EMFILE] * 500)
    async with trio.open_nursery() as nursery:
        run(listener, speaking, nursery)
        await trio.sleep(500 * PAUSE + 1)
        assert len(caplog.records) <= 500 * PAUSE / SILENCE + 1
        assert "times more" in caplog.text
        nursery.cancel_scope.cancel()


async def test_without_descriptors_who_said_nothing_makes_room(autojump_clock: MockClock) -> None:
    listener = Listener()
    ended: list[Stream] = []

    async def converse(stream: Stream) -> None:
        try:
            if await stream.receive_some(1) == b"!":
                has_spoken(stream)
            await trio.sleep_forever()
        finally:
            ended.append(stream)

    async with trio.open_nursery() as nursery:
        run(listener, converse, nursery)
        first, second = listener.come(), listener.come()
        await first.send_all(b"!")
        await trio.testing.wait_all_tasks_blocked()
        listener.errors.append(errno.EMFILE)
        third = listener.come()
        fourth = listener.come()
        assert await second.receive_some() == b""
        await fourth.send_all(b"!")
        await trio.testing.wait_all_tasks_blocked()
        assert len(ended) == 1
        await third.aclose()
        nursery.cancel_scope.cancel()


@pytest.mark.expects_errors
async def test_a_conversation_that_fails_ends_alone() -> None:
    listener = Listener()

    async def converse(stream: Stream) -> None:
        if await stream.receive_some(1) == b"!":
            raise ZeroDivisionError
        await stream.send_all(b"well")

    async with trio.open_nursery() as nursery:
        run(listener, converse, nursery)
        bad, good = listener.come(), listener.come()
        await bad.send_all(b"!")
        assert await bad.receive_some() == b""
        await good.send_all(b"?")
        assert await good.receive_some() == b"well"
        nursery.cancel_scope.cancel()
