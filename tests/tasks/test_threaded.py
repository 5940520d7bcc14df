"""A loop in a thread of its own, called by those that know nothing of async."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio

from ninep.tasks.threaded import LoopElsewhere, LoopEnded, LoopThread


class Shop:
    """What is entered: it notes what happens in it."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.cancelled = 0
        self.left = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Shop]:
        try:
            yield self
        finally:
            self.left += 1

    async def wait(self) -> None:
        self.waiting.set()
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            self.cancelled += 1
            raise


@pytest.fixture
def loop() -> Iterator[LoopThread[Shop]]:
    loop = LoopThread(Shop().open, name="shop")
    yield loop
    loop.close()
    assert loop.thing.left == 1


async def twice(number: int) -> int:
    await trio.lowlevel.checkpoint()
    return 2 * number


async def fails(error: BaseException) -> None:
    raise error


def test_results_and_errors_come_back(loop: LoopThread[Shop]) -> None:
    assert loop.run(twice, 4) == 8
    for error in (ValueError("x"), StopAsyncIteration(), SystemExit(3), ExceptionGroup("g", [OSError()])):
        with pytest.raises(type(error)) as caught:
            loop.run(fails, error)
        assert caught.value is error
    assert loop.run(twice, 4) == 8


def test_many_threads(loop: LoopThread[Shop]) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda n=n: found.append(loop.run(twice, n))) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(0, 100, 2))


def test_ctrl_c_cancels_the_work(loop: LoopThread[Shop]) -> None:
    """What goes on behind the back of a program that was interrupted changes files that it thinks are left alone."""
    shop = loop.thing

    def interrupt() -> None:
        shop.waiting.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        loop.run(shop.wait)
    thread.join()
    assert shop.cancelled == 1
    assert loop.run(twice, 4) == 8


def test_closing_ends_those_that_wait(loop: LoopThread[Shop]) -> None:
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            loop.run(loop.thing.wait)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    loop.thing.waiting.wait()
    loop.close()
    thread.join()
    assert [type(error) for error in failures] == [LoopEnded]
    with pytest.raises(LoopEnded):
        loop.run(twice, 4)
    loop.close()


def test_the_loop_s_own_thread_does_not_wait_for_itself(loop: LoopThread[Shop]) -> None:
    async def within() -> None:
        with pytest.raises(RuntimeError, match="would wait for itself"):
            loop.run(twice, 4)

    loop.run(within)


def test_the_loop_s_own_thread_may_close_it() -> None:
    """The garbage collector may do so there."""
    loop = LoopThread(Shop().open, name="shop")

    async def within() -> None:
        loop.close()
        await trio.sleep_forever()

    with pytest.raises(LoopEnded):
        loop.run(within)
    with pytest.raises(LoopEnded):
        loop.run(twice, 4)


def test_a_forked_child_does_not_wait_for_its_parent_s_loop(loop: LoopThread[Shop]) -> None:
    child = os.fork()
    if not child:
        code = 1
        try:
            signal.alarm(20)
            try:
                loop.run(twice, 4)
            except LoopElsewhere:
                loop.close()
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert loop.run(twice, 4) == 8


def test_what_entering_and_leaving_raise() -> None:
    @asynccontextmanager
    async def closed() -> AsyncIterator[None]:
        raise KeyError("closed")
        yield

    @asynccontextmanager
    async def spoilt() -> AsyncIterator[None]:
        yield
        raise KeyError("spoilt")

    with pytest.raises(KeyError, match="closed"):
        LoopThread(closed, name="closed")
    loop = LoopThread(spoilt, name="spoilt")
    with pytest.raises(KeyError, match="spoilt"):
        loop.close()


def test_ctrl_c_while_it_is_entered() -> None:
    begun, ended = threading.Event(), threading.Event()

    @asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()
        yield

    def interrupt() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        LoopThread(slow, name="slow")
    thread.join()
    assert ended.is_set()
