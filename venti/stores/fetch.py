"""Reads many blocks of a store at once, so that they share a round trip."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import trio

from ninep.tasks.each import for_each
from venti.blocks.blocktype import BlockType
from venti.blocks.score import ZERO_SCORE, Score
from venti.stores.interface import BlockStore, Pending

WINDOW: Final = 64
"""Calls in flight for one reader or writer: enough to hide the way, few enough to leave tags to others."""

Begin = Callable[[Score, BlockType, int], Pending[bytes]]


async def fetch(
    store: BlockStore, wanted: Sequence[tuple[Score, BlockType, int]], *, window: int = WINDOW
) -> list[bytes]:
    """The blocks, in the order of ``wanted``, which names for each its score, its type and its size limit.

    At most ``window`` reads are in flight. The first failure ends the others.

    Raises:
        What ``store.read`` raises, as it is and not in a group.
    """
    blocks = [b""] * len(wanted)
    immediate: Callable[[Score, BlockType, int], bytes] | None = getattr(store, "read_nowait", None)
    begin: Begin | None = getattr(store, "begin_read", None)
    missing: list[int] = []
    for index, (score, type, limit) in enumerate(wanted):
        if score == ZERO_SCORE:
            continue
        if immediate is not None:
            try:
                blocks[index] = immediate(score, type, limit)
                continue
            except trio.WouldBlock:
                pass
        missing.append(index)
    if not missing:
        await trio.lowlevel.checkpoint()
    elif len(missing) == 1:
        blocks[missing[0]] = await store.read(*wanted[missing[0]])
    elif begin is not None:
        await _fetch_pipelined(store, begin, wanted, missing, blocks, window)
    else:

        async def read(index: int) -> None:
            blocks[index] = await store.read(*wanted[index])

        await for_each(missing, read, window)
    return blocks


async def _fetch_pipelined(
    store: BlockStore,
    begin: Begin,
    wanted: Sequence[tuple[Score, BlockType, int]],
    missing: Sequence[int],
    blocks: list[bytes],
    window: int,
) -> None:
    """One task, all calls begun before the first answer is waited for."""
    under_way: deque[tuple[int, Pending[bytes]]] = deque()
    for index in missing:
        while len(under_way) >= window:
            first, pending = under_way.popleft()
            blocks[first] = await pending.wait()
        try:
            under_way.append((index, begin(*wanted[index])))
        except trio.WouldBlock:
            blocks[index] = await store.read(*wanted[index])
    for index, pending in under_way:
        blocks[index] = await pending.wait()
