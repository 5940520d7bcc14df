"""Blocks prepared by other processes are what they would be here, whatever becomes of the processes."""

from __future__ import annotations

import logging
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.recorded_disk import RecordedDisk
from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, BlockTooLarge, StoreFull
from venti.blocks.score import Score
from venti.log.opening import open_disk_store
from venti.log.store import DiskStore
from venti.protocol import messages as m
from venti.protocol.messages import LARGEST_BLOCK
from venti.server import VentiSession, serve_stream
from venti.stores.remote import connected
from venti.workers import pool as module
from venti.workers.pool import JOBS, Batch, Workers, running, usual_number
from venti.workers.prepared import MOST, ROOM, SIZE, Job, prepare

pytestmark = pytest.mark.process


def blocks(count: int, size: int = 8192, seed: int = 1) -> list[bytes]:
    """Half of them compress, half do not."""
    source = random.Random(seed)
    return [
        source.randbytes(size) if n % 2 else (b"%d venti " % source.getrandbits(60) * size)[:size] for n in range(count)
    ]


@pytest.fixture(scope="module")
def two() -> Iterator[Workers]:
    with running(2) as workers:
        assert workers is not None
        yield workers


class TestJob:
    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.binary(max_size=3000), max_size=2 * MOST), st.integers(0, MOST))
    def test_is_what_would_be_done_here(self, data: list[bytes], taken: int) -> None:
        job = Job(memoryview(bytearray(SIZE)))
        count = job.fill(data)
        assert count <= min(len(data), MOST)
        assert count == min(len(data), MOST) or sum(map(len, data[: count + 1])) > ROOM
        own = 0
        while own < min(taken, count) and job.take_back(own):
            own += 1
        job.work()
        assert job.results(data[:count], own) == [prepare(block) for block in data[own:count]]

    def test_takes_what_there_is_room_for(self) -> None:
        job = Job(memoryview(bytearray(SIZE)))
        data = blocks(30, LARGEST_BLOCK)
        count = job.fill(data)
        assert count == ROOM // LARGEST_BLOCK
        job.work()
        assert job.results(data[:count], 0) == [prepare(block) for block in data[:count]]

    def test_what_the_owner_has_taken_back_is_left(self) -> None:
        data = [b"a" * 200, b"b" * 200]
        job = Job(memoryview(bytearray(SIZE)))
        job.fill(data)
        assert job.take_back(0)
        job.work()
        assert job.results(data, 0) == [None, prepare(b"b" * 200)]

    def test_what_each_leaves_to_the_other_has_no_result(self) -> None:
        """The worker says that it begins a block, the owner takes it back and sees that, the worker sees that, too."""
        data = [b"a" * 200, b"b" * 200]
        memory = memoryview(bytearray(SIZE))
        job = Job(memory)
        job.fill([b"c" * 200, b"d" * 200])
        job.work()
        job.fill(data)
        memory[8:12] = bytes(4)
        assert not job.take_back(0)
        job.work()
        assert job.results(data, 0) == [None, prepare(b"b" * 200)]


@pytest.mark.parametrize(
    ("count", "size"), [(0, 0), (1, 8192), (7, 8192), (8, 8192), (9, 57344), (64, 8192), (300, 500)]
)
def test_prepares_as_one_process_would(two: Workers, count: int, size: int) -> None:
    data = blocks(count, size)
    for _ in range(3):
        assert two.begin(data).results() == [prepare(block) for block in data]


def test_some_thousand_times(two: Workers) -> None:
    """Whoever is done first takes from the other, and no block falls between the two."""
    source = random.Random(3)
    data = blocks(400, 3000)
    expected = {block: prepare(block) for block in data}
    for _ in range(3000):
        some = source.sample(data, source.randrange(11, 30))
        assert two.begin(some).results() == [expected[block] for block in some]


def test_many_jobs_before_the_first_results_are_taken(two: Workers) -> None:
    """More than the workers have places for: those that found none, and those whose place was needed, are done here."""
    source = random.Random(7)
    for _ in range(20):
        data = [source.sample(blocks(60, 3000), source.randrange(11, 60)) for _ in range(3 * JOBS)]
        batches = [two.begin(some) for some in data]
        order = list(range(len(data)))
        source.shuffle(order)
        for n in order:
            assert batches[n].results() == [prepare(block) for block in data[n]]


def test_views_and_blocks_of_any_size(two: Workers) -> None:
    source = random.Random(5)
    data = [memoryview(block)[: source.randrange(len(block) + 1)] for block in blocks(40, LARGEST_BLOCK)]
    assert two.begin(data).results() == [prepare(block) for block in data]


def test_a_worker_that_ends_is_done_without(caplog: pytest.LogCaptureFixture) -> None:
    data = blocks(32)
    with running(1) as workers:
        assert workers is not None
        workers.begin(data).results()
        os.kill(workers.processes[0], signal.SIGKILL)
        os.waitid(os.P_PID, workers.processes[0], os.WEXITED | os.WNOWAIT)
        for _ in range(3):
            assert workers.begin(data).results() == [prepare(block) for block in data]
        assert "has ended" in caplog.text
        assert len(caplog.records) == 1


def test_a_worker_that_stands_still_is_waited_for_a_moment_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    data = blocks(32)
    with running(1) as workers:
        assert workers is not None
        workers.begin(data).results()
        os.kill(workers.processes[0], signal.SIGSTOP)
        try:
            for _ in range(3):
                assert workers.begin(data).results() == [prepare(block) for block in data]
        finally:
            os.kill(workers.processes[0], signal.SIGCONT)
        for seed in range(20):
            data = blocks(32, seed=seed)
            assert workers.begin(data).results() == [prepare(block) for block in data]


def test_they_end_with_the_context() -> None:
    with running(2) as workers:
        assert workers is not None
        processes = workers.processes
        assert len(processes) == 2
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_none_and_what_cannot_be_started(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with running(0) as workers:
        assert workers is None
    monkeypatch.setattr(module.sys, "executable", "/nonexistent/python")
    with caplog.at_level(logging.WARNING), running(2) as workers:
        assert workers is None
    assert "the server does its work itself" in caplog.text


def test_one_for_each_processor_beside_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for processors, number in ((1, 0), (2, 1), (4, 3), (64, 3)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=processors: set(range(n)))
        assert usual_number() == number


# In a store


class CountingWorkers(Workers):
    """Says how many blocks it was given."""

    def __init__(self) -> None:
        super().__init__(())
        self.given: list[int] = []

    def begin(self, blocks: Sequence[Buffer]) -> Batch:
        self.given.append(len(blocks))
        return super().begin(blocks)


def write(store: DiskStore, data: Sequence[bytes]) -> None:
    """As a session does it."""
    preparation = store.prepare_nowait(data)
    kinds = [BlockType.DATA] * len(data)
    assert store.write_all_nowait(kinds, data, preparation) == [Score.of(block) for block in data]
    store.flush_nowait()


@asynccontextmanager
async def opened(path: Path, workers: Workers | None) -> AsyncIterator[DiskStore]:
    async with open_disk_store(path, workers=workers) as store:
        yield store


async def test_a_store_uses_them_while_most_blocks_are_new(tmp_path: Path) -> None:
    workers = CountingWorkers()
    old = blocks(40)
    async with opened(tmp_path, workers) as store:
        write(store, old)
        write(store, blocks(20, seed=2))
        # That nothing was new is seen only afterwards.
        write(store, old)
        assert workers.given == [40, 20, 40]
        write(store, old)
        write(store, blocks(21, seed=3))
        assert workers.given == [40, 20, 40]
        write(store, blocks(22, seed=4))
        assert workers.given == [40, 20, 40, 22]
        for block in old + blocks(21, seed=3) + blocks(22, seed=4):
            assert store.read_nowait(Score.of(block), BlockType.DATA, 8192) == block


async def test_a_preparation_that_is_never_used_does_no_harm(tmp_path: Path, two: Workers) -> None:
    async with opened(tmp_path, two) as store:
        for seed in range(3 * JOBS):
            assert store.prepare_nowait(blocks(16, seed=seed)) is not None
        write(store, blocks(40))
        for block in blocks(40):
            assert store.read_nowait(Score.of(block), BlockType.DATA, 8192) == block


async def test_each_of_many_has_its_own_outcome(tmp_path: Path) -> None:
    data = [b"a" * 100, b"", b"b" * (LARGEST_BLOCK + 1), b"c" * 200, b"a" * 100]
    async with opened(tmp_path, None) as store:
        outcomes = store.write_all_nowait([BlockType.DATA] * 5, data)
        store.flush_nowait()
        assert isinstance(outcomes[2], BlockTooLarge)
        assert [*outcomes[:2], *outcomes[3:]] == [Score.of(block) for n, block in enumerate(data) if n != 2]
        for n in (0, 1, 3):
            assert store.read_nowait(Score.of(data[n]), BlockType.DATA, 8192) == data[n]


async def test_none_of_those_that_came_together_is_stored_if_the_disk_takes_none(tmp_path: Path) -> None:
    """Also those whose turn comes only after the disk has refused: they had been written with the first."""
    disk = RecordedDisk()
    data = blocks(20)
    async with open_disk_store(tmp_path, folder=lambda path: disk) as store:
        session = VentiSession(store)
        first, *others = writes = [m.Twrite(BlockType.DATA, block) for block in data]
        begin = session.begin_all(writes)
        assert begin(first) == m.Rwrite(Score.of(data[0]))
        disk.room = 10_000
        with pytest.raises(StoreFull):
            session.commit()
        disk.room = None
        for write in others:
            with pytest.raises(StoreFull):
                begin(write)
        for block in data:
            with pytest.raises(BlockNotFound):
                store.read_nowait(Score.of(block), BlockType.DATA, 8192)


async def test_a_session_shows_the_store_what_came_together(tmp_path: Path, two: Workers) -> None:
    data = blocks(100)
    async with opened(tmp_path, two) as store:
        near, far = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_stream, far, store)
            async with connected(near) as client:
                calls = [client.begin_write(BlockType.DATA, block, Score.of(block)) for block in data]
                assert [await call.wait() for call in calls] == [Score.of(block) for block in data]
                for block in data:
                    assert await client.read(Score.of(block), BlockType.DATA, 8192) == block
            nursery.cancel_scope.cancel()


async def test_only_blocks_that_nothing_came_between_are_shown(tmp_path: Path) -> None:
    workers = CountingWorkers()
    write = m.Twrite(BlockType.DATA, b"x" * 100)
    score = Score.of(write.data)
    async with opened(tmp_path, workers) as store:
        session = VentiSession(store)
        cases: list[tuple[list[m.Request], list[m.Reply]]] = [
            ([write, write], [m.Rwrite(score)] * 2),
            ([], []),
            ([m.Tping()], [m.Rping()]),
            ([write, m.Tping(), write], [m.Rwrite(score), m.Rping(), m.Rwrite(score)]),
            ([write, m.Tread(score, BlockType.DATA, 100)], [m.Rwrite(score), m.Rread(write.data)]),
        ]
        for requests, replies in cases:
            begin = session.begin_all(requests)
            assert [begin(request) for request in requests] == replies
            session.commit()
        assert workers.given == [2]


def test_a_worker_works() -> None:
    """What a worker does not do the server does itself, so that nobody else would notice."""
    worker = module.Worker()
    try:
        given = worker.begin([b"content" * 1000])
        assert given is not None
        # It may still be starting.
        assert any(worker.wait(given.order) or worker.gone for _ in range(100))
        assert not worker.gone
    finally:
        worker.close()
