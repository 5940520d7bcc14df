"""Qids: a server's name for a file, its version and its kind. Source: intro(5)."""

from __future__ import annotations

from typing import NamedTuple

QTDIR = 0x80
QTAPPEND = 0x40
QTEXCL = 0x20
QTMOUNT = 0x10
QTAUTH = 0x08
QTTMP = 0x04
QTSYMLINK = 0x02
QTLINK = 0x01
QTFILE = 0x00


class Qid(NamedTuple):
    """Two files of one server are the same if their paths are equal.

    Attributes:
        type: the high byte of the mode (``QTDIR`` and others).
        version: changes whenever the content changes; 32 bits, wraps.
        path: identity, 64 bits, never used again.
    """

    type: int
    version: int
    path: int

    @property
    def is_directory(self) -> bool:
        """Whether this names a directory."""
        return bool(self.type & QTDIR)
