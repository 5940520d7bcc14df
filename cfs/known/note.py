"""What is known of one place in a tree, for one user, and its bytes on disk. Pure.

As bytes, little-endian:

====== ===== ===========================================================
offset bytes field
====== ===== ===========================================================
0      1     flags: 1 searched, 2 opened, 4 missing, 8 a stat, 16 entries
1      13    qid: type[1] version[4] path[8]; zeros if missing
14     4     n, bytes of the stat
18     n     the directory entry, as in stat(5), if flag 8 is set
18+n         the entries of the directory, one after the other, if flag 16 is set
====== ===== ===========================================================
"""

from __future__ import annotations

from struct import Struct

from ninep.net.errors import Malformed
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat, unpack_directory

_HEAD = Struct("<BBIQI")
_SEARCHED, _OPENED, _MISSING, _STAT, _ENTRIES = 1, 2, 4, 8, 16

NOTHING = Qid(0, 0, 0)


class Note:
    """One place.

    Attributes:
        qid: of the file.
        missing: there is no such file.
        searched: the user was let through this directory, so he may search it.
        opened: the user was let open it for reading.
        stat: its directory entry, where it was told.
        entries: what is in this directory by name, where all of it was told.
        learned: when, in seconds of the trio clock; no part of the bytes.
    """

    __slots__ = ("entries", "learned", "missing", "opened", "qid", "searched", "stat")

    def __init__(self, qid: Qid, *, missing: bool = False, learned: float = 0.0) -> None:
        self.qid = qid
        self.missing = missing
        self.searched = False
        self.opened = False
        self.stat: Stat | None = None
        self.entries: dict[str, Stat] | None = None
        self.learned = learned

    def pack(self) -> bytes:
        """The note as bytes."""
        flags = _SEARCHED * self.searched | _OPENED * self.opened | _MISSING * self.missing
        stat = b""
        entries = b""
        if self.stat is not None:
            flags |= _STAT
            stat = self.stat.pack()
        if self.entries is not None:
            flags |= _ENTRIES
            entries = b"".join(entry.pack() for entry in self.entries.values())
        return _HEAD.pack(flags, *self.qid, len(stat)) + stat + entries

    @classmethod
    def unpack(cls, data: bytes) -> Note:
        """The note that bytes stand for. Raises ``Malformed``."""
        if len(data) < _HEAD.size:
            raise Malformed(f"note of {len(data)} bytes")
        flags, kind, version, path, size = _HEAD.unpack_from(data)
        note = cls(Qid(kind, version, path), missing=bool(flags & _MISSING))
        note.searched = bool(flags & _SEARCHED)
        note.opened = bool(flags & _OPENED)
        end = _HEAD.size + size
        if flags & _STAT:
            note.stat = Stat.unpack(data[_HEAD.size : end])
        if flags & _ENTRIES:
            note.entries = {entry.name: entry for entry in unpack_directory(data[end:])}
        return note
