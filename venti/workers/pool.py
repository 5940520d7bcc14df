"""A pool of processes that hash and compress blocks, so that a server can use several processors.

Threads are no use for that: a block is hashed faster than CPython hands the interpreter from one thread to another.
So blocks that arrived together are copied to memory that is shared with a worker, which begins with the last of them.
The server goes on with other things, and when it needs the results it does those that the worker has not come to, from
the first on. No state is kept anywhere but in the server: a worker that is slow or gone costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ninep.wire.dialect import Buffer
from venti.workers.prepared import SIZE, Job, Prepared, prepare
from venti.workers.worker import main

log = logging.getLogger(__name__)

JOBS = 16
"""Jobs that a worker may have before it."""
LEAST_BLOCKS = 8
"""With fewer blocks it takes longer to tell somebody than to do them."""
LEAST_BYTES = 32 * 1024
"""And with fewer bytes."""
PATIENCE = 0.05
"""Seconds after which the server does a worker's blocks itself."""
MOST_WORKERS = 3
"""More of them than that have nothing to do: the server's own part of the work is then the longest."""


def usual_number() -> int:
    """How many workers suit this machine: one for each processor beside the first."""
    if not hasattr(os, "memfd_create"):
        return 0
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)) - 1)


class Worker:
    """One process, and what is known of its state. It does its jobs in the order in which they were given."""

    def __init__(self) -> None:
        """Starts it; raises OSError where that cannot be done."""
        descriptor = os.memfd_create("venti-worker")
        ours, theirs = socket.socketpair()
        try:
            os.ftruncate(descriptor, JOBS * SIZE)
            self._memory = mmap.mmap(descriptor, JOBS * SIZE)
            passed = (theirs.fileno(), descriptor)
            program = f"import sys; sys.path[:] = {sys.path!r}; from {main.__module__} import main; main{passed!r}"
            self._process = subprocess.Popen([sys.executable, "-c", program], pass_fds=passed, stdin=subprocess.DEVNULL)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(descriptor)
        self._channel = ours
        self._channel.setblocking(False)
        self.process = self._process.pid
        self._jobs = [Job(memoryview(self._memory)[n * SIZE : (n + 1) * SIZE]) for n in range(JOBS)]
        self._begun = 0
        self._done = 0
        self.gone = False

    def begin(self, blocks: Sequence[Buffer]) -> Given | None:
        """Gives it a job, of as many of the blocks as there is room for. None: it has enough to do, or is gone."""
        if self.gone or (self._begun - self._done >= JOBS and self._begun - self._listen() >= JOBS):
            return None
        slot = self._begun % JOBS
        job = self._jobs[slot]
        count = job.fill(blocks)
        try:
            self._channel.send(bytes((slot,)))
        except OSError:
            self._lost()
            return None
        self._begun += 1
        return Given(self, self._begun, job, job.number, count)

    def _listen(self) -> int:
        """How many jobs it has done. Never waits."""
        try:
            answers = self._channel.recv(JOBS)
        except BlockingIOError:
            return self._done
        except OSError:
            answers = b""
        if not answers:
            self._lost()
        self._done += len(answers)
        return self._done

    def wait(self, number: int) -> bool:
        """Whether it has done its job of that number within ``PATIENCE``."""
        if self._done >= number:
            return True
        end = time.perf_counter() + PATIENCE
        near = end - PATIENCE + PATIENCE / 20
        while self._listen() < number and not self.gone:
            now = time.perf_counter()
            if now >= end:
                return False
            if now < near:
                os.sched_yield()
            else:
                select.select([self._channel], [], [], end - now)
        return not self.gone

    def _lost(self) -> None:
        if not self.gone:
            self.gone = True
            log.warning("worker %d has ended: the server does its work itself from now on", self.process)

    def close(self) -> None:
        """Ends it."""
        self._channel.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._jobs.clear()
        with contextlib.suppress(BufferError):
            self._memory.close()


class Given(NamedTuple):
    """So many blocks that a worker has been given, as the job of that ``number`` in its place, its ``order``-th."""

    worker: Worker
    order: int
    job: Job
    number: int
    size: int

    def results(self, blocks: Sequence[Buffer]) -> list[Prepared]:
        """What is to be known of these blocks. The caller does those that the worker has not begun."""
        results: list[Prepared] = []
        if self.job.number == self.number:
            while len(results) < self.size and self.job.take_back(len(results)):
                results.append(prepare(blocks[len(results)]))
            own = len(results)
            if own < self.size and self.worker.wait(self.order):
                found = self.job.results(blocks, own)
                results += (result or prepare(blocks[own + n]) for n, result in enumerate(found))
        # The place was needed for others, or the worker is too slow.
        results += (prepare(data) for data in blocks[len(results) :])
        return results


class Batch:
    """Blocks that came together, and what is found about them meanwhile. ``Workers.begin`` makes it."""

    def __init__(self, blocks: Sequence[Buffer], given: Sequence[Given]) -> None:
        self._blocks = blocks
        self._given = given
        self._results: list[Prepared] | None = None

    def results(self) -> list[Prepared]:
        """What is to be known of each block. The first call may do a part of the work, or wait for it a moment."""
        if self._results is None:
            results: list[Prepared] = []
            blocks = self._blocks
            for given in self._given:
                results += given.results(blocks[len(results) : len(results) + given.size])
            results += (prepare(data) for data in blocks[len(results) :])
            self._results = results
        return self._results


class Workers:
    """Some workers, and the work divided among them and the caller. ``running`` makes it."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        """Without workers, the caller does it all."""
        self._workers = list(workers)

    @property
    def processes(self) -> list[int]:
        """Their numbers."""
        return [worker.process for worker in self._workers]

    def begin(self, blocks: Sequence[Buffer]) -> Batch:
        """Has ``prepared.prepare`` done to each block. The blocks must stay as they are until the results are taken."""
        given: list[Given] = []
        if len(blocks) >= LEAST_BLOCKS and sum(map(len, blocks)) >= LEAST_BYTES:
            share = -(-len(blocks) // max(1, len(self._workers)))
            first = 0
            for worker in self._workers:
                part = worker.begin(blocks[first : first + share])
                if part is not None:
                    given.append(part)
                    first += part.size
        return Batch(blocks, given)

    def close(self) -> None:
        """Ends them."""
        for worker in self._workers:
            worker.close()


@contextlib.contextmanager
def running(number: int) -> Iterator[Workers | None]:
    """So many workers until the context ends; None for none. Where they cannot be started the log says so."""
    workers: list[Worker] = []
    try:
        for _ in range(number):
            try:
                workers.append(Worker())
            except OSError as error:
                log.warning("cannot start a worker (%s): the server does its work itself", error)
                break
        yield Workers(workers) if workers else None
    finally:
        for worker in workers:
            worker.close()
