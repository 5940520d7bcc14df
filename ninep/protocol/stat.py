"""Directory entries: a file's metadata, packed and unpacked. Source: stat(5).

Layout, little-endian, all strings with a 2-byte count before them:

====== ==== ==============================================
offset size field
====== ==== ==============================================
0      2    size of what follows
2      2    type
4      4    dev
8      13   qid: type[1] version[4] path[8]
21     4    mode
25     4    atime, seconds
29     4    mtime, seconds
33     8    length, bytes
41     2+n  name, uid, gid, muid
====== ==== ==============================================

In 9P2000.u it goes on with the string ``extension`` and the numbers n_uid[4] n_gid[4] n_muid[4].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple

from ninep.net.errors import Malformed
from ninep.protocol.qid import Qid
from ninep.wire.dialect import Buffer

DMDIR = 0x80000000
DMAPPEND = 0x40000000
DMEXCL = 0x20000000
DMMOUNT = 0x10000000
DMAUTH = 0x08000000
DMTMP = 0x04000000
DMSYMLINK = 0x02000000
DMLINK = 0x01000000
DMDEVICE = 0x00800000
DMNAMEDPIPE = 0x00200000
DMSOCKET = 0x00100000
DMSETUID = 0x00080000
DMSETGID = 0x00040000
DMSETVTX = 0x00010000
UNIX_KINDS = DMSYMLINK | DMDEVICE | DMNAMEDPIPE | DMSOCKET
"""Kinds of files that only 9P2000.u and 9P2000.L can make; told in 9P2000, too."""

FIXED = 49
"""Bytes of an entry whose four strings are empty, the size field included."""
FIXED_UNIX = 63
"""The same in 9P2000.u, whose entries have five strings and three more numbers."""
LARGEST = 0xFFFF
"""Most bytes of an entry: counts around it have 16 bits."""

NO16 = 0xFFFF
NO32 = 0xFFFFFFFF
NO64 = 0xFFFFFFFFFFFFFFFF

SECOND = 1_000_000_000
"""Nanoseconds."""
LATEST = NO32 - 1
"""The last second that an entry can tell, in the year 2106: one later means "don't touch"."""

_HEAD = Struct("<HHIBIQIIIQH")
_REST = _HEAD.size - 2
_COUNT = Struct("<H")
_NUMBERS = Struct("<III")


class Stat(NamedTuple):
    """A directory entry. The default of each field is "don't touch", as a wstat wants it.

    Attributes:
        type: kernel use.
        dev: kernel use.
        qid: identity and version.
        mode: permissions and ``DM`` bits.
        atime: last access, seconds since 1970.
        mtime: last change, seconds since 1970.
        length: bytes; 0 for a directory.
        name: the last path element; ``/`` for a root.
        uid: owner.
        gid: group.
        muid: who changed it last.
        extension: what 9P2000.u adds: the target of a symbolic link, ``b 8 1`` or the like of a device.
        n_uid: number of the owner, in 9P2000.u; ``NO32`` is none.
        n_gid: number of the group.
        n_muid: number of who changed it last.
    """

    type: int = NO16
    dev: int = NO32
    qid: Qid = Qid(0xFF, NO32, NO64)
    mode: int = NO32
    atime: int = NO32
    mtime: int = NO32
    length: int = NO64
    name: str = ""
    uid: str = ""
    gid: str = ""
    muid: str = ""
    extension: str = ""
    n_uid: int = NO32
    n_gid: int = NO32
    n_muid: int = NO32

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory's entry."""
        return bool(self.mode & DMDIR)

    @property
    def is_known(self) -> bool:
        """Whether the file could be looked at; else there are only a name, a qid and a kind, from its directory."""
        return self.length != NO64

    @property
    def touches_nothing(self) -> bool:
        """Whether every field says "don't touch": a wstat with it asks for stable storage."""
        return self == _UNTOUCHED

    def pack(self) -> bytes:
        """The entry with its own size field, in 9P2000.

        Raises:
            ValueError: the strings are too long for 16-bit counts, or hold NUL.
        """
        # Listings make many of these, so it is all here and nothing is taken apart twice.
        type_, dev, (kind, version, path), mode, atime, mtime, length, name, uid, gid, muid, _, _, _, _ = self
        if "\0" in name:
            raise ValueError(f"no string of 9P can hold NUL: {name[:100]!r}")
        encoded = name.encode("utf-8", "surrogateescape")
        names = _owners(uid, gid, muid)
        count = len(encoded)
        size = _REST + count + len(names)
        if size > LARGEST - 2:
            raise ValueError(f"directory entry of {size} bytes")
        head = _HEAD.pack(size, type_, dev, kind, version, path, mode, atime, mtime, length, count)
        return head + encoded + names

    def pack_unix(self) -> bytes:
        """The same in 9P2000.u."""
        if "\0" in self.extension:
            raise ValueError(f"no string of 9P can hold NUL: {self.extension[:100]!r}")
        extension = self.extension.encode("utf-8", "surrogateescape")
        if len(extension) > LARGEST:
            raise ValueError(f"extension of {len(extension)} bytes")
        rest = _COUNT.pack(len(extension)) + extension + _NUMBERS.pack(*self[12:])
        entry = self.pack()
        size = len(entry) - 2 + len(rest)
        if size > LARGEST - 2:
            raise ValueError(f"directory entry of {size} bytes")
        return _COUNT.pack(size) + entry[2:] + rest

    @classmethod
    def unpack(cls, data: Buffer) -> Stat:
        """The entry of 9P2000 that ``data`` holds and nothing else.

        Raises:
            Malformed: the counts do not add up. A name that is no UTF-8 keeps its bytes as surrogate escapes.
        """
        fields, at = _unpacked(data, FIXED, 4)
        if at != len(data):
            raise Malformed("bytes left over in a directory entry")
        return cls(*fields)

    @classmethod
    def unpack_unix(cls, data: Buffer) -> Stat:
        """The same in 9P2000.u."""
        fields, at = _unpacked(data, FIXED_UNIX, 5)
        if len(data) - at != _NUMBERS.size:
            raise Malformed(f"{len(data) - at} bytes of numbers in a directory entry")
        return cls(*fields, *_NUMBERS.unpack_from(data, at))


@lru_cache(1024)
def _owners(*names: str) -> bytes:
    """Strings with their counts; who owns files is the same for many entries."""
    if any("\0" in name for name in names):
        raise ValueError("no string of 9P can hold NUL: there is one in the name of a user")
    encoded = [name.encode("utf-8", "surrogateescape") for name in names]
    if max(map(len, encoded)) > LARGEST:
        raise ValueError(f"directory entry with a name of {max(map(len, encoded))} bytes")
    return b"".join([_COUNT.pack(len(name)) + name for name in encoded])


def _unpacked(data: Buffer, least: int, strings: int) -> tuple[list[Any], int]:
    """The fields up to the last of so many strings, and where they end."""
    if len(data) < least:
        raise Malformed(f"directory entry of {len(data)} bytes")
    size, type_, dev, qtype, version, path, mode, atime, mtime, length, count = _HEAD.unpack_from(data)
    if size != len(data) - 2:
        raise Malformed(f"directory entry says {size} bytes, has {len(data) - 2}")
    fields: list[Any] = [type_, dev, Qid(qtype, version, path), mode, atime, mtime, length]
    at = _HEAD.size
    for position in range(strings):
        if position:
            count = int.from_bytes(data[at : at + 2], "little")
            at += 2
        if at + count > len(data):
            raise Malformed("string runs past the end of a directory entry")
        fields.append(str(data[at : at + count], "utf-8", "surrogateescape"))
        at += count
    return fields, at


class TimedStat(Stat):
    """An entry that comes from 9P2000.L or goes there, where times are not in whole seconds and not of 32 bits.

    Attributes:
        mtime_ns: last change, in nanoseconds since 1970; None is not known.
    """

    mtime_ns: int | None = None

    def _replace(self, **changes: Any) -> TimedStat:
        found = TimedStat(*Stat(*self)._replace(**changes))
        found.mtime_ns = None if "mtime" in changes else self.mtime_ns
        return found


_UNTOUCHED = Stat()


def changed_at(stat: Stat) -> int:
    """The time of the last change in nanoseconds since 1970, as exactly as it is known."""
    exact = stat.mtime_ns if isinstance(stat, TimedStat) else None
    return stat.mtime * SECOND if exact is None else exact


def timed(stat: Stat, mtime_ns: int) -> Stat:
    """The entry with this time of the last change, in nanoseconds since 1970."""
    found = TimedStat(*stat)._replace(mtime=seconds(mtime_ns))
    found.mtime_ns = mtime_ns
    return found


def listed_only(name: str, qid: Qid, kind: int) -> Stat:
    """The entry of a file of which its directory alone knows: ``kind`` has the high bits of its mode."""
    return Stat(0, 0, qid, kind | qid.type << 24, name=name)


def seconds(time: int) -> int:
    """A time in nanoseconds since 1970 as an entry can tell it: what is before 1970 or after 2106 as the nearest."""
    return nearest(time // SECOND)


def nearest(time: int) -> int:
    """A time in seconds since 1970 as an entry can tell it, in the same way."""
    return time if 0 <= time <= LATEST else 0 if time < 0 else LATEST


def unpack_directory(data: Buffer, unpack: Callable[[Buffer], Stat] = Stat.unpack) -> list[Stat]:
    """The entries of one directory read, which holds a whole number of them; ``unpack`` takes one.

    Raises:
        Malformed: an entry is cut or wrong.
    """
    view = memoryview(data)
    entries = []
    at = 0
    while at < len(view):
        size = int.from_bytes(view[at : at + 2], "little") + 2
        if len(view) - at < size:
            raise Malformed("directory entry is cut")
        entries.append(unpack(view[at : at + size]))
        at += size
    return entries
