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

from ninep.wire.dialect import Buffer
from venti import messages as m
from venti import workers as module
from venti.blocktype import BlockType
from venti.client import connected
from venti.disk import DiskStore, open_disk_store
from venti.errors import BlockNotFound
from venti.messages import LARGEST_BLOCK
from venti.prepared import MOST, ROOM, SIZE, Job, Prepared, prepare
from venti.score import Score
from venti.server import VentiSession, serve_stream
from venti.workers import Workers, running, usual_number

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
        assert count == min(len(data), MOST)
        own = 0
        while own < min(taken, count) and job.take_back(own):
            own += 1
        job.work()
        assert [job.result(n) for n in range(own, count)] == [prepare(block) for block in data[own:count]]

    def test_takes_what_there_is_room_for(self) -> None:
        job = Job(memoryview(bytearray(SIZE)))
        data = blocks(30, LARGEST_BLOCK)
        count = job.fill(data)
        assert count == ROOM // LARGEST_BLOCK
        job.work()
        assert [job.result(n) for n in range(count)] == [prepare(block) for block in data[:count]]

    def test_what_the_owner_has_taken_back_is_left(self) -> None:
        memory = memoryview(bytearray(SIZE))
        job = Job(memory)
        job.fill([b"a" * 200, b"b" * 200])
        assert job.take_back(0)
        job.work()
        assert job.result(1) == prepare(b"b" * 200)
        assert job.result(0) is None

    def test_what_each_leaves_to_the_other_has_no_result(self) -> None:
        """The worker says that it begins a block, the owner takes it back and sees that, the worker sees that, too."""
        memory = memoryview(bytearray(SIZE))
        job = Job(memory)
        job.fill([b"c" * 200, b"d" * 200])
        job.work()
        job.fill([b"a" * 200, b"b" * 200])
        memory[8:12] = bytes(4)
        assert not job.take_back(0)
        job.work()
        assert job.result(1) == prepare(b"b" * 200)
        assert job.result(0) is None


@pytest.mark.parametrize(
    ("count", "size"), [(0, 0), (1, 8192), (7, 8192), (8, 8192), (9, 57344), (64, 8192), (300, 500)]
)
def test_prepares_as_one_process_would(two: Workers, count: int, size: int) -> None:
    data = blocks(count, size)
    for _ in range(3):
        assert two.prepare(data) == [prepare(block) for block in data]


def test_some_thousand_times(two: Workers) -> None:
    """Whoever is done first takes from the other, and no block falls between the two."""
    source = random.Random(3)
    data = blocks(400, 3000)
    expected = {block: prepare(block) for block in data}
    for _ in range(3000):
        some = source.sample(data, source.randrange(11, 30))
        assert two.prepare(some) == [expected[block] for block in some]


def test_views_and_blocks_of_any_size(two: Workers) -> None:
    source = random.Random(5)
    data = [memoryview(block)[: source.randrange(len(block) + 1)] for block in blocks(40, LARGEST_BLOCK)]
    assert two.prepare(data) == [prepare(block) for block in data]


def test_a_worker_that_ends_is_done_without(caplog: pytest.LogCaptureFixture) -> None:
    data = blocks(32)
    with running(1) as workers:
        assert workers is not None
        workers.prepare(data)
        os.kill(workers.processes[0], signal.SIGKILL)
        os.waitid(os.P_PID, workers.processes[0], os.WEXITED | os.WNOWAIT)
        for _ in range(3):
            assert workers.prepare(data) == [prepare(block) for block in data]
        assert "has ended" in caplog.text
        assert len(caplog.records) == 1


def test_a_worker_that_stands_still_is_waited_for_a_moment_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    data = blocks(32)
    with running(1) as workers:
        assert workers is not None
        workers.prepare(data)
        os.kill(workers.processes[0], signal.SIGSTOP)
        try:
            for _ in range(3):
                assert workers.prepare(data) == [prepare(block) for block in data]
        finally:
            os.kill(workers.processes[0], signal.SIGCONT)
        for seed in range(20):
            data = blocks(32, seed=seed)
            assert workers.prepare(data) == [prepare(block) for block in data]


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

    def prepare(self, blocks: Sequence[Buffer]) -> list[Prepared]:
        self.given.append(len(blocks))
        return super().prepare(blocks)


@asynccontextmanager
async def opened(path: Path, workers: Workers | None) -> AsyncIterator[DiskStore]:
    async with open_disk_store(path, workers=workers) as store:
        yield store


async def test_a_store_uses_them_for_new_blocks_and_not_for_old_ones(tmp_path: Path) -> None:
    workers = CountingWorkers()
    data = blocks(40)[::2]
    async with opened(tmp_path, workers) as store:
        for _ in range(3):
            store.prepare_nowait(data)
            for block in data:
                assert store.write_nowait(BlockType.DATA, block) == Score.of(block)
            store.flush_nowait()
        # The second time nothing was new, which is seen only then.
        assert workers.given == [20, 20]
        new = blocks(40, seed=2)[::2]
        for block in new:
            store.write_nowait(BlockType.DATA, block)
        store.flush_nowait()
        store.prepare_nowait(blocks(10, seed=3))
        assert workers.given == [20, 20, 10]
        for block in data + new:
            assert store.read_nowait(Score.of(block), BlockType.DATA, 8192) == block


async def test_blocks_that_do_not_compress_are_not_worth_the_way(tmp_path: Path) -> None:
    workers = CountingWorkers()
    source = random.Random(4)
    async with opened(tmp_path, workers) as store:
        for compresses, given in ((False, 1), (False, 1), (True, 1), (True, 2)):
            data = [source.randbytes(8192) if not compresses else source.randbytes(2048) * 4 for _ in range(20)]
            store.prepare_nowait(data)
            assert len(workers.given) == given
            for block in data:
                assert store.write_nowait(BlockType.DATA, block) == Score.of(block)
            store.flush_nowait()


async def test_what_was_prepared_belongs_to_the_object_and_not_to_its_place(tmp_path: Path) -> None:
    data = blocks(16)
    async with opened(tmp_path, CountingWorkers()) as store:
        store.prepare_nowait(data)
        other = [bytes(bytearray(block[::-1])) for block in data]
        for block in other:
            assert store.write_nowait(BlockType.DATA, block) == Score.of(block)
        store.flush_nowait()
        with pytest.raises(BlockNotFound):
            store.read_nowait(Score.of(data[1]), BlockType.DATA, 8192)
        for block in other:
            assert store.read_nowait(Score.of(block), BlockType.DATA, 8192) == block


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


async def test_only_blocks_to_write_are_shown(tmp_path: Path) -> None:
    workers = CountingWorkers()
    async with opened(tmp_path, workers) as store:
        session = VentiSession(store)
        session.prepare([m.Tping(), m.Twrite(BlockType.DATA, b"x" * 100), m.Tsync()])
        session.prepare([m.Tping()])
        assert workers.given == [1]
