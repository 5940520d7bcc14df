"""Calls that are given up: by a flush where the server listens, within a bound of time where it does not."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from fakes.ninep_peer import Peer
from ninep.protocol import messages as m
from ninep.protocol.dialect import NinePDialect
from ninep.wire.client import FLUSH_PATIENCE, Client


def talk() -> tuple[Client[Any, Any], Peer]:
    near, far = trio.testing.memory_stream_pair()
    return Client(near, NinePDialect()), Peer(far)


async def test_silent_server_costs_a_cancelled_caller_a_bounded_time(autojump_clock: MockClock) -> None:
    client, _ = talk()
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        start = trio.current_time()
        with trio.move_on_after(1):
            await client.call(m.Tstat(1))
        assert trio.current_time() - start == pytest.approx(1 + FLUSH_PATIENCE)
        nursery.cancel_scope.cancel()


async def test_flushed_tag_is_free_again(autojump_clock: MockClock) -> None:
    client, peer = talk()
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        with trio.CancelScope() as scope:
            nursery.start_soon(answer_flush, peer, scope)
            await client.call(m.Tstat(1))
        assert scope.cancelled_caught
        assert client.in_flight == 0
        nursery.cancel_scope.cancel()


async def answer_flush(peer: Peer, scope: trio.CancelScope) -> None:
    old, _ = await peer.take()
    scope.cancel()
    tag, flush = await peer.take()
    assert flush == m.Tflush(old)
    await peer.answer(tag, m.Rflush())


@pytest.mark.parametrize("refusal", [m.Rerror("no flush here"), None])
async def test_tag_of_an_unconfirmed_flush_stays_taken(autojump_clock: MockClock, refusal: m.Rerror | None) -> None:
    """Its answer may still come and must not be taken for another's."""
    client, peer = talk()
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        call = client.begin(m.Tstat(1))
        with trio.CancelScope() as scope:
            scope.cancel()
            if refusal:
                nursery.start_soon(refuse, peer, refusal)
            await client.wait(call)
        assert client.in_flight >= 1
        assert client.begin(m.Tstat(2)).tag != call.tag
        await peer.answer(call.tag, m.Rerror("late"))
        await trio.testing.wait_all_tasks_blocked()
        assert client.lost is None
        assert call.reply == m.Rerror("late")
        nursery.cancel_scope.cancel()


async def refuse(peer: Peer, refusal: m.Rerror) -> None:
    await peer.take()
    tag, _ = await peer.take()
    await peer.answer(tag, refusal)


async def test_answer_before_the_flush_is_real(autojump_clock: MockClock) -> None:
    client, peer = talk()
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        call = client.begin(m.Tclunk(1))
        with trio.CancelScope() as scope:
            scope.cancel()
            nursery.start_soon(answer_both, peer)
            await client.wait(call)
        assert scope.cancelled_caught
        assert call.reply == m.Rclunk()
        nursery.cancel_scope.cancel()


async def answer_both(peer: Peer) -> None:
    old, _ = await peer.take()
    tag, _ = await peer.take()
    await peer.answer(old, m.Rclunk())
    await peer.answer(tag, m.Rflush())
