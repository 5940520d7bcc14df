"""Nurseries that raise one exception as it is."""

from __future__ import annotations

import gc
import signal
import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio
import trio.lowlevel
import trio.testing

from ninep.tasks.each import for_each
from ninep.tasks.jobs import Jobs
from ninep.tasks.nursery import background, open_nursery, outlived

SINGLE = [ValueError("x"), KeyboardInterrupt(), SystemExit(7)]
BOTH = [open_nursery, background]
Opening = Callable[[], AbstractAsyncContextManager[trio.Nursery]]


async def _raises(error: BaseException) -> None:
    raise error


async def _raises_when_cancelled(error: BaseException) -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise error


@pytest.mark.parametrize("opening", BOTH)
@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyboardInterrupt(), SystemExit(7), ExceptionGroup("own", [OSError()])]
)
def test_the_body_s_exception_comes_as_it_is(opening: Opening, error: BaseException) -> None:
    async def main() -> None:
        async with opening() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise error

    with pytest.raises(type(error)) as caught:
        trio.run(main)
    assert caught.value is error


@pytest.mark.parametrize("opening", BOTH)
@pytest.mark.parametrize("error", SINGLE)
def test_a_task_s_exception_comes_as_it_is(opening: Opening, error: BaseException) -> None:
    async def main() -> None:
        async with opening() as nursery:
            nursery.start_soon(_raises, error)
            await trio.sleep_forever()

    with pytest.raises(type(error)) as caught:
        trio.run(main)
    assert caught.value is error


async def _both_fail(of_a_task: BaseException, then: BaseException, *, in_body: bool) -> None:
    async with open_nursery() as nursery:
        nursery.start_soon(_raises_when_cancelled, of_a_task)
        await trio.testing.wait_all_tasks_blocked()
        if in_body:
            raise then
        nursery.start_soon(_raises, then)


async def test_an_interruption_goes_before_an_error() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        await _both_fail(KeyboardInterrupt(), ValueError("of the body"), in_body=True)
    assert "ValueError('of the body')" in caught.value.__notes__[0]


async def test_the_body_s_error_goes_before_that_of_a_task() -> None:
    with pytest.raises(ValueError, match="of the body") as caught:
        await _both_fail(OSError("of a task"), ValueError("of the body"), in_body=True)
    assert "of a task" in caught.value.__notes__[0]


async def test_the_first_error_of_several_tasks() -> None:
    with pytest.raises(OSError, match="first") as caught:
        await _both_fail(OSError("second"), OSError("first"), in_body=False)
    assert "second" in caught.value.__notes__[0]


async def test_a_task_s_group_is_opened() -> None:
    async def inner() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_raises, OSError("deep"))

    with pytest.raises(OSError, match="deep"):
        async with open_nursery() as nursery:
            nursery.start_soon(inner)


async def test_nested_ones() -> None:
    error = KeyError("k")
    with pytest.raises(KeyError) as caught:
        async with open_nursery(), background(), open_nursery():
            raise error
    assert caught.value is error
    assert error.__context__ is None
    assert not isinstance(error.__cause__, BaseExceptionGroup)


async def test_cancelled_from_outside_is_no_error() -> None:
    with trio.move_on_after(0) as scope:
        async with open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_an_error_while_cancelled_from_outside() -> None:
    async def main() -> None:
        with trio.move_on_after(0):
            async with open_nursery() as nursery:
                nursery.start_soon(_raises_when_cancelled, OSError("on the way out"))
                await trio.sleep_forever()

    with pytest.raises(OSError, match="on the way out"):
        await main()


async def test_its_own_scope_may_be_cancelled() -> None:
    async with open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.cancel_scope.cancel()
        await trio.sleep_forever()


async def test_what_the_body_s_own_nursery_raises_while_cancelled() -> None:
    async def main() -> None:
        async with open_nursery() as outer, trio.open_nursery() as inner:
            inner.start_soon(_raises_when_cancelled, OSError("inner"))
            await trio.testing.wait_all_tasks_blocked()
            outer.cancel_scope.cancel()
            await trio.sleep_forever()

    with pytest.raises(OSError, match="inner"):
        await main()


async def test_background_tasks_end_with_the_body() -> None:
    async with background() as nursery:
        nursery.start_soon(trio.sleep_forever)


async def test_an_exception_leaves_no_cycle_behind() -> None:
    class Marked(Exception):
        pass

    gc.collect()
    gc.disable()
    try:

        async def fails() -> weakref.ref[Marked]:
            try:
                async with background() as nursery:
                    nursery.start_soon(trio.sleep_forever)
                    raise Marked
            except Marked as error:
                return weakref.ref(error)

        assert (await fails())() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("error", SINGLE)
def test_a_job_s_exception_comes_as_it_is(error: BaseException) -> None:
    async def main() -> None:
        jobs = Jobs(3)
        for _ in range(5):
            jobs.add(trio.sleep_forever)
        jobs.add(_raises, error)
        await jobs.run()

    with pytest.raises(type(error)) as caught:
        trio.run(main)
    assert caught.value is error


async def test_jobs_add_jobs_and_few_run_at_once() -> None:
    jobs = Jobs(3)
    running = most = done = 0

    async def work(depth: int) -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await trio.testing.wait_all_tasks_blocked()
        if depth:
            for _ in range(3):
                jobs.add(work, depth - 1)
        running -= 1
        done += 1

    jobs.add(work, 3)
    await jobs.run()
    assert (most, done) == (3, 40)


async def test_for_each_is_in_order_and_raises_the_first_error_alone() -> None:
    begun = []

    async def do(thing: int) -> None:
        begun.append(thing)
        await trio.lowlevel.checkpoint()
        if thing == 4:
            raise OSError("four")

    with pytest.raises(OSError, match="four"):
        await for_each(range(100), do, 2)
    assert begun == list(range(len(begun)))
    assert len(begun) < 100


def test_ctrl_c_while_tasks_run_in_the_background() -> None:
    async def main() -> None:
        async with background() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.testing.wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGINT)
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)


async def test_a_task_that_outlives_its_body_is_there_for_what_a_cancelled_body_still_does() -> None:
    told: list[str] = []
    asks, asked = trio.open_memory_channel[str](0)

    async def answers(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            while True:
                told.append(await asked.receive())
        finally:
            told.append("ended")

    with trio.CancelScope() as scope:
        async with outlived(answers):
            await asks.send("before")
            scope.cancel()
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await asks.send("tidied")
    assert scope.cancelled_caught
    assert told == ["before", "tidied", "ended"]


async def test_a_task_that_outlives_its_body_fails_it() -> None:
    async def fails(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.lowlevel.checkpoint()
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        async with outlived(fails):
            await trio.sleep_forever()
    with pytest.raises(KeyError, match="body"):
        async with outlived(lambda task_status: started_for_ever(task_status)):
            raise KeyError("body")


async def started_for_ever(task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await trio.sleep_forever()
