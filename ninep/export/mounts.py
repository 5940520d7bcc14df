"""Finds out which places below a directory are on file systems that may hang. Source: proc(5), mountinfo.

A call on a disk of this machine ends soon, and a thread for it would cost more than it takes. A call on what is behind
a network or another program may take as long as that likes.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from time import monotonic

import trio

LOCAL = frozenset(
    (
        *("bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfsplus", "iso9660", "jfs", "minix"),
        *("msdos", "nilfs2", "ntfs3", "overlay", "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "udf", "ufs"),
        *("vfat", "xfs", "zfs", "devpts", "devtmpfs"),
    )
)
"""Kinds of file systems that need nobody else. In proc(5) and its like a read is a call of somebody, a driver say."""
THREADS = 16
"""Calls on one file system that wait at once; what comes beyond waits for these."""
LOOK = 1.0
"""Seconds between two looks whether something was mounted."""


class Away:
    """A directory that is on a file system that may not answer, or that one is mounted somewhere below.

    Attributes:
        here: whether it is on one itself.
        limiter: bounds the threads that wait for it.
    """

    __slots__ = ("_below", "here", "limiter")

    def __init__(self) -> None:
        self.here = False
        self.limiter = trio.CapacityLimiter(THREADS)
        self._below: dict[str, Away] = {}

    def below(self, name: str) -> Away | None:
        """The same for what is called ``name`` here; None where nothing of the kind is known."""
        return self if self.here else self._below.get(name)

    def on(self, names: Iterable[str]) -> Away:
        """What a walk by these names gets to, as far as that is known: its threads are those to wait in."""
        found = self
        for name in names:
            following = found.below(name)
            if following is None:
                break
            found = following
        return found

    def mount(self, names: Iterable[str]) -> None:
        """Notes what is mounted at these names."""
        place = self
        for name in names:
            place = place._below.setdefault(name, Away())
        place.here = True


def away(table: bytes, directory: str) -> Away | None:
    """What is known of a directory, a real path, from the table of mounts; None: all is local there and below."""
    kinds: dict[str, bool] = {}
    for line in table.splitlines():
        before, _, after = line.partition(b" - ")
        path = before.split(b" ")[4].decode("unicode_escape").encode("latin-1")
        # What is mounted over another hides it.
        kinds[os.fsdecode(path)] = after.split(b" ")[0].decode() not in LOCAL
    root = Away()
    home = max((path for path in kinds if path == directory or _names(path, directory)), key=len, default="/")
    root.here = kinds.get(home, False)
    beneath = [names for path, other in kinds.items() if other and (names := _names(directory, path))]
    for names in beneath:
        root.mount(names)
    return root if root.here or beneath else None


def _names(directory: str, path: str) -> list[str] | None:
    """The names from a directory to a path below it; None where that is not below it."""
    start = directory.rstrip("/") + "/"
    return path[len(start) :].split("/") if path.startswith(start) and path != start else None


class Mounts:
    """The table of this process, read again when it has changed."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._table, select.POLLPRI | select.POLLERR)
        self._next = 0.0

    def close(self) -> None:
        """Gives the table up."""
        os.close(self._table)

    def read(self) -> Away | None:
        """What is known of the directory now."""
        self._next = monotonic() + LOOK
        self._poll.poll(0)
        os.lseek(self._table, 0, os.SEEK_SET)
        pieces = []
        while piece := os.read(self._table, 65536):
            pieces.append(piece)
        return away(b"".join(pieces), self._directory)

    @property
    def changed(self) -> bool:
        """Whether it is time to look, and the table is another one."""
        now = monotonic()
        if now < self._next:
            return False
        self._next = now + LOOK
        return bool(self._poll.poll(0))
