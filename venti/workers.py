"""Processes beside a server that hash and compress blocks: how one store uses more than one processor.

Threads are no use for that: a block is hashed faster than CPython hands the interpreter from one thread to another.
So blocks that arrived together are divided: some are copied to memory that is shared with a worker, which begins at
once, and the server does the others meanwhile. Who is done first takes from the other's. No state is kept anywhere
but in the server: a worker that is slow or gone costs time and nothing else.
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

from ninep.wire.dialect import Buffer
from venti.prepared import SIZE, Job, Prepared, prepare

log = logging.getLogger(__name__)

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
    """One process, and what is known of its state."""

    def __init__(self) -> None:
        """Starts it; raises OSError where that cannot be done."""
        descriptor = os.memfd_create("venti-worker")
        ours, theirs = socket.socketpair()
        try:
            os.ftruncate(descriptor, SIZE)
            self._memory = mmap.mmap(descriptor, SIZE)
            passed = (theirs.fileno(), descriptor)
            program = f"import sys; sys.path[:] = {sys.path!r}; from venti.worker import main; main{passed!r}"
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
        self.job = Job(memoryview(self._memory))
        self.busy = False
        self.gone = False

    def begin(self, blocks: Sequence[Buffer]) -> int:
        """Gives it a job; of how many blocks."""
        count = self.job.fill(blocks)
        try:
            self._channel.send(b"g")
            self.busy = True
        except OSError:
            self._lost()
            return 0
        return count

    def done(self) -> bool:
        """Whether it has nothing to do. Never waits."""
        if self.busy:
            try:
                answer = self._channel.recv(1)
            except BlockingIOError:
                return False
            except OSError:
                answer = b""
            self.busy = False
            if not answer:
                self._lost()
        return not self.gone

    def wait(self) -> bool:
        """Whether it has done its job within ``PATIENCE``."""
        end = time.perf_counter() + PATIENCE
        near = end - PATIENCE + PATIENCE / 20
        while not self.done() and not self.gone:
            now = time.perf_counter()
            if now >= end:
                return False
            if now < near:
                os.sched_yield()
            else:
                select.select([self._channel], [], [], end - now)
        return not self.gone

    def _lost(self) -> None:
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
        self.job = Job(memoryview(b""))
        with contextlib.suppress(BufferError):
            self._memory.close()


class Workers:
    """Some workers, and the work divided among them and the caller. ``running`` makes it."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        """Without workers, the caller does it all."""
        self._workers = list(workers)

    @property
    def processes(self) -> list[int]:
        """Their numbers."""
        return [worker.process for worker in self._workers]

    def prepare(self, blocks: Sequence[Buffer]) -> list[Prepared]:
        """``prepared.prepare`` of each block, in this process and in others. Returns when all is done."""
        count = len(blocks)
        shares: list[tuple[Worker, int, int]] = []
        free = [worker for worker in self._workers if worker.done()]
        end = count
        if count >= LEAST_BLOCKS and sum(map(len, blocks)) >= LEAST_BYTES:
            share = count // (len(free) + 1)
            for worker in free:
                given = worker.begin(blocks[end - share : end])
                if given:
                    shares.append((worker, end - share, given))
                    if given < share:
                        break
                    end -= share
        results: list[Prepared | None] = [None] * count
        taken = {number for _, first, given in shares for number in range(first, first + given)}
        for number in range(count):
            if number not in taken:
                results[number] = prepare(blocks[number])
        for worker, first, given in shares:
            own = 0
            while own < given and not worker.done() and worker.job.take_back(own):
                results[first + own] = prepare(blocks[first + own])
                own += 1
            finished = worker.wait()
            for number in range(own, given):
                found = worker.job.result(number) if finished else None
                results[first + number] = found or prepare(blocks[first + number])
        return [result for result in results if result is not None]

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
