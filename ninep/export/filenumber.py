"""Derives a qid path from device and inode: unique over all file systems mounted in a tree. Pure.

They are made of what the kernel tells apart files by, so that they are the same after a restart::

    bits 62, 63   0 0: a file of the tree's own file system, its inode below
                  0 1: a file of another one, its device (major 8 bits, minor 20 bits) and inode (34 bits) below
                  1 and any: a hash of device, inode and reuse, where these have no room in the others
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

INODES = 62
"""Bits of an inode of the tree's own file system that is its qid path."""
_ELSEWHERE = 1 << 62
_HASHED = 1 << 63
_MAJOR, _MINOR, _INODE = 8, 20, 34


@lru_cache(65536)
def file_number(device: int, inode: int, reuse: int, *, home: bool) -> int:
    """The qid path of an inode.

    Args:
        device: as ``st_dev`` has it.
        inode: as ``st_ino`` has it.
        reuse: how often the inode was given to another file since the server started.
        home: whether the device is that of the tree's root.
    """
    if home and not reuse and inode >> INODES == 0:
        return inode
    # As makedev(3) puts them together.
    major, minor = device >> 8 & 0xFFF | device >> 32 & ~0xFFF, device & 0xFF | device >> 12 & ~0xFF
    if not home and not reuse and inode >> _INODE == 0 and major >> _MAJOR == 0 and minor >> _MINOR == 0:
        return _ELSEWHERE | (major << _MINOR | minor) << _INODE | inode
    text = f"{device} {inode} {reuse}".encode()
    return _HASHED | int.from_bytes(blake2b(text, digest_size=8).digest(), "little") & _HASHED - 1
