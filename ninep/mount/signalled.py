"""Finds readers that got a signal while they wait for a stream, so that their reads can be interrupted.

A read that the kernel has handed to a FUSE file system ends when that answers it, and not when its reader is killed.
The kernel does tell of the signal (FUSE_INTERRUPT), but pyfuse3 keeps that to itself. So while reads wait, and only
then, ``/proc`` is asked who has such a file open, and whether a signal waits for him. Source: proc(5).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import trio

PERIOD = 0.25
"""Seconds between two looks at those who may be waiting."""
SEARCH = 20
"""Looks between two searches for who has a file open, of all processes that can be looked at."""
_SETS = ("SigPnd", "ShdPnd", "SigBlk", "SigIgn")


class Waiting:
    """A read under way. ``scope`` is cancelled when its reader has got a signal."""

    __slots__ = ("inode", "looks", "opener", "scope")

    def __init__(self, inode: int, opener: int) -> None:
        self.inode = inode
        self.opener = opener
        self.looks = 0
        self.scope = trio.CancelScope()


class Signalled:
    """Watches the readers of one mount. ``run`` must be running."""

    def __init__(self, directory: str) -> None:
        # Now, while looking at it does not mean to ask ourselves.
        self._directory = os.path.realpath(directory)
        self._mount = -1
        self._reads: set[Waiting] = set()
        self._some = trio.lowlevel.ParkingLot()
        self._known: set[tuple[int, int]] = set()
        self._holders: dict[int, set[int]] = {}

    @contextlib.contextmanager
    def waiting(self, inode: int, opener: int) -> Iterator[trio.CancelScope]:
        """A read of the file ``inode``, opened by the thread ``opener``: it is cancelled in here if it must end."""
        read = Waiting(inode, opener)
        self._reads.add(read)
        self._some.unpark_all()
        try:
            with read.scope:
                yield read.scope
        finally:
            self._reads.discard(read)

    async def run(self) -> None:
        """Looks as long as reads wait, until cancelled."""
        self._mount = mount_id(self._directory)
        count = 0
        while True:
            if not self._reads:
                count = 0
                await self._some.park()
            await trio.sleep(PERIOD)
            count += 1
            long = [read for read in self._reads if read.looks]
            for read in self._reads:
                read.looks += 1
            if not long:
                continue
            who = {(read.inode, read.opener) for read in long}
            if not who <= self._known or not count % SEARCH:
                self._known = who
                self._holders = await trio.to_thread.run_sync(holders, self._mount, {inode for inode, _ in who})
            openers = {read: process_of(read.opener) for read in long}
            for read, opener in openers.items():
                # Who has opened the file for himself reads that, and not what another has opened.
                others = {other for other in openers.values() if other != opener}
                if any(map(has_signal, {opener, *self._holders.get(read.inode, ())} - others)):
                    read.scope.cancel()


def mount_id(directory: str) -> int:
    """The kernel's number of what is mounted on a directory, a real path; -1 where nothing is."""
    found = -1
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        number, _, _, _, place, *_ = line.split(b" ")
        if place.decode("unicode_escape").encode("latin-1") == os.fsencode(directory):
            found = int(number)
    return found


def holders(mount: int, inodes: set[int]) -> dict[int, set[int]]:
    """For each of these files of a mount the processes that have it open, as far as they can be looked at."""
    found: dict[int, set[int]] = {inode: set() for inode in inodes}
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        folder = f"/proc/{pid}/fdinfo"
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(folder):
                with contextlib.suppress(OSError, ValueError):
                    fields = _fields(f"{folder}/{descriptor}")
                    if int(fields.get("mnt_id", -1)) == mount and (inode := int(fields.get("ino", -1))) in found:
                        found[inode].add(int(pid))
    return found


def process_of(thread: int) -> int:
    """The process of a thread; 0 where that has gone, or is in a namespace that cannot be seen from here."""
    try:
        return int(_fields(f"/proc/{thread}/status")["Tgid"]) if thread else 0
    except (OSError, KeyError, ValueError):
        return 0


def has_signal(process: int) -> bool:
    """Whether a signal waits for one of its threads that live, and is neither blocked nor ignored."""
    try:
        for thread in os.listdir(f"/proc/{process}/task"):
            fields = _fields(f"/proc/{process}/task/{thread}/status")
            own, shared, blocked, ignored = (int(fields[name], 16) for name in _SETS)
            if (own | shared) & ~blocked & ~ignored and fields["State"].strip()[0] not in "ZX":
                return True
    except (OSError, KeyError, ValueError):
        pass
    return False


def _fields(path: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in Path(path).read_text().splitlines() if ":" in line)
