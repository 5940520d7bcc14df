"""Translates what a server says about a file into attributes that Linux accepts, whatever the server says."""

from __future__ import annotations

import stat as unix

import pyfuse3

from ninep.mount.nodes import KernelNode
from ninep.protocol.attributes import SECOND, Attributes
from ninep.protocol.qid import QTDIR, QTSYMLINK, Qid

_KINDS = frozenset((unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK, unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK))
_MOST_SIGNED = (1 << 63) - 1
_MOST = (1 << 64) - 1
_MOST_32 = (1 << 32) - 1
BLOCK = 512
"""Bytes that a block counts in ``st_blocks``."""


def entry_of(node: KernelNode, found: Attributes, keep: float) -> pyfuse3.EntryAttributes:
    """Attributes for the kernel, which may keep them for ``keep`` seconds."""
    entry = _entry(node, keep)
    entry.st_mode = _mode(found.mode, found.qid)
    entry.st_nlink = _within(found.nlink, _MOST_32)
    entry.st_uid = _within(found.uid, _MOST_32)
    entry.st_gid = _within(found.gid, _MOST_32)
    entry.st_rdev = _within(found.rdev, _MOST)
    entry.st_size = _within(found.size, _MOST_SIGNED)
    entry.st_blksize = BLOCK
    entry.st_blocks = _within(found.blocks, _MOST_SIGNED)
    entry.st_atime_ns = _time(found.atime)
    entry.st_mtime_ns = _time(found.mtime)
    entry.st_ctime_ns = _time(found.ctime)
    return entry


def unreachable_entry(node: KernelNode) -> pyfuse3.EntryAttributes:
    """What is told of a name that a directory lists and nobody could walk to: no more than its kind.

    Nothing of it is kept, so that whoever wants to know more asks again and hears the reason.
    """
    entry = _entry(node, 0)
    entry.st_mode = _mode(0, node.qid)
    return entry


def _entry(node: KernelNode, keep: float) -> pyfuse3.EntryAttributes:
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = node.inode
    entry.generation = 0
    entry.entry_timeout = entry.attr_timeout = keep
    return entry


def _mode(mode: int, qid: Qid) -> int:
    kind = unix.S_IFMT(mode)
    if kind not in _KINDS:
        kind = unix.S_IFDIR if qid.type & QTDIR else unix.S_IFLNK if qid.type & QTSYMLINK else unix.S_IFREG
    return kind | unix.S_IMODE(mode)


def _within(value: int, most: int) -> int:
    return min(max(value, 0), most)


def _time(nanoseconds: int) -> int:
    return min(max(nanoseconds, -_MOST_SIGNED * SECOND), _MOST_SIGNED * SECOND + SECOND - 1)
