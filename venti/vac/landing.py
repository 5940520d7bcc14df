"""Writes unpacked files into a directory; no name in an archive can lead outside of it.

Every path is opened name by name from the directory's descriptor, and a symbolic link is never followed, whoever made
it. Files are made new beside their place, ``.NAME.*.part``, and renamed when they are whole: what has their name stays
until then, and no other name of it is written to. These functions block and belong in worker threads.
"""

from __future__ import annotations

import contextlib
import grp
import itertools
import logging
import os
import pwd
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from ninep.disk import pwrite_all
from venti.blocks.score import Score
from venti.vac import mode as modes
from venti.vac.direntry import DirEntry

log = logging.getLogger(__name__)

KEPT_NAME = 64
"""Bytes of a name that stand in the name of the file beside it."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ZEROS = bytes(32 * 1024)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Kept(NamedTuple):
    """What files get of what they had, besides contents and permissions.

    Attributes:
        times: when they were read and written last.
        owners: the users and groups that they belong to, by name; only root may.
        setuid: the setuid and setgid bits, where they belong to whom they did.
    """

    times: bool = False
    owners: bool = False
    setuid: bool = False


ONLY_CONTENTS = Kept()


class Landing:
    """A directory to unpack into; a context manager.

    Methods raise OSError with the path in it.
    """

    def __init__(self, path: str) -> None:
        self._top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._token = secrets.token_hex(4)
        self._numbers = itertools.count()

    def __enter__(self) -> Landing:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._top)

    @contextlib.contextmanager
    def _open(self, names: Sequence[str]) -> Iterator[int]:
        """The descriptor of a directory below the top."""
        current = os.dup(self._top)
        try:
            for count, name in enumerate(names, 1):
                try:
                    below = os.open(name, _DIRECTORY, dir_fd=current)
                except OSError as error:
                    raise _named(error, names[:count]) from error
                os.close(current)
                current = below
            yield current
        finally:
            os.close(current)

    def make_directory(self, names: Sequence[str]) -> None:
        """Makes a directory, or takes one that is there; it can be written to, see ``finish_directory``.

        Raises:
            OSError: something else is there, or a link to a directory.
        """
        with self._open(names[:-1]) as parent:
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(names[-1], 0o700, dir_fd=parent)
                descriptor = os.open(names[-1], _DIRECTORY, dir_fd=parent)
            except OSError as error:
                raise _named(error, names) from error
            try:
                mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
                if mode & 0o700 != 0o700:
                    os.fchmod(descriptor, mode | 0o700)
            finally:
                os.close(descriptor)

    def finish_directory(self, names: Sequence[str], info: DirEntry, kept: Kept) -> None:
        """Gives a directory its mode, and times and owners if asked: after everything that is below it."""
        with self._open(names) as descriptor:
            _dress(descriptor, names, info, kept)

    def make_file(self, names: Sequence[str]) -> tuple[int, str]:
        """A new file beside its place: its descriptor, open for writing, and its name until ``finish_file``."""
        with self._open(names[:-1]) as parent:
            return self._new_file(parent, names)

    def finish_file(
        self, names: Sequence[str], beside: str, descriptor: int, size: int, info: DirEntry, kept: Kept
    ) -> None:
        """Gives the file its size, holes and all, its mode and its name; what had the name is replaced."""
        with self._open(names[:-1]) as parent:
            os.ftruncate(descriptor, size)
            _dress(descriptor, names, info, kept)
            _place(parent, beside, names)

    def write_files(self, names: Sequence[str], files: Sequence[tuple[DirEntry, bytes]], kept: Kept) -> list[OSError]:
        """Makes small files in the directory ``names``; returns what went wrong with some of them."""
        failures = []
        with self._open(names) as parent:
            for info, data in files:
                path = (*names, info.name)
                try:
                    descriptor, beside = self._new_file(parent, path)
                    try:
                        if len(data) <= len(_ZEROS):
                            pwrite_all(descriptor, data, 0)
                        else:
                            write_piece(descriptor, data, 0)
                            os.ftruncate(descriptor, len(data))
                        _dress(descriptor, path, info, kept)
                        _place(parent, beside, path)
                    except BaseException:
                        _unlink(parent, beside)
                        raise
                    finally:
                        os.close(descriptor)
                except OSError as error:
                    failures.append(_named(error, path))
        return failures

    def open_existing(self, names: Sequence[str]) -> int | None:
        """The descriptor of a plain file that is there, open for reading; None if there is none that can be read."""
        try:
            with self._open(names[:-1]) as parent:
                return _open_plain(names[-1], parent)
        except OSError:
            return None

    def read_same(self, names: Sequence[str], files: Sequence[tuple[str, int, Score]]) -> list[bytes | None]:
        """Contents of small files in the directory ``names`` that are there with this size and score; else None."""
        found: list[bytes | None] = []
        with self._open(names) as parent:
            for name, size, score in files:
                data = None
                descriptor = _open_plain(name, parent)
                if descriptor is not None:
                    try:
                        data = os.pread(descriptor, size + 1, 0)
                    finally:
                        os.close(descriptor)
                    if len(data) != size or Score.of(data.rstrip(b"\0")) != score:
                        data = None
                found.append(data)
        return found

    def make_link(self, names: Sequence[str], target: bytes, info: DirEntry, kept: Kept) -> None:
        """Makes a symbolic link. It may point anywhere: nothing here will follow it."""

        def make(beside: str, parent: int) -> None:
            os.symlink(target, os.fsencode(beside), dir_fd=parent)

        self._make_special(names, make, info, kept)

    def make_pipe(self, names: Sequence[str], info: DirEntry, kept: Kept) -> None:
        """Makes a named pipe."""

        def make(beside: str, parent: int) -> None:
            os.mkfifo(beside, 0o600, dir_fd=parent)
            os.chmod(beside, info.mode & modes.PERMISSIONS, dir_fd=parent)

        self._make_special(names, make, info, kept)

    def _make_special(self, names: Sequence[str], make: Callable[[str, int], None], info: DirEntry, kept: Kept) -> None:
        """What has no content to be written: made beside its place, too, so that it replaces what is there at once."""
        with self._open(names[:-1]) as parent:
            beside = self._beside(names[-1])
            try:
                make(beside, parent)
                if kept.owners:
                    os.chown(beside, *_owner(info, names), dir_fd=parent, follow_symlinks=False)
                if kept.times:
                    os.utime(beside, (info.atime, info.mtime), dir_fd=parent, follow_symlinks=False)
                _place(parent, beside, names)
            except OSError as error:
                _unlink(parent, beside)
                raise _named(error, names) from error

    def remove_file(self, names: Sequence[str], beside: str) -> None:
        """Takes back a file that could not be finished."""
        with contextlib.suppress(OSError), self._open(names[:-1]) as parent:
            os.unlink(beside, dir_fd=parent)

    def _new_file(self, parent: int, names: Sequence[str]) -> tuple[int, str]:
        beside = self._beside(names[-1])
        try:
            return os.open(beside, _NEW, 0o600, dir_fd=parent), beside
        except OSError as error:
            raise _named(error, names) from error

    def _beside(self, name: str) -> str:
        if len(name) > KEPT_NAME:
            name = os.fsdecode(os.fsencode(name)[:KEPT_NAME])
        return f".{name}.{self._token}.{next(self._numbers)}.part"


def write_piece(descriptor: int, data: bytes, offset: int) -> None:
    """Writes ``data`` at ``offset`` of a new file; runs of zeros stay holes."""
    for start in range(0, len(data), len(_ZEROS)):
        part = data[start : start + len(_ZEROS)]
        if not _ZEROS.startswith(part):
            pwrite_all(descriptor, part, offset + start)


def _dress(descriptor: int, names: Sequence[str], info: DirEntry, kept: Kept) -> None:
    """Mode, owner and times of an open file or directory."""
    if kept.owners:
        os.fchown(descriptor, *_owner(info, names))
    mode = info.mode & modes.PERMISSIONS
    if info.mode & modes.STICKY and info.mode & modes.DIRECTORY:
        mode |= stat.S_ISVTX
    if kept.setuid and info.mode & (modes.SETUID | modes.SETGID):
        mode |= _acting(descriptor, names, info)
    os.fchmod(descriptor, mode)
    if kept.times:
        os.utime(descriptor, (info.atime, info.mtime))


def _acting(descriptor: int, names: Sequence[str], info: DirEntry) -> int:
    """The bits by which a program acts as its owner or group, where those are whom they were."""
    status = os.fstat(descriptor)
    bits = 0
    for bit, wanted, name, number in (
        (stat.S_ISUID, info.mode & modes.SETUID, user_number(info.uid), status.st_uid),
        (stat.S_ISGID, info.mode & modes.SETGID, group_number(info.gid), status.st_gid),
    ):
        if wanted and name == number:
            bits |= bit
        elif wanted:
            log.warning(
                "%s: without its setuid or setgid bit, as it belongs to somebody else here: see --owners",
                "/".join(names),
            )
    return bits


def _owner(info: DirEntry, names: Sequence[str]) -> tuple[int, int]:
    """The numbers of owner and group; -1, which changes nothing, for one that this machine does not know."""
    found = user_number(info.uid), group_number(info.gid)
    for number, name, what in zip(found, (info.uid, info.gid), ("user", "group"), strict=True):
        if number < 0:
            log.warning("%s: there is no %s %r here: it belongs to you", "/".join(names), what, name)
    return found


@lru_cache(1024)
def user_number(name: str) -> int:
    """The number of a user, -1 if this machine knows none of that name; names that are numbers stand for themselves."""
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return _number(name)


@lru_cache(1024)
def group_number(name: str) -> int:
    """The same of a group."""
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return _number(name)


def _number(name: str) -> int:
    return int(name) if name.isascii() and name.isdecimal() and int(name) < 0xFFFFFFFF else -1


def _place(parent: int, beside: str, names: Sequence[str]) -> None:
    """Gives a finished file its name. A link that has it is replaced, and not followed."""
    try:
        os.rename(beside, names[-1], src_dir_fd=parent, dst_dir_fd=parent)
    except IsADirectoryError as error:
        raise IsADirectoryError(error.errno, "a directory is in the way", names[-1]) from error


def _unlink(parent: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=parent)


def _open_plain(name: str, parent: int) -> int | None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return descriptor


def _named(error: OSError, names: Sequence[str]) -> OSError:
    return type(error)(error.errno, error.strerror, "/".join(names))
