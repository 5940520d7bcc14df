"""Reads the arenas of a partition in several processes, away from the event loop.

Taking compressed blocks apart is work for the processor, and Python has one at a time in a process.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from typing import TypeAlias

import trio

from ninep.tasks.nursery import background
from venti.blocks.errors import VentiError
from venti.plan9.layout import Extent
from venti.plan9.partition import Block, Damage, Partition

Batch: TypeAlias = list[Block | Damage]

BATCH = 1024 * 1024
"""Bytes of blocks that are handed over at a time."""


class ReaderEnded(VentiError):
    """A process that read arenas is gone before it was done."""


@asynccontextmanager
async def batches(partition: Partition, processes: int = 1) -> AsyncIterator[trio.MemoryReceiveChannel[Batch]]:
    """What ``Partition.blocks`` gives, in batches; arenas that are read at the same time come mixed.

    ``processes`` is how many may be used; with one it is a thread of this process. Leaving the context ends them.

    Raises:
        ReaderEnded: one was killed.
    """
    parts = [partition.arenas[first::processes] for first in range(min(processes, len(partition.arenas)))]
    send, receive = trio.open_memory_channel[Batch](0)
    workers = [_Worker(partition.path, part) for part in parts] if len(parts) > 1 else []
    try:
        async with background() as nursery:
            with send:
                for worker in workers:
                    nursery.start_soon(worker.collect, send.clone())
                if not workers:
                    nursery.start_soon(_collect, partition, send.clone())
            yield receive
    finally:
        for worker in workers:
            worker.end()


async def _collect(partition: Partition, send: trio.MemorySendChannel[Batch]) -> None:
    found = _batched(partition.blocks())
    with send:
        while batch := await trio.to_thread.run_sync(next, found, None):
            await send.send(batch)


def _batched(items: Iterator[Block | Damage]) -> Iterator[Batch]:
    batch: Batch = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.data) if isinstance(item, Block) else 0
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Worker:
    """A process that reads some arenas, and the pipe that it sends them through."""

    def __init__(self, path: str, arenas: Sequence[Extent]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(path, arenas, theirs), daemon=True)
        self._process.start()
        theirs.close()

    async def collect(self, send: trio.MemorySendChannel[Batch]) -> None:
        """Passes on what comes, to the end."""
        with send:
            while True:
                try:
                    batch = await trio.to_thread.run_sync(self._pipe.recv, abandon_on_cancel=True)
                except (EOFError, OSError):
                    raise ReaderEnded("a process that read arenas was killed: start the import again") from None
                if batch is None:
                    return
                await send.send(batch)

    def end(self) -> None:
        """Kills the process if it still runs."""
        self._process.kill()
        self._process.join()
        self._process.close()


def _work(path: str, arenas: Sequence[Extent], pipe: Connection) -> None:
    """The other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nobody is left to tell when whoever wanted the blocks was killed.
    with suppress(BrokenPipeError), Partition(path) as partition:
        for batch in _batched(partition.blocks(arenas)):
            pipe.send(batch)
        pipe.send(None)
