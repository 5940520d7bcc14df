"""Coroutines that are carried without a task: they do as tasks do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trio
import trio.testing

from ninep.wire.taskless import Carried, Waiter, in_task, state, wait_for, wake


class Reply:
    """Something that comes later, waited for as the client waits for its replies."""

    def __init__(self) -> None:
        self.task: Waiter | None = None
        self.value: int | None = None
        self.parked = 0

    def come(self, value: int) -> None:
        self.value = value
        if (waiter := self.task) is not None:
            self.task = None
            wake(waiter)

    async def wait(self) -> int:
        while self.value is None:
            if state.inside:
                await wait_for(self)
            else:
                self.parked += 1
                self.task = trio.lowlevel.current_task()

                def abort(_: object) -> trio.lowlevel.Abort:
                    self.task = None
                    return trio.lowlevel.Abort.SUCCEEDED

                await trio.lowlevel.wait_task_rescheduled(abort)
        return self.value


class Ended:
    """What ``done`` was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Exception | None]] = []

    def __call__(self, value: Any, error: Exception | None) -> None:
        self.calls.append((value, error))


def carried(work: Callable[[], Coroutine[Any, Any, Any]], nursery: trio.Nursery) -> tuple[Carried[Any], Ended]:
    ended = Ended()
    one = Carried(work(), nursery, ended)
    one.go()
    return one, ended


async def test_what_waits_for_nothing_is_done_at_once() -> None:
    async def work() -> int:
        return 7

    async with trio.open_nursery() as nursery:
        _, ended = carried(work, nursery)
        assert ended.calls == [(7, None)]
        assert not nursery.child_tasks


async def test_replies_are_waited_for_without_a_task() -> None:
    first, second = Reply(), Reply()

    async def work() -> int:
        return await first.wait() * 10 + await second.wait()

    async with trio.open_nursery() as nursery:
        _, ended = carried(work, nursery)
        second.come(2)
        assert not ended.calls
        first.come(1)
        assert ended.calls == [(12, None)]
        assert not nursery.child_tasks
        assert first.parked == second.parked == 0


async def test_errors_come_to_done() -> None:
    reply = Reply()

    async def work() -> None:
        await reply.wait()
        raise ValueError("no")

    async with trio.open_nursery() as nursery:
        _, ended = carried(work, nursery)
        reply.come(1)
        assert [str(error) for _, error in ended.calls] == ["no"]


async def test_it_becomes_a_task_where_it_says_so() -> None:
    reply, event = Reply(), trio.Event()

    async def work() -> int:
        before = await reply.wait()
        await in_task()
        assert not state.inside
        with trio.CancelScope():
            await event.wait()
        await in_task()
        return before + 1

    async with trio.open_nursery() as nursery:
        _, ended = carried(work, nursery)
        reply.come(1)
        await trio.testing.wait_all_tasks_blocked()
        assert not ended.calls
        event.set()
        await trio.testing.wait_all_tasks_blocked()
        assert ended.calls == [(2, None)]


async def test_giving_up_is_cancellation() -> None:
    """In a task, and in the middle of what it waits for."""
    reply = Reply()
    seen: list[str] = []

    async def work() -> None:
        try:
            await reply.wait()
        except trio.Cancelled:
            seen.append("cancelled")
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            raise
        finally:
            seen.append("over")

    async with trio.open_nursery() as nursery:
        one, ended = carried(work, nursery)
        one.cancel()
        one.cancel()
        assert reply.task is None
        reply.come(1)
        await trio.testing.wait_all_tasks_blocked()
        assert ended.calls in ([(None, None)], [(1, None)])
        assert seen[-1] == "over"


async def test_given_up_while_it_runs_it_is_cancelled_where_it_next_waits() -> None:
    reply = Reply()
    ones: list[Carried[Any]] = []

    async def work() -> None:
        await Reply.wait(first)
        ones[0].cancel()
        await reply.wait()

    first = Reply()
    async with trio.open_nursery() as nursery:
        one, ended = carried(work, nursery)
        ones.append(one)
        first.come(1)
        await trio.testing.wait_all_tasks_blocked()
        assert ended.calls == [(None, None)]


async def test_given_up_too_late_nothing_happens() -> None:
    async def work() -> int:
        return 1

    async with trio.open_nursery() as nursery:
        one, ended = carried(work, nursery)
        one.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert ended.calls == [(1, None)]
        assert not nursery.child_tasks


async def test_what_goes_wrong_at_the_end_is_no_trouble_of_who_brought_the_reply() -> None:
    reply = Reply()

    def done(_: Any, __: Exception | None) -> None:
        raise ValueError("no room")

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            Carried(reply.wait(), nursery, done).go()
            reply.come(1)

    with pytest.raises(ExceptionGroup) as caught:
        await work()
    assert caught.group_contains(ValueError, match="no room")


async def test_one_can_wake_another() -> None:
    far, near = Reply(), Reply()

    async def bring() -> None:
        near.come(await far.wait() + 1)

    async with trio.open_nursery() as nursery:
        _, taken = carried(near.wait, nursery)
        carried(bring, nursery)
        far.come(1)
        assert taken.calls == [(2, None)]
        assert not state.inside


async def test_a_primitive_of_trio_without_a_task_is_found_out() -> None:
    async def work() -> None:
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        _, taken = carried(work, nursery)
        ((value, error),) = taken.calls
        assert value is None
        assert isinstance(error, RuntimeError)
        assert "in_task" in str(error)
