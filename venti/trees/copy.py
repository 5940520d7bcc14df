"""Copies trees of blocks from one archive to another, children before parents. Source: copy in venti(1).

A block is written only when everything that it leads to has been. So whatever is found at the destination, after any
interruption, has its whole tree below it, and a later copy need not look further (``fast``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from ninep.tasks.jobs import Jobs
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BlockNotFound, DamagedArchive, DamagedBlock, ReadTooSmall, VentiError
from venti.blocks.score import Score
from venti.protocol.messages import LARGEST_BLOCK
from venti.stores.fetch import WINDOW
from venti.stores.interface import BlockStore
from venti.trees.links import Link, links


class _Node:
    """A block on its way: how many of the blocks below it are not there yet, and who waits for it."""

    __slots__ = ("data", "left", "link", "parents")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.parents: list[_Node] = []
        self.left = 0
        self.data = b""


class Copier:
    """Copies; made for one or more calls of ``run``.

    Attributes:
        written: blocks that went to the destination.
        skipped: trees whose top was there already.
        size: bytes written.
        failures: what could not be read, with ``ignore``.
    """

    def __init__(
        self,
        source: BlockStore,
        destination: BlockStore,
        *,
        fast: bool = False,
        ignore: bool = False,
        window: int = WINDOW,
        progress: Callable[[int], None] = lambda size: None,
        below: Callable[[BlockType, bytes], list[Link]] = links,
    ) -> None:
        """Prepares to copy.

        ``fast`` takes a tree for copied whose top block the destination has. ``ignore`` goes on where a block cannot
        be read; the blocks above it are copied all the same. ``progress`` hears of each block's size. ``below`` says
        which blocks a block leads to; those that it leaves out are not copied.
        """
        self.written = self.skipped = self.size = 0
        self.failures: list[VentiError] = []
        self._source = source
        self._destination = destination
        self._fast = fast
        self._ignore = ignore
        self._progress = progress
        self._below = below
        self._jobs = Jobs(window)
        self._open: dict[Link, _Node] = {}
        self._done: set[Link] = set()

    async def run(self, score: Score, type: BlockType = BlockType.ROOT) -> None:
        """Copies the tree; everything is safe at the destination when this returns. Raises as ``run_all`` does."""
        await self.run_all([Link(score, type)])

    async def run_all(self, tops: Iterable[Link]) -> None:
        """Copies the trees below these blocks.

        Raises:
            BlockNotFound, DamagedBlock, DamagedArchive: the source lacks something, unless that is to be ignored.
            And what the destination's ``write`` and ``sync`` raise.
        """
        for link in tops:
            self._want(link, None)
        await self._jobs.run()
        await self._destination.sync()

    def _want(self, link: Link, parent: _Node | None) -> None:
        if link in self._done:
            return
        node = self._open.get(link)
        if node is None:
            node = self._open[link] = _Node(link)
            self._jobs.add(functools.partial(self._read, node))
        if parent is not None:
            node.parents.append(parent)
            parent.left += 1

    async def _read(self, node: _Node) -> None:
        score, type = node.link
        if self._fast and await self._has(score, type):
            self.skipped += 1
            self._finish(node)
            return
        below: list[Link] = []
        try:
            node.data = await self._source.read(score, type, LARGEST_BLOCK)
            below = self._below(type, node.data)
        except (BlockNotFound, DamagedBlock, DamagedArchive) as error:
            if not self._ignore:
                raise
            self.failures.append(error)
            if not node.data:
                self._finish(node)
                return
        # Held until every child is counted, so that the first to arrive does not think it is the last.
        node.left = 1
        for link in below:
            self._want(link, node)
        node.left -= 1
        if not node.left:
            await self._write(node)

    async def _has(self, score: Score, type: BlockType) -> bool:
        try:
            await self._destination.read(score, type, 0)
        except ReadTooSmall:
            return True
        except (BlockNotFound, DamagedBlock):
            return False
        return False

    async def _write(self, node: _Node) -> None:
        await self._destination.write(node.link.type, node.data)
        self.written += 1
        self.size += len(node.data)
        self._progress(len(node.data))
        self._finish(node)

    def _finish(self, node: _Node) -> None:
        del self._open[node.link]
        if node.link.type.depth or node.link.type >= BlockType.DIR:
            # Leaves are so many that they are rather copied twice than remembered.
            self._done.add(node.link)
        for parent in node.parents:
            parent.left -= 1
            if not parent.left:
                self._jobs.add(functools.partial(self._write, parent))
