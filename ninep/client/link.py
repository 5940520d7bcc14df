"""A connection to a server that is replaced by a new one when it breaks."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

import trio

from ninep.client.tree import RemoteTree
from ninep.net.errors import ConnectionLost, Unreachable
from ninep.tasks.nursery import background

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that a call waits for the server to come back."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds between two attempts, growing from the one to the other."""


class Link:
    """The present connection, and the next when that broke.

    Attributes:
        patience: seconds that ``tree`` tries to have one.
    """

    def __init__(
        self, nursery: trio.Nursery, make: Callable[[], AbstractAsyncContextManager[RemoteTree]], patience: float
    ) -> None:
        self._nursery = nursery
        self._make = make
        self.patience = patience
        self._tree: RemoteTree | None = None
        self._lock = trio.Lock()

    async def tree(self) -> RemoteTree:
        """A tree whose connection is not known to be broken.

        Raises:
            Unreachable: the server did not come back in time.
            FileError, NinepError: it came back, and does not let us in.
        """
        tree = self._tree
        if tree is not None and tree.connection.lost is None:
            return tree
        async with self._lock:
            if self._tree is not None and self._tree.connection.lost is None:
                return self._tree
            if self._tree is None:
                self._tree = await self._nursery.start(self._hold)
            else:
                self._tree = await self._again()
            return self._tree

    async def _again(self) -> RemoteTree:
        deadline, pause = trio.current_time() + self.patience, FIRST_PAUSE
        log.info("the connection broke: dialling again")
        while True:
            try:
                made: RemoteTree = await self._nursery.start(self._hold)
            except (Unreachable, ConnectionLost) as error:
                if trio.current_time() + pause > deadline:
                    raise Unreachable(f"the server did not come back within {self.patience:g} s: {error}") from error
                await trio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                return made

    async def _hold(self, *, task_status: trio.TaskStatus[RemoteTree]) -> None:
        async with self._make() as tree:
            task_status.started(tree)
            await tree.connection.wait_lost()

    async def repeated(self, work: Callable[[RemoteTree], Awaitable[T]]) -> T:
        """Does ``work`` until a connection lives long enough for it."""
        while True:
            tree = await self.tree()
            try:
                return await work(tree)
            except ConnectionLost:
                if tree.connection.lost is None:
                    raise


@asynccontextmanager
async def linked(
    make: Callable[[], AbstractAsyncContextManager[RemoteTree]], *, patience: float = PATIENCE
) -> AsyncIterator[Link]:
    """A link whose connections ``make`` makes; the first one is there."""
    async with background() as nursery:
        link = Link(nursery, make, patience)
        await link.tree()
        yield link
