from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing

from ninep.wire.busypoll import IN_VAIN, BusyPoll, instruments, watch

AGES = 3.0
"""Seconds that an instrument looks here: whatever the machine does, what comes comes before they are over."""


@contextmanager
def pair(
    instrument: BusyPoll | None = None, *, watched: bool = True
) -> Iterator[tuple[socket.socket, trio.socket.SocketType]]:
    """A peer, and our end of the connection, which is watched."""
    here, there = socket.socketpair()
    there.setblocking(False)
    with here, there:
        ours = trio.socket.from_stdlib_socket(there)
        if watched:
            watch(trio.SocketStream(ours))
        yield here, ours
    if instrument is not None:
        instrument.limit = 0.0  # the end of a run is one more wait


async def answered(here: socket.socket, there: trio.socket.SocketType, after: float = 0.02) -> None:
    """Waits for a peer that sends ``after`` seconds."""
    await trio.sleep(0.001)  # a short wait: the loop looks from now on
    peer = threading.Timer(after, here.send, (b"ping",))
    peer.start()
    assert await there.recv(10) == b"ping"
    peer.join()


def test_a_loop_that_was_just_busy_finds_what_comes_by_looking() -> None:
    instrument = BusyPoll(AGES)

    async def main() -> None:
        with pair(instrument) as (here, there):
            began = time.perf_counter()
            await answered(here, there)
            assert time.perf_counter() - began < AGES
            assert instrument.found == 1

    trio.run(main, instruments=[instrument])


def test_looks_for_no_longer_than_it_was_told() -> None:
    instrument = BusyPoll(0.2)

    async def main() -> None:
        with pair(instrument) as (here, there):
            await answered(here, there, after=1.0)
            assert (instrument.found, instrument.vain) == (0, 1)

    trio.run(main, instruments=[instrument])


def test_a_loop_with_nothing_to_do_sleeps() -> None:
    instrument = BusyPoll(0.001)

    async def main() -> None:
        with pair():
            await trio.sleep(0.05)
            looked = instrument.vain
            for _ in range(5):
                await trio.sleep(0.05)
            assert instrument.vain <= looked + 1

    trio.run(main, instruments=[instrument])


def test_timers_are_kept() -> None:
    instrument = BusyPoll(AGES)

    async def main() -> None:
        with pair(instrument):
            began = time.perf_counter()
            for _ in range(20):
                await trio.sleep(0.001)
            assert time.perf_counter() - began < AGES

    trio.run(main, instruments=[instrument])


def test_does_not_look_while_a_thread_works() -> None:
    instrument = BusyPoll(AGES)

    async def main() -> None:
        with pair(instrument):
            began = time.perf_counter()
            await trio.sleep(0.001)
            for _ in range(3):
                await trio.to_thread.run_sync(time.sleep, 0.01)
            assert time.perf_counter() - began < AGES

    trio.run(main, instruments=[instrument])


def test_a_closed_socket_is_forgotten_and_its_number_may_come_back() -> None:
    instrument = BusyPoll(AGES)

    async def main() -> None:
        for _ in range(3):
            instrument.limit = AGES
            with pair(instrument) as (here, there):
                watch(trio.SocketStream(there))
                await answered(here, there)

    trio.run(main, instruments=[instrument])
    assert instrument.found == 3


def test_leaves_off_where_it_cannot_see_what_comes() -> None:
    instrument = BusyPoll(0.03)

    async def main() -> None:
        with pair(instrument, watched=False) as (here, there):
            for _ in range(30):
                await answered(here, there, after=0.005)
            assert IN_VAIN <= instrument.vain < 2 * IN_VAIN

    trio.run(main, instruments=[instrument])


def test_pipes_and_streams_around_sockets_are_looked_at() -> None:
    instrument = BusyPoll(AGES)

    async def main() -> None:
        source, sink = os.pipe()
        stream = trio.StapledStream(trio.lowlevel.FdStream(sink), trio.lowlevel.FdStream(source))
        async with stream:
            assert watch(stream) is instrument
            await trio.sleep(0.001)
            late = threading.Timer(0.02, os.write, (sink, b"ping"))
            late.start()
            assert await stream.receive_some(10) == b"ping"
            assert instrument.found == 1
            late.join()
        here, there = trio.testing.memory_stream_pair()
        assert watch(here) is watch(there) is instrument
        instrument.limit = 0.0

    trio.run(main, instruments=[instrument])


async def test_without_an_instrument_watching_means_nothing() -> None:
    with pair() as (here, there):
        here.send(b"ping")
        assert await there.recv(10) == b"ping"


@pytest.mark.parametrize(("microseconds", "processors", "count"), [(100, 2, 1), (0, 2, 0), (-1, 2, 0), (100, 1, 0)])
def test_who_gets_an_instrument(
    monkeypatch: pytest.MonkeyPatch, microseconds: int, processors: int, count: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    assert len(instruments(microseconds)) == count
