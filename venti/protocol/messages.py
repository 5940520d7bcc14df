"""The messages of venti. Source: venti(6). Tags are no part of a message: the wire layer carries them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from ninep.wire.dialect import Buffer
from venti.blocks.blocktype import BlockType
from venti.blocks.score import Score

LARGEST_BLOCK = 57344
"""Bytes of the largest block: 56 KiB."""


class Thello(NamedTuple):
    """Must come first, under tag 0; ``version`` is the one agreed in the version lines. The rest is not used."""

    version: str
    uid: str
    strength: int = 0
    crypto: bytes = b""
    codec: bytes = b""


class Rhello(NamedTuple):
    """The server's name for the user, and no encryption and no compression."""

    sid: str = "anonymous"
    crypto: int = 0
    codec: int = 0


class Tping(NamedTuple):
    """Asks for nothing."""


class Rping(NamedTuple):
    """Is nothing."""


class Tread(NamedTuple):
    """Asks for a block of at most ``count`` bytes."""

    score: Score
    blocktype: BlockType
    count: int  # type: ignore[assignment]  # and no method, which tuples have


class Rread(NamedTuple):
    """The block."""

    data: Buffer


class Twrite(NamedTuple):
    """Stores a block."""

    blocktype: BlockType
    data: Buffer


class Rwrite(NamedTuple):
    """Its score."""

    score: Score


class Tsync(NamedTuple):
    """Asks that everything written so far be safe."""


class Rsync(NamedTuple):
    """It is."""


class Tgoodbye(NamedTuple):
    """The client leaves; there is no answer."""


class Rerror(NamedTuple):
    """A refusal."""

    error: str


class Unsupported(NamedTuple):
    """A request that has a number and no meaning, or is a reply."""

    number: int


Request: TypeAlias = Thello | Tping | Tread | Twrite | Tsync | Tgoodbye | Unsupported
Reply: TypeAlias = Rhello | Rping | Rread | Rwrite | Rsync | Rerror
