"""Errors of the archive: one class on both sides of the wire, told apart by whose fault it is.

``VentiError``

* ``Refusal``: a server's no; its text is the error string of the protocol.

  * ``BlockNotFound``, ``ReadTooSmall``, ``BlockTooLarge``, ``BadBlockType``, ``ScoreCollision``, ``ReadOnlyStore``,
    ``StoreFull``, ``StoreFailed``

* ``DamagedBlock``: stored or received bytes are not what their score says.
* ``LostBlock``: a store said that it had a block, and cannot give it back.
* ``DamagedStore``: the store's own structure is damaged beyond what it repairs by itself.
* ``DamagedArchive``: sound blocks that do not hold what the format of trees and archives says.
* ``NotInArchive``: an archive has no file of that name.
* ``StoreInUse``: another process has the store open.
* ``NoStore``: there is none in that place; the text says what to name.
* ``CannotOpenStore``: the system does not let us; the text says where, why, and what to do.
* ``BadSettings``: a person's mistake in a file of settings or a flag.
"""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    from venti.blocks.score import Score


class VentiError(Exception):
    """Anything that goes wrong in the archive above the wire."""


class Refusal(VentiError):
    """A server's no; ``str()`` is the error string of the protocol, at most 127 bytes there."""


class BlockNotFound(Refusal):
    """There is no block under this score and type."""

    def __init__(self, score: Score, type: int) -> None:
        super().__init__(f"no block with score {score}/{int(type)} exists")
        self.score = score
        self.type = type


class ReadTooSmall(Refusal):
    """The block is longer than was asked for. Programs look for the first three words."""

    def __init__(self, asked: int, size: int) -> None:
        super().__init__(f"read too small: asked for {asked} need at least {size}")
        self.asked = asked
        self.size = size


class BlockTooLarge(Refusal):
    """More than 57344 bytes."""

    def __init__(self) -> None:
        super().__init__("lump too large")


class BadBlockType(Refusal):
    """A type number that means nothing: storing it would lose the block."""

    def __init__(self, number: int) -> None:
        super().__init__(f"unknown block type {number}")
        self.number = number


class ScoreCollision(Refusal):
    """Other bytes are stored under the same score: a forged SHA-1, refused."""

    def __init__(self, score: Score) -> None:
        super().__init__(f"score collision {score}")
        self.score = score


class ReadOnlyStore(Refusal):
    """The store takes no writes because it was told so."""

    def __init__(self) -> None:
        super().__init__("read only")


class StoreFull(Refusal):
    """There is no room for a new block."""

    def __init__(self, text: str = "no space left in arenas") -> None:
        super().__init__(text)


class StoreFailed(Refusal):
    """A write or sync failed earlier, so nothing more is promised; restart the server once the disk is well."""


class DamagedBlock(VentiError):
    """Bytes that are not what their score says; ``place`` tells where they came from."""

    def __init__(self, score: Score, place: str, detail: str = "score mismatch") -> None:
        super().__init__(f"damaged block {score} at {place}: {detail}")
        self.score = score
        self.place = place


class LostBlock(VentiError):
    """A store acknowledged a block and a sync, and cannot give the block back: what was written is not safe there."""

    def __init__(self, score: Score, type: int, reason: str) -> None:
        super().__init__(
            f"venti acknowledged block {score}/{int(type)} and cannot give it back ({reason}): its store "
            "lost blocks, or another one is in its place; check and repair it ('python -m venti verify' and 'repair', "
            "or fixarenas and buildindex of the original), or bring the right one back, then try again"
        )
        self.score = score
        self.type = type


class DamagedStore(VentiError):
    """The store's own structure is damaged; the text says where, and what to run."""


class DamagedArchive(VentiError):
    """The blocks are as they were written, but what they hold is no entry, root or directory; the text says which."""


class NotInArchive(VentiError):
    """An archive has no file of that name; the text names it."""


class StoreInUse(VentiError):
    """Another process has the store open; the text names it."""


class NoStore(VentiError):
    """There is no store in a place; the text says which, and what to name."""


class CannotOpenStore(VentiError):
    """The system does not let us make or open the store; the text says where, why, and what to do."""


class BadSettings(VentiError):
    """A setting that does not exist or cannot be understood; the text says which, and what would be right."""
