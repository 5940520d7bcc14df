"""The interface of every block store, and what each of its methods promises.

Memory, disk, remote, cached, mirrored and fault-injecting stores implement it, and pass one contract
(``tests/contracts/block_store.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score

if TYPE_CHECKING:
    # Loads what hashes and compresses, which a client does not.
    from venti.workers.prepared import Prepared

T_co = TypeVar("T_co", covariant=True)


class BlockStore(Protocol):
    """Blocks by (score, type): written once, never changed, never deleted.

    All methods may be called at the same time. A cancelled ``write`` may or may not have stored the block, which is
    harmless; a cancelled ``sync`` promises nothing.
    """

    async def read(self, score: Score, type: BlockType, limit: int) -> bytes:
        """The block, whose SHA-1 is ``score``. The zero score reads as the empty block.

        Raises:
            BlockNotFound: there is none under that score and type.
            ReadTooSmall: it is longer than ``limit`` bytes.
            DamagedBlock: what is stored is not what was written; damaged bytes are never returned.
        """
        ...

    async def write(self, type: BlockType, data: Buffer) -> Score:
        """Stores up to 57344 bytes and returns their score. The empty block is not stored, its score is fixed.

        Raises:
            BlockTooLarge, ReadOnlyStore, StoreFull, ScoreCollision
        """
        ...

    async def sync(self) -> None:
        """Returns when every block that was written before is on stable storage.

        Raises:
            StoreFailed: that cannot be promised; the store takes no more writes.
        """
        ...

    async def aclose(self) -> None:
        """Syncs where there is something to sync, and releases everything. A second call does nothing."""
        ...


class ImmediateStore(BlockStore, Protocol):
    """A store that can often answer without waiting. Method names are as in trio: what would wait raises instead."""

    def read_nowait(self, score: Score, type: BlockType, limit: int) -> bytes:
        """``read``, or ``trio.WouldBlock`` where the block must be fetched from a slow place."""
        ...

    def write_nowait(self, type: BlockType, data: Buffer) -> Score:
        """``write``, or ``trio.WouldBlock``. Others can read the block at once; see ``flush_nowait``.

        ``data`` must stay as it is until the next ``flush_nowait``.
        """
        ...

    def flush_nowait(self) -> None:
        """Hands what ``write_nowait`` took to the operating system: it then survives the end of this process.

        Raises:
            StoreFull, StoreFailed: nothing that was written since the last flush is kept.
        """
        ...


class Preparation(Protocol):
    """Work under way for blocks that came together."""

    def results(self) -> Sequence[Prepared]:
        """What was found about each of them. The first call may take as long as doing it all."""
        ...


@runtime_checkable
class PreparingStore(ImmediateStore, Protocol):
    """A store that takes many blocks at once, and can have a part of the work done elsewhere meanwhile."""

    def prepare_nowait(self, blocks: Sequence[Buffer]) -> Preparation | None:
        """Begins the work for blocks that are about to be given to ``write_all_nowait``; None: there is none to begin.

        The blocks must stay as they are until they are flushed, or the preparation is dropped.
        """
        ...

    def write_all_nowait(
        self, types: Sequence[BlockType], blocks: Sequence[Buffer], preparation: Preparation | None = None
    ) -> list[Score | Exception]:
        """``write_nowait`` of many blocks at once, which costs less: what it would return or raise for each.

        ``preparation`` is that of these blocks.
        """
        ...


class Pending(Protocol[T_co]):
    """A call whose answer is under way."""

    async def wait(self) -> T_co:
        """The answer, or what the method raises that waits for it. If it is cancelled, the answer is dropped."""
        ...


class PipelinedStore(BlockStore, Protocol):
    """A store that takes many calls before it answers the first: one task can keep a long way to it full."""

    def begin_read(self, score: Score, type: BlockType, limit: int) -> Pending[bytes]:
        """``read`` in two halves. ``score`` is not the zero score.

        Raises:
            trio.WouldBlock: too many calls are under way; ``read`` waits until there is room.
            ConnectionLost
        """
        ...

    def begin_write(self, type: BlockType, data: bytes, score: Score) -> Pending[Score]:
        """``write`` in two halves, of a block that is neither empty nor too large and whose score is known.

        Raises:
            trio.WouldBlock: too many calls are under way; ``write`` waits until there is room.
            ConnectionLost
        """
        ...
