"""A file or directory as it is in one epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack

from fossil.data.extents import Extent
from ninep.protocol.qid import Qid
from ninep.protocol.stat import NO32, Stat, seconds

_new = tuple.__new__
_pack: Callable[[object], bytes] = msgpack.Packer(autoreset=True).pack
_FAR = 1 << 63
"""Nanoseconds that an integer of the database can just not have: the year 2262, and 1677 before 1970."""


class Node:
    """One row of ``node``, and what of its content has been looked at.

    Attributes:
        path: its number, never used again.
        born: the epoch of its row in the database.
        parent: the path of its directory.
        atime, mtime, ctime: last read, last change of the content, last change of anything, in nanoseconds since 1970.
        holds: what other rows it has: bytes of a file's extents, names of a directory; -1 where that is not known.
        links: the further names of a file that has more than one, as (directory, name, number).
        changed: the last epoch in which it, or anything below it, became different.
        children: name to (path, epoch of the name's row) of a directory; None before it was looked at.
        extents: of a file; None before they were looked at.
        removed: whether it has been taken out of the tree.
        holder: the view that has it for itself, if it is for exclusive use and open.
        lease: until when, on trio's clock.
        opens: how many fids have it open.
        looked: when its extents were looked at; see ``Content.moved``.
        orphans: pieces to give back when a removed file is closed.
        entry: its directory entry as it was last packed, with the names of users in ``entry_names``; None where it
            has changed since.
        held: where the pieces of a removed file are that is open, so that nobody gives them back meanwhile.
    """

    __slots__ = (
        "__weakref__",
        "atime",
        "born",
        "changed",
        "children",
        "ctime",
        "entry",
        "entry_names",
        "extents",
        "gid",
        "held",
        "holder",
        "holds",
        "lease",
        "length",
        "links",
        "looked",
        "mode",
        "mtime",
        "muid",
        "name",
        "opens",
        "orphans",
        "parent",
        "path",
        "qid",
        "removed",
        "uid",
        "version",
    )

    def __init__(
        self,
        path: int,
        born: int,
        parent: int,
        name: str,
        version: int,
        mode: int,
        atime: int,
        mtime: int,
        ctime: int,
        length: int,
        holds: int,
        uid: str,
        gid: str,
        muid: str,
        changed: int,
        links: tuple[tuple[int, str, int], ...] = (),
    ) -> None:
        self.path = path
        self.born = born
        self.parent = parent
        self.name = name
        self.version = version
        self.mode = mode
        self.atime = atime
        self.mtime = mtime
        self.ctime = ctime
        self.length = length
        self.holds = holds
        self.uid = uid
        self.gid = gid
        self.muid = muid
        self.changed = changed
        self.links = links
        self.children: dict[str, tuple[int, int]] | None = None
        self.extents: list[Extent] | None = None
        self.removed = False
        self.holder: object = None
        self.lease = 0.0
        self.looked = 0
        self.opens = 0
        self.entry: bytes | None = None
        self.entry_names: Mapping[str, str] | None = None
        self.orphans: list[tuple[int, int]] = []
        self.held: list[int] = []
        self.qid = Qid(mode >> 24, version, path)

    @classmethod
    def loaded(cls, row: Sequence[Any]) -> Node:
        """The node of a row of ``tables.NODE``, which may have more at its end."""
        node = cls(*row[:15])
        if row[15] is not None:
            node.links = unpacked(row[15])
        atime, mtime, ctime = row[6:9]
        if type(mtime) is bytes or type(atime) is bytes or type(ctime) is bytes:
            node.atime, node.mtime, node.ctime = map(_near, (atime, mtime, ctime))
        return node

    def row(self, born: int) -> tuple[int | str | bytes | None, ...]:
        """The values of ``tables.NODE`` for a row of epoch ``born``."""
        atime, mtime, ctime = times = self.atime, self.mtime, self.ctime
        far: tuple[int | bytes, ...] = times
        if not (-_FAR <= atime < _FAR and -_FAR <= mtime < _FAR and -_FAR <= ctime < _FAR):
            far = tuple(map(_far, times))
        return (
            self.path,
            born,
            self.parent,
            self.name,
            self.version,
            self.mode,
            *far,
            self.length,
            self.holds,
            self.uid,
            self.gid,
            self.muid,
            self.changed,
            _pack(self.links) if self.links else None,
        )

    def next_version(self) -> None:
        """The content is another one now."""
        version = self.version = (self.version + 1) & NO32
        self.qid = _new(Qid, (self.mode >> 24, version, self.path))

    def set_mode(self, mode: int) -> None:
        """Changes the mode, and the qid's type with it."""
        self.mode = mode
        self.qid = Qid(mode >> 24, self.version, self.path)

    def stat(self, names: Mapping[str, str]) -> Stat:
        """The directory entry; ``names`` has the name of every user's id."""
        uid, gid, muid = names[self.uid], names[self.gid], names[self.muid]
        # Listings make many of these: the class itself would take three times as long.
        return _new(
            Stat,
            (
                0,
                0,
                self.qid,
                self.mode,
                seconds(self.atime),
                seconds(self.mtime),
                self.length,
                self.name,
                uid,
                gid,
                muid,
                "",
                NO32,
                NO32,
                NO32,
            ),
        )

    def packed(self, names: Mapping[str, str]) -> bytes:
        """The directory entry of 9P2000, which is kept until ``entry`` is set to None."""
        entry = self.entry
        if entry is None or self.entry_names is not names:
            entry = self.entry = self.stat(names).pack()
            self.entry_names = names
        return entry


def unpacked(links: bytes | None) -> tuple[tuple[int, str, int], ...]:
    """The column ``links`` of a row whose checksum is right."""
    return () if links is None else tuple((parent, name, number) for parent, name, number in msgpack.unpackb(links))


def _far(time: int) -> int | bytes:
    """A time as the database can have it."""
    return time if -_FAR <= time < _FAR else time.to_bytes(12, "big", signed=True)


def _near(time: int | bytes) -> int:
    return time if isinstance(time, int) else int.from_bytes(time, "big", signed=True)
