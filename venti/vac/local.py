"""Reads local files for an archive: attributes and contents. Its functions block: call them in worker threads."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from ninep.disk import ReadBound
from venti.vac import mode as modes
from venti.vac.direntry import DirEntry, name_key

SMALL: Final = 256 * 1024
"""Bytes of a file that is read whole, in the visit that looks at its directory."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NEWEST = 0xFFFFFFFF
_LONGEST = (1 << 63) - 1

YOUNG: Final = 2
"""Seconds. Of a file that changed later than that before it was looked at, the archive does not hold when it did:
it may change again without a difference in that time, and has to be read the next time."""


class LocalName(NamedTuple):
    """One name of a directory.

    Attributes:
        info: what the archive will know of it; without qid.
        size: bytes of a plain file, 0 for everything else.
        data: its contents if they were read, for links and devices what stands for them.
        error: why it cannot be read.
        unfit: whether it has no place in an archive, such as a socket.
    """

    info: DirEntry
    size: int = 0
    data: bytes | None = None
    error: OSError | None = None
    unfit: bool = False


def look(path: str, name: str) -> LocalName | None:
    """One file by its path, under a name of choice; a link is followed to no end but taken as itself.

    None for what has no place in an archive, such as sockets.

    Raises:
        OSError: there is none.
    """
    status = os.stat(path, follow_symlinks=False)
    info = attributes(name, status)
    if info is None:
        return None
    if stat.S_ISREG(status.st_mode):
        return LocalName(info, status.st_size)
    return LocalName(info, 0, _stand_in(path, status, None))


def scan(
    path: str, unchanged: Callable[[DirEntry, int], bool], wanted: Callable[[str], bool], budget: int
) -> list[LocalName]:
    """A directory in the order of its names' bytes, with the contents of small files.

    Args:
        path: of the directory.
        unchanged: whether a plain file with these attributes and this size need not be read.
        wanted: whether a name is to be taken at all.
        budget: bytes to read at most; what does not fit comes without its contents.

    Raises:
        OSError: the directory cannot be read.
    """
    descriptor = os.open(path, _READ | os.O_DIRECTORY)
    try:
        found = []
        for name in sorted(filter(wanted, os.listdir(descriptor)), key=name_key):
            one = _one(descriptor, name, unchanged, budget)
            found.append(one)
            budget -= len(one.data or b"")
        return found
    finally:
        os.close(descriptor)


def _one(parent: int, name: str, unchanged: Callable[[DirEntry, int], bool], budget: int) -> LocalName:
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        info = attributes(name, status)
    except OSError as error:
        return LocalName(DirEntry(name, 0), error=error)
    if info is None:
        return LocalName(DirEntry(name, 0), unfit=True)
    if info.directory:
        return LocalName(info)
    try:
        if not stat.S_ISREG(status.st_mode):
            return LocalName(info, 0, _stand_in(name, status, parent))
        size = status.st_size
        if size > min(budget, SMALL) or unchanged(info, size) or budget <= 0:
            return LocalName(info, size)
        descriptor = open_file(name, parent)
        try:
            return LocalName(info, size, _read_whole(descriptor, min(budget, SMALL)))
        finally:
            os.close(descriptor)
    except OSError as error:
        return LocalName(info, error=error)


def total_size(paths: Iterable[str]) -> int:
    """Bytes of all plain files at and below some paths; what cannot be looked at counts nothing."""
    total = 0
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        try:
            status = os.stat(path, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                waiting += [entry.path for entry in os.scandir(path)]
            elif stat.S_ISREG(status.st_mode):
                total += status.st_size
        except OSError:
            continue
    return total


def read_small(path: str) -> bytes | None:
    """The contents of a small plain file; None if it is not small."""
    descriptor = open_file(path)
    try:
        return _read_whole(descriptor, SMALL)
    finally:
        os.close(descriptor)


def open_file(path: str, parent: int | None = None) -> int:
    """The descriptor of a plain file, without touching the time of its last read where that is allowed."""
    try:
        return os.open(path, _READ | os.O_NOATIME, dir_fd=parent)
    except PermissionError:
        return os.open(path, _READ, dir_fd=parent)


def next_piece(descriptor: int, bound: ReadBound, done: int, most: int) -> tuple[int, bytes]:
    """What follows the first ``done`` bytes of a file: bytes of a hole, and at most ``most`` bytes after it.

    No bytes after it are its end.
    """
    rest = bound.next(done, _LONGEST)
    start = min(_next_data(descriptor, done), done + rest)
    return start - done, os.pread(descriptor, min(most, rest - (start - done)), start) if rest > start - done else b""


def _next_data(descriptor: int, offset: int) -> int:
    """The first offset from ``offset`` on that is not in a hole of the file; the end if there is none."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return max(offset, os.fstat(descriptor).st_size)
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return offset
        raise


def attributes(name: str, status: os.stat_result) -> DirEntry | None:
    """What an archive keeps of a file's status; None for what has no place in it."""
    kind = stat.S_IFMT(status.st_mode)
    bit = _KINDS.get(kind)
    if bit is None:
        return None
    unix = status.st_mode
    mode = bit | unix & modes.PERMISSIONS
    mode |= (modes.STICKY if unix & stat.S_ISVTX else 0) | (modes.SETUID if unix & stat.S_ISUID else 0)
    mode |= modes.SETGID if unix & stat.S_ISGID else 0
    return DirEntry(
        name,
        mode,
        uid=_user(status.st_uid),
        gid=_group(status.st_gid),
        mtime=_seconds(status.st_mtime),
        ctime=_seconds(changed) if (changed := _change_time(status)) < time.time() - YOUNG else 0,
        atime=_seconds(status.st_atime),
    )


_KINDS = {
    stat.S_IFREG: 0,
    stat.S_IFDIR: modes.DIRECTORY,
    stat.S_IFLNK: modes.LINK,
    stat.S_IFIFO: modes.PIPE,
    stat.S_IFCHR: modes.DEVICE,
    stat.S_IFBLK: modes.DEVICE,
}


def _stand_in(path: str, status: os.stat_result, parent: int | None) -> bytes | None:
    """The contents of what has none of its own."""
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFLNK:
        return os.fsencode(os.readlink(path, dir_fd=parent))
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        letter = "c" if kind == stat.S_IFCHR else "b"
        return f"{letter} {os.minor(status.st_rdev)} {os.major(status.st_rdev)}".encode()
    return b"" if kind == stat.S_IFIFO else None


def _read_whole(descriptor: int, most: int) -> bytes | None:
    """All of a file, whatever length it tells; None if it has more than ``most`` bytes."""
    bound = ReadBound(descriptor)
    parts: list[bytes] = []
    done = 0
    while (wanted := bound.next(done, most + 1 - done)) and (part := os.read(descriptor, wanted)):
        parts.append(part)
        done += len(part)
        if done > most:
            return None
    return b"".join(parts) if len(parts) != 1 else parts[0]


def _change_time(status: os.stat_result) -> float:
    return status.st_ctime


def _seconds(moment: float) -> int:
    return max(0, min(int(moment), _NEWEST))


@lru_cache(1024)
def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


@lru_cache(1024)
def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
