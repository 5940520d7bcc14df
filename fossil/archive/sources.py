"""The archives that a file system used before, where blocks may be that its present venti lacks."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from fossil.archive.vault import OpenStore
from ninep.net.errors import Unreachable, WireError
from ninep.tasks import background
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, VentiError
from venti.blocks.score import Score
from venti.stores.interface import BlockStore

log = logging.getLogger(__name__)

OPENING = 10.0
"""Seconds that each has to answer."""


class Sources:
    """Those that answer.

    Attributes:
        away: the others: what they are called, and why they cannot be asked.
    """

    def __init__(self) -> None:
        self._stores: dict[str, BlockStore] = {}
        self.away: dict[str, str] = {}

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """A block from the first that has it. Raises ``BlockNotFound`` where none does."""
        for name, store in list(self._stores.items()):
            try:
                return await store.read(score, type, limit)
            except VentiError:
                continue
            except (WireError, OSError) as error:
                self._lost(name, error)
        raise BlockNotFound(score, type)

    def _lost(self, name: str, error: Exception) -> None:
        self._stores.pop(name, None)
        self.away[name] = str(error) or type(error).__name__
        log.warning("an earlier archive, %s, cannot be asked for blocks: %s", name, self.away[name])

    async def _hold(self, name: str, open_store: OpenStore, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            with trio.CancelScope(deadline=trio.current_time() + OPENING) as opening:
                async with open_store() as store:
                    opening.deadline = float("inf")
                    self._stores[name] = store
                    task_status.started()
                    await trio.sleep_forever()
            raise Unreachable("it does not answer")
        except (WireError, OSError, VentiError) as error:
            begun = name in self._stores
            self._lost(name, error)
            if not begun:
                task_status.started()


@asynccontextmanager
async def open_sources(known: Sequence[tuple[str, OpenStore]]) -> AsyncIterator[Sources]:
    """Connects to those of the archives that answer; ``known`` has what each is called and what opens it."""
    sources = Sources()
    async with background() as nursery:
        for name, open_store in known:
            await nursery.start(sources._hold, name, open_store)
        yield sources
