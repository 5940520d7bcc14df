"""Where a command puts a result: whole under its name or not there, and what was there stays until then.

A plain file is written beside its place and renamed when it is whole. What is no plain file is written through: a
device, a pipe, /dev/stdout; and so is a symbolic link, whose target is what is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import secrets
import stat
from types import TracebackType

from ninep.cli.streams import write_whole

log = logging.getLogger(__name__)

PREFIX = ".ninegrid-"
"""How the names of files begin that are not whole yet. One that a killed program left can be removed."""
MOST_LINKS = 40
COPIED = 1024 * 1024

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_NO_ROOM_BESIDE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))


class Destination:
    """A file being written; a context manager that drops it unless ``commit`` was called. Blocks.

    Attributes:
        descriptor: where to write.
        plain: whether it is a plain file, with times, permissions and holes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Begins.

        Raises:
            OSError: with ``path``: there is no such directory, it must not be written, or is a directory.
        """
        self._given = os.fspath(path)
        self._temporary = ""
        self._before: os.stat_result | None = None
        try:
            self._path = _followed(self._given)
            self._open()
        except OSError as error:
            raise type(error)(error.errno, error.strerror, self._given) from error

    def _open(self) -> None:
        if (number := _descriptor_of(self._path)) is not None:
            # Opened by its name it would be cut, and written from its beginning.
            self.descriptor = os.dup(number)
            self.plain = False
            return
        try:
            self._before = os.stat(self._path)
        except FileNotFoundError:
            pass
        else:
            # The rights of a file that is replaced count as if it were written to; tells of a directory, too.
            if not stat.S_ISREG(self._before.st_mode):
                self.descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
                self.plain = False
                return
            os.close(os.open(self._path, os.O_WRONLY | os.O_CLOEXEC))
        self.plain = True
        beside = os.path.join(os.path.dirname(self._path), f"{PREFIX}{secrets.token_hex(6)}")
        try:
            self.descriptor = os.open(beside, _NEW, 0o600 if self._before else 0o666)
            self._temporary = beside
        except OSError as error:
            if self._before is None or error.errno not in _NO_ROOM_BESIDE:
                raise
            # Whoever may write a file and not its directory can only do this.
            self.descriptor = os.open(self._path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)

    def __enter__(self) -> Destination:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, data: bytes | memoryview) -> None:
        """Writes all of ``data`` behind what was written; raises OSError with the path."""
        try:
            write_whole(self.descriptor, data)
        except OSError as failure:
            raise type(failure)(failure.errno, failure.strerror, self._given) from failure

    def commit(self, *, mode: int | None = None, mtime_ns: int | None = None, sync: bool = False) -> None:
        """Puts the file under its name: with these permissions and this time, else those that a file there had.

        ``sync`` has it on the disk before. Raises OSError with the path; nothing has changed there then.
        """
        try:
            if self.plain:
                self._dress(mode, mtime_ns)
                if sync:
                    os.fsync(self.descriptor)
            if self._temporary:
                try:
                    os.rename(self._temporary, self._path)
                except OSError as error:
                    # A file that is mounted there itself, as containers have it, cannot be replaced.
                    if error.errno not in (errno.EBUSY, errno.EXDEV) or self._before is None:
                        raise
                    self._copy()
                else:
                    self._temporary = ""
        except OSError as error:
            raise type(error)(error.errno, error.strerror, self._given) from error
        if sync and self.plain:
            with contextlib.suppress(OSError):
                folder = os.open(os.path.dirname(self._path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        self._close()

    def discard(self) -> None:
        """Leaves what was there as it was; where it is written over already, that is logged. May be called twice."""
        if self.descriptor < 0:
            return
        if self._temporary:
            with contextlib.suppress(OSError):
                os.unlink(self._temporary)
        elif self.plain:
            log.warning("%s: only a part is written, as its directory takes no file beside it", self._given)
        self._close()

    def _close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _dress(self, mode: int | None, mtime_ns: int | None) -> None:
        before = self._before
        if before is not None and self._temporary:
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.fstat(self.descriptor).st_gid):
                with contextlib.suppress(OSError):
                    os.fchown(self.descriptor, before.st_uid, before.st_gid)
            os.fchmod(self.descriptor, stat.S_IMODE(before.st_mode))
        if mode is not None:
            os.fchmod(self.descriptor, mode)
        if mtime_ns is not None:
            os.utime(self.descriptor, ns=(mtime_ns, mtime_ns))

    def _copy(self) -> None:
        source = os.open(self._temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            target = os.open(self._path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
            try:
                while data := os.read(source, COPIED):
                    write_whole(target, data)
            finally:
                os.close(target)
        finally:
            os.close(source)
        os.unlink(self._temporary)
        self._temporary = ""


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Makes ``text`` the content of a file, on the disk when it returns; raises OSError."""
    with Destination(path) as destination:
        destination.write(text.encode())
        destination.commit(sync=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Whether a result can be put there, asked before it is worked for: changes nothing. Raises OSError if not."""
    given = os.fspath(path)
    try:
        target = _followed(given)
        if (number := _descriptor_of(target)) is not None:
            os.fstat(number)
            return
        try:
            found = os.stat(target)
        except FileNotFoundError:
            folder = os.path.dirname(target) or "."
            if not stat.S_ISDIR(os.stat(folder).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
            return
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise type(error)(error.errno, error.strerror, given) from error


def _followed(path: str) -> str:
    """The path that symbolic links at its end lead to, which may not be there yet; ``/dev/stdout`` stays."""
    for _ in range(MOST_LINKS):
        if _descriptor_of(path) is not None:
            return path
        try:
            target = os.readlink(path)
        except OSError:
            return path
        path = os.path.join(os.path.dirname(path), target)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _descriptor_of(path: str) -> int | None:
    path = path.replace(f"/proc/{os.getpid()}/", "/proc/self/", 1)
    if path in _STANDARD:
        return _STANDARD[path]
    found = _DESCRIPTOR.fullmatch(path)
    return int(found[1]) if found else None
