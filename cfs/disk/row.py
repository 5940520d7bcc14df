"""One extent, as a row of the index. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Where an extent's bytes are."""

    segment: int
    offset: int
    length: int


class Row(NamedTuple):
    """One extent of a file.

    Attributes:
        start: its first byte in the file.
        place: where it is.
        age: when it was last used, see ``ages``.
        sum: its checksum.
    """

    start: int
    place: Place
    age: int
    sum: bytes
