"""Scores: the SHA-1 of a block is its name. Source: venti(6), venti(7)."""

from __future__ import annotations

from hashlib import sha1
from typing import Final

from ninep.wire.dialect import Buffer

SIZE: Final = 20
"""Bytes of a score."""


class Score(bytes):
    """Twenty bytes that name a block. Printed as 40 lower-case hexadecimal digits."""

    __slots__ = ()

    def __new__(cls, digest: Buffer) -> Score:
        """Raises ValueError unless ``digest`` has 20 bytes."""
        if len(digest) != SIZE:
            raise ValueError(f"a score has {SIZE} bytes, not {len(digest)}")
        return super().__new__(cls, digest)

    @classmethod
    def of(cls, data: Buffer) -> Score:
        """The score of a block's bytes."""
        return bytes.__new__(cls, sha1(data, usedforsecurity=False).digest())

    @classmethod
    def parse(cls, text: str) -> Score:
        """Reads 40 hexadecimal digits of either case.

        Raises:
            ValueError: it is anything else; the text tells what a score looks like.
        """
        try:
            if len(text) == 2 * SIZE:
                return cls(bytes.fromhex(text))
        except ValueError:
            pass
        raise ValueError(f"{text!r} is not a score: 40 hexadecimal digits are")

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"Score({self.hex()})"


ZERO_SCORE: Final = Score.of(b"")
"""The score of the empty block: it stands for holes and is never stored."""
