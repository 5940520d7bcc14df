"""Where unpacked files land: one directory, which nothing that an archive holds can get out of.

Every path is opened name by name from the directory's descriptor, and a symbolic link is never followed, whoever made
it. Files are made new: what has their name is unlinked first, so that no other name of it is written to. These
functions block and belong in worker threads.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence

from ninep.disk import pwrite_all
from venti.score import Score
from venti.vac import mode as modes
from venti.vac.direntry import DirEntry

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ZEROS = bytes(32 * 1024)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Landing:
    """A directory to unpack into; a context manager.

    Methods raise OSError with the path in it.
    """

    def __init__(self, path: str) -> None:
        self._top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

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

    def make_directory(self, names: Sequence[str], mode: int) -> None:
        """Makes a directory, or takes one that is there; it can be written to whatever its mode says.

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
                os.fchmod(descriptor, mode & modes.PERMISSIONS | 0o700)
            finally:
                os.close(descriptor)

    def make_file(self, names: Sequence[str], mode: int) -> int:
        """The descriptor of a new file, open for writing."""
        with self._open(names[:-1]) as parent:
            return _new_file(parent, names, mode)

    def write_files(
        self, names: Sequence[str], files: Sequence[tuple[DirEntry, bytes]], *, times: bool
    ) -> list[OSError]:
        """Makes small files in the directory ``names``; returns what went wrong with some of them."""
        failures = []
        with self._open(names) as parent:
            for info, data in files:
                path = (*names, info.name)
                try:
                    descriptor = _new_file(parent, path, info.mode)
                    try:
                        if len(data) <= len(_ZEROS):
                            pwrite_all(descriptor, data, 0)
                        else:
                            write_piece(descriptor, data, 0)
                            finish_file(descriptor, len(data))
                    finally:
                        os.close(descriptor)
                    if times:
                        os.utime(info.name, (info.atime, info.mtime), dir_fd=parent, follow_symlinks=False)
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

    def make_link(self, names: Sequence[str], target: bytes) -> None:
        """Makes a symbolic link. It may point anywhere: nothing here will follow it."""
        with self._open(names[:-1]) as parent:
            try:
                _clear(names[-1], parent)
                os.symlink(target, os.fsencode(names[-1]), dir_fd=parent)
            except OSError as error:
                raise _named(error, names) from error

    def make_pipe(self, names: Sequence[str], mode: int) -> None:
        """Makes a named pipe."""
        with self._open(names[:-1]) as parent:
            try:
                _clear(names[-1], parent)
                os.mkfifo(names[-1], mode & modes.PERMISSIONS, dir_fd=parent)
            except OSError as error:
                raise _named(error, names) from error

    def set_times(self, names: Sequence[str], info: DirEntry) -> None:
        """Sets when it was read and written last."""
        with self._open(names[:-1]) as parent:
            os.utime(names[-1], (info.atime, info.mtime), dir_fd=parent, follow_symlinks=False)

    def remove_file(self, names: Sequence[str]) -> None:
        """Takes back a file that could not be finished."""
        with self._open(names[:-1]) as parent, contextlib.suppress(OSError):
            os.unlink(names[-1], dir_fd=parent)


def write_piece(descriptor: int, data: bytes, offset: int) -> None:
    """Writes ``data`` at ``offset`` of a new file; runs of zeros stay holes."""
    for start in range(0, len(data), len(_ZEROS)):
        part = data[start : start + len(_ZEROS)]
        if not _ZEROS.startswith(part):
            pwrite_all(descriptor, part, offset + start)


def finish_file(descriptor: int, size: int) -> None:
    """Gives the file its size, holes and all."""
    os.ftruncate(descriptor, size)


def _new_file(parent: int, names: Sequence[str], mode: int) -> int:
    name = names[-1]
    try:
        try:
            descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
        except FileExistsError:
            _clear(name, parent)
            descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
        os.fchmod(descriptor, mode & modes.PERMISSIONS)
    except OSError as error:
        raise _named(error, names) from error
    return descriptor


def _open_plain(name: str, parent: int) -> int | None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return descriptor


def _clear(name: str, parent: int) -> None:
    """Unlinks what has the name, unless it is a directory."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(21, "a directory is in the way", name)
    os.unlink(name, dir_fd=parent)


def _named(error: OSError, names: Sequence[str]) -> OSError:
    return type(error)(error.errno, error.strerror, "/".join(names))
