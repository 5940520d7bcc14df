"""File attributes of 9P2000.L: what Unix knows of a file beyond the 9P2000 directory entry. Pure.

Modes are Linux's (``st_mode``), times are nanoseconds since 1970, users and groups are numbers (see ``ids``).
"""

from __future__ import annotations

import stat as unix
from typing import NamedTuple

from ninep.protocol import stat as st
from ninep.protocol.ids import Ids
from ninep.protocol.qid import Qid
from ninep.protocol.stat import SECOND as SECOND
from ninep.protocol.stat import Stat

MODE = 0x1
NLINK = 0x2
UID = 0x4
GID = 0x8
RDEV = 0x10
ATIME = 0x20
MTIME = 0x40
CTIME = 0x80
INO = 0x100
SIZE = 0x200
BLOCKS = 0x400
BTIME = 0x800
GEN = 0x1000
DATA_VERSION = 0x2000
BASIC = 0x7FF
"""What every file has."""

LINKS = "HARDLINKCOUNT "
"""Begins what 9P2000.u says of a plain file with several names."""
XATTR_CREATE = 1
XATTR_REPLACE = 2

_KINDS = (
    (st.DMDIR, unix.S_IFDIR),
    (st.DMSYMLINK, unix.S_IFLNK),
    (st.DMNAMEDPIPE, unix.S_IFIFO),
    (st.DMSOCKET, unix.S_IFSOCK),
)
_BITS = ((st.DMSETUID, unix.S_ISUID), (st.DMSETGID, unix.S_ISGID), (st.DMSETVTX, unix.S_ISVTX))


class Attributes(NamedTuple):
    """What a getattr tells.

    Attributes:
        qid: identity and version.
        mode: kind and permissions, as ``st_mode``.
        uid: number of the owner.
        gid: number of the group.
        nlink: names of the file; 1 for a directory says that they are not counted.
        rdev: of a device file; see ``device``.
        size: bytes; of a symbolic link, of its target.
        blksize: bytes that are good to move at once.
        blocks: what it takes of the disk, in units of 512 bytes.
        atime: last read, nanoseconds.
        mtime: last change of the content.
        ctime: last change of anything.
        btime: birth.
        gen: generation.
        data_version: of the content.
        valid: which of these are meant; bits of this module.
    """

    qid: Qid
    mode: int
    uid: int
    gid: int
    nlink: int = 1
    rdev: int = 0
    size: int = 0
    blksize: int = 4096
    blocks: int = 0
    atime: int = 0
    mtime: int = 0
    ctime: int = 0
    btime: int = 0
    gen: int = 0
    data_version: int = 0
    valid: int = BASIC


class SetAttributes(NamedTuple):
    """What a setattr changes; None is "don't touch".

    Attributes:
        mode: permissions, set-id and sticky bits.
        uid: number of the new owner.
        gid: number of the new group.
        size: bytes.
        atime: nanoseconds. For ``atime_now`` the session has put in the present.
        mtime: the same.
        atime_now: whether the client left the time to the server: then a right to write is right enough.
        mtime_now: the same.
    """

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime: int | None = None
    mtime: int | None = None
    atime_now: bool = False
    mtime_now: bool = False


class Statfs(NamedTuple):
    """The room of a file system, in blocks of ``bsize`` bytes, and in files.

    Attributes:
        type: a magic number of Linux, by which some programs tell file systems apart.
        bavail: what is left for those who are not special.
        fsid: identity.
        namelen: most bytes of a name.
    """

    type: int = 0x01021997
    bsize: int = 4096
    blocks: int = 0
    bfree: int = 0
    bavail: int = 0
    files: int = 0
    ffree: int = 0
    fsid: int = 0
    namelen: int = 255


def unix_mode(mode: int, extension: str = "") -> int:
    """A mode of 9P as Linux has it. ``extension`` tells block devices (``b 8 1``) from others."""
    kind = next((theirs for ours, theirs in _KINDS if mode & ours), unix.S_IFREG)
    if mode & st.DMDEVICE:
        kind = unix.S_IFBLK if extension.startswith("b") else unix.S_IFCHR
    return kind | mode & 0o777 | sum(theirs for ours, theirs in _BITS if mode & ours)


def plan9_mode(mode: int) -> int:
    """A mode of Linux as 9P has it, with the bits of 9P2000.u."""
    kind = unix.S_IFMT(mode)
    bits = next((ours for ours, theirs in _KINDS if kind == theirs), 0)
    if kind in (unix.S_IFBLK, unix.S_IFCHR):
        bits = st.DMDEVICE
    return bits | mode & 0o777 | sum(ours for ours, theirs in _BITS if mode & theirs)


def device(major: int, minor: int) -> int:
    """A device number as Linux has it in ``st_rdev``."""
    return minor & 0xFF | (major & 0xFFF) << 8 | (minor & ~0xFF) << 12 & 0xFFFFFFFF


def device_numbers(rdev: int) -> tuple[int, int]:
    """Major and minor of a device number."""
    return rdev >> 8 & 0xFFF, rdev & 0xFF | rdev >> 12 & 0xFFF00


def device_extension(mode: int, rdev: int) -> str:
    """What 9P2000.u says of a device file in its directory entry."""
    major, minor = device_numbers(rdev)
    return f"{'b' if unix.S_ISBLK(mode) else 'c'} {major} {minor}"


def link_count(names: int) -> str:
    """What 9P2000.u says of a plain file that has several names, as Linux understands it."""
    return f"{LINKS}{names}"


def attributes_of(stat: Stat, ids: Ids) -> Attributes:
    """What a directory entry tells, as Unix knows it."""
    rdev = 0
    if stat.mode & st.DMDEVICE:
        try:
            _, major, minor = stat.extension.split()
            rdev = device(int(major), int(minor))
        except ValueError:
            pass
    nlink = 1
    if not stat.mode & st.UNIX_KINDS and stat.extension.startswith(LINKS) and stat.extension[len(LINKS) :].isdecimal():
        nlink = int(stat.extension[len(LINKS) :])
    mtime = stat.mtime * SECOND
    return Attributes(
        stat.qid,
        unix_mode(stat.mode, stat.extension),
        ids.uid(stat.uid) if stat.n_uid == st.NO32 else stat.n_uid,
        ids.gid(stat.gid) if stat.n_gid == st.NO32 else stat.n_gid,
        nlink=nlink,
        rdev=rdev,
        size=stat.length,
        blocks=stat.length + 511 >> 9,
        atime=stat.atime * SECOND,
        mtime=mtime,
        ctime=mtime,
        data_version=stat.qid.version,
    )
