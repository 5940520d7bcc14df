"""Record locks, held against a table that knows every byte by itself."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as some
from trio.testing import MockClock

from fakes.ninep_client import Raw, connected
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.locks import END, LockTable, Range
from ninep.ram.tree import RamTree

STEPS = some.lists(
    some.tuples(
        some.sampled_from(["lock", "share", "unlock", "release"]),
        some.integers(0, 11),
        some.integers(1, 12),
        some.sampled_from(["ann", "bob", "cid"]),
    ),
    max_size=30,
)


@given(STEPS)
def test_every_byte_by_itself(steps: list[tuple[str, int, int, str]]) -> None:
    table = LockTable()
    bytes_held: list[dict[str, bool]] = [{} for _ in range(24)]
    for what, start, length, owner in steps:
        covered = range(start, start + length)
        wanted = Range(start, start + length, what == "lock", owner, f"fid of {owner}")
        if what == "unlock":
            table.unlock("file", wanted)
            for at in covered:
                bytes_held[at].pop(owner, None)
        elif what == "release":
            table.release("file", f"fid of {owner}")
            for held in bytes_held:
                held.pop(owner, None)
        else:
            free = not any(
                other != owner and (exclusive or what == "lock")
                for at in covered
                for other, exclusive in bytes_held[at].items()
            )
            assert table.lock("file", wanted) is free
            if free:
                for at in covered:
                    bytes_held[at][owner] = what == "lock"
        found: list[dict[str, bool]] = [{} for _ in range(24)]
        for one in table.held("file"):
            for at in range(one.start, one.end):
                assert one.owner not in found[at], "one byte is held twice by one owner"
                found[at][str(one.owner)] = one.exclusive
        assert found == bytes_held


def test_to_the_end_and_who_is_in_the_way() -> None:
    table = LockTable()
    assert table.lock("file", Range(100, END, True, "ann", 1))
    assert table.lock("other", Range(0, END, True, "bob", 2))
    in_the_way = table.conflict("file", Range(1 << 40, 1 << 41, False, "bob", 2))
    assert in_the_way is not None
    assert (in_the_way.start, in_the_way.owner) == (100, "ann")
    assert table.lock("file", Range(0, 100, True, "bob", 2))
    table.release("file", 1)
    table.release("file", 2)
    table.release("other", 2)
    assert len(table) == 0


def request(fid: int, kind: int, *, wait: bool = False) -> lm.Tlock:
    return lm.Tlock(fid, kind, lm.LOCK_WAIT if wait else 0, 0, 10, 1, "guest")


@asynccontextmanager
async def two_clients() -> AsyncIterator[tuple[Raw, Raw]]:
    """Of one tree, in 9P2000.L, each with ``file`` open as fid 1."""
    tree = RamTree("glenda")
    async with connected(tree, version=lm.VERSION) as one, connected(tree, version=lm.VERSION) as two:
        await one.ask(m.Twalk(0, 1, []))
        await one.ask(lm.Tlcreate(1, "file", os.O_RDWR, 0o644, 0))
        await two.ask(m.Twalk(0, 1, ["file"]))
        await two.ask(lm.Tlopen(1, os.O_RDWR))
        yield one, two


async def test_who_waits_gets_the_lock_when_it_is_free() -> None:
    async with two_clients() as (one, two), trio.open_nursery() as nursery:
        assert (await one.ask(request(1, lm.LOCK_WRITE))).status == lm.LOCK_SUCCESS
        assert (await two.ask(request(1, lm.LOCK_WRITE))).status == lm.LOCK_BLOCKED
        said: list[int] = []

        async def wait() -> None:
            said.append((await two.ask(request(1, lm.LOCK_WRITE, wait=True))).status)

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        # What it waits with can be used meanwhile.
        assert (await two.ask(m.Twrite(1, 0, b"x"))).count == 1
        assert said == []
        await one.ask(request(1, lm.LOCK_UNLOCK))
        await trio.testing.wait_all_tasks_blocked()
        assert said == [lm.LOCK_SUCCESS]
        assert (await one.ask(request(1, lm.LOCK_READ))).status == lm.LOCK_BLOCKED


async def test_who_is_in_the_way_can_hang_up() -> None:
    async with two_clients() as (one, two), trio.open_nursery() as nursery:
        await one.ask(request(1, lm.LOCK_WRITE))
        nursery.start_soon(two.ask, request(1, lm.LOCK_WRITE, wait=True))
        await trio.testing.wait_all_tasks_blocked()
        await one.ask(m.Tclunk(1))


async def test_waiting_ends_and_can_be_given_up(autojump_clock: MockClock) -> None:
    async with two_clients() as (one, two):
        await one.ask(request(1, lm.LOCK_WRITE))
        assert (await two.ask(request(1, lm.LOCK_WRITE, wait=True))).status == lm.LOCK_BLOCKED
        assert trio.current_time() < 20
        with trio.move_on_after(1) as scope:
            await two.ask(request(1, lm.LOCK_WRITE, wait=True))
        assert scope.cancelled_caught
        await one.ask(request(1, lm.LOCK_UNLOCK))
        # Nobody took it for the one who has gone.
        assert (await one.ask(request(1, lm.LOCK_WRITE))).status == lm.LOCK_SUCCESS


async def test_linux_asks_who_is_in_the_way_of_giving_back() -> None:
    async with two_clients() as (one, two):
        await one.ask(request(1, lm.LOCK_WRITE))
        asked = lm.Tgetlock(1, lm.LOCK_UNLOCK, 5, 1, 2, "other")
        assert await two.ask(asked) == lm.Rgetlock(lm.LOCK_WRITE, 0, 10, 1, "guest")
        await one.ask(request(1, lm.LOCK_UNLOCK))
        assert (await two.ask(asked)).type == lm.LOCK_UNLOCK
