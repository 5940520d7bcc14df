"""Background work of a server on its store: healing from a mirror, and scrubbing."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from ninep.net.networks import Networks
from ninep.tasks.nursery import background
from ninep.tasks.rounds import Rounds
from venti.blocks.errors import BlockNotFound, DamagedBlock, StoreInUse
from venti.log.arena import Gap
from venti.log.store import DiskStore
from venti.protocol.messages import LARGEST_BLOCK
from venti.stores.interface import ImmediateStore
from venti.stores.mirrored import PreparingMirroredStore, mirror
from venti.stores.remote import connect
from venti.upkeep.scrub import Scrubber, alone
from venti.upkeep.survey import Fault, in_gaps

log = logging.getLogger(__name__)

SCRUB_RATE = 2 * 1024 * 1024
"""Bytes a second unless one says otherwise: a terabyte in six days."""
RETRY = 60.0
"""Seconds after which the server tries again to scrub when another process does."""


@asynccontextmanager
async def looked_after(
    store: DiskStore, path: Path, *, mirror_address: str | None, scrub_rate: int, networks: Networks | None = None
) -> AsyncIterator[ImmediateStore]:
    """The store to serve, for as long as the context lasts.

    ``mirror_address``: an archive that has the same blocks; from there comes what is found damaged. ``scrub_rate``:
    bytes a second, 0 for no scrubbing.
    """
    async with AsyncExitStack() as stack:
        served: ImmediateStore = store
        if mirror_address is not None:
            there = await stack.enter_async_context(mirror(lambda: connect(mirror_address, networks=networks)))
            served = PreparingMirroredStore(store, there)
        nursery = await stack.enter_async_context(background())
        if scrub_rate:
            nursery.start_soon(_scrub, store, served, path, scrub_rate)
        yield served


async def _scrub(store: DiskStore, served: ImmediateStore, path: Path, rate: int) -> None:
    async def heal(fault: Fault) -> bool:
        """Reading is enough: it finds a later copy, or has the mirror help. The index says what a gap has swallowed."""
        if fault.size:
            gap = Gap(fault.offset, fault.offset + fault.size)
            swallowed = in_gaps(fault.arena, [gap], await store.known_in(fault.arena, gap))
            return all([await can_be_read(one) for one in swallowed])
        return await can_be_read(fault)

    async def can_be_read(fault: Fault) -> bool:
        if fault.score is None or fault.type is None:
            return False
        try:
            await served.read(fault.score, fault.type, LARGEST_BLOCK)
        except (DamagedBlock, BlockNotFound):
            return False
        except Exception as error:
            # The others are looked at all the same.
            log.warning("scrub: %s cannot be looked at: %r", fault.score, error)
            return False
        return True

    def report(fault: Fault) -> None:
        log.error("scrub: %s", fault)

    rounds = Rounds(log, "the scrub")
    while True:
        with rounds.one():
            try:
                with alone(path):
                    await Scrubber(path, rate=rate, heal=heal, report=report).run()
            except StoreInUse:
                pass
            except OSError as error:
                log.warning("the store cannot be scrubbed and is tried again later: %s", error)
        await trio.sleep(RETRY)
