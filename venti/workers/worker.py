"""The main loop of a worker process that hashes and compresses blocks. It imports little, so that it starts fast.

A byte on a socket is the order to do the job in that place of the shared memory, the same byte back says that it is
done, and the end of the stream is the end. See ``workers``.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import socket
import time

from venti.workers.prepared import SIZE, Job

LOOK = 200e-6
"""Seconds that it looks for the next order before it sleeps: the next batch of blocks is often that near."""


def main(channel: int, memory: int) -> None:
    """Works until the other side is gone. The arguments are descriptors."""
    # What ends a group of processes must not end the workers before their server: they end with it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # A server that ends without having taken all answers resets the stream.
    with contextlib.suppress(ConnectionError):
        work(socket.socket(fileno=channel), mmap.mmap(memory, 0))


def work(channel: socket.socket, memory: mmap.mmap) -> None:
    """Does jobs until the stream ends."""
    view = memoryview(memory)
    jobs = [Job(view[at : at + SIZE]) for at in range(0, len(view), SIZE)]
    channel.setblocking(False)
    until = 0.0
    while True:
        try:
            orders = channel.recv(len(jobs))
        except BlockingIOError:
            if time.perf_counter() < until:
                os.sched_yield()
            else:
                select.select([channel], [], [])
            continue
        if not orders:
            return
        for place in orders:
            jobs[place].work()
            channel.send(bytes((place,)))
        until = time.perf_counter() + LOOK
