"""An output file that appears under its name only when it is complete; until then the old one stays.

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

from ninep.disk.folders import sync_folder
from ninep.disk.positioned import Data
from ninep.disk.streamed import write_whole

log = logging.getLogger(__name__)

KEPT_NAME = 64
"""Bytes of a name that stand in the name of the file beside it, ``.NAME.*.part``."""
MOST_LINKS = 40
HOLE = 32 * 1024
"""Bytes of zeros that are left out, so that they take no room."""
COPIED = 1024 * 1024

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_NO_ROOM_BESIDE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))
_ZEROS = bytes(HOLE)


class Destination:
    """A file being written; a context manager that drops it unless ``commit`` was called. Blocks.

    Nobody else may read it until it has its permissions. One that a killed program left, ``.NAME.*.part``, can be
    removed.

    Attributes:
        descriptor: where to write.
        plain: whether it is a plain file, with times, permissions and holes.
    """

    def __init__(self, path: str | os.PathLike[str], *, follow: bool = True) -> None:
        """Begins.

        ``follow``: whether a link, a device and a pipe at ``path`` are written through, else they are replaced, and so
        is a file that may not be written.

        Raises:
            OSError: with ``path``: there is no such directory, it must not be written, or is a directory.
        """
        self._given = os.fspath(path)
        self._follow = follow
        self._temporary = ""
        self._before: os.stat_result | None = None
        self._size = 0
        self.descriptor = -1
        try:
            self._path = _followed(self._given) if follow else self._given
            self._open()
        except OSError as error:
            raise type(error)(error.errno, error.strerror, self._given) from error

    def _open(self) -> None:
        self.plain = False
        if self._follow and (number := _descriptor_of(self._path)) is not None:
            # Opened by its name it would be cut, and written from its beginning.
            self.descriptor = os.dup(number)
            return
        with contextlib.suppress(FileNotFoundError):
            self._before = os.lstat(self._path)
        if (before := self._before) is not None:
            if stat.S_ISDIR(before.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(before.st_mode):
                if self._follow:
                    self.descriptor = os.open(self._path, _OLD)
                    return
                self._before = None
            elif self._follow:
                # Its rights count although it is replaced.
                os.close(os.open(self._path, _OLD))
        self.plain = True
        folder, name = os.path.split(self._path)
        kept = os.fsdecode(os.fsencode(name)[:KEPT_NAME])
        beside = os.path.join(folder, f".{kept}.{secrets.token_hex(6)}.part")
        try:
            self.descriptor = os.open(beside, _NEW, 0o600)
            self._temporary = beside
        except OSError as error:
            if self._before is None or error.errno not in _NO_ROOM_BESIDE:
                raise
            # Whoever may write a file and not its directory can only do this.
            self.descriptor = os.open(self._path, _OLD | os.O_TRUNC)

    def __enter__(self) -> Destination:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, data: Data) -> None:
        """Writes all of ``data`` behind what was written; raises OSError with the path. Zeros become holes."""
        try:
            if self.plain:
                self._write_plain(memoryview(data))
            else:
                write_whole(self.descriptor, data)
        except OSError as failure:
            raise type(failure)(failure.errno, failure.strerror, self._given) from failure

    def _write_plain(self, data: memoryview) -> None:
        """Leaves out what is nothing but zeros, in pieces as they lie in the file."""
        size = len(data)
        start = at = 0
        while at < size:
            end = min(size, at + HOLE - (self._size + at) % HOLE)
            if end - at == HOLE and data[at:end] == _ZEROS:
                if start < at:
                    write_whole(self.descriptor, data[start:at])
                os.lseek(self.descriptor, HOLE, os.SEEK_CUR)
                start = end
            at = end
        if start < size:
            write_whole(self.descriptor, data[start:])
        self._size += size

    def commit(self, *, mode: int | None = None, mtime_ns: int | None = None, sync: bool = False) -> None:
        """Puts the file under its name: with these permissions and this time, else those that a file there had.

        ``sync`` has it on the disk before. Raises OSError with the path; nothing has changed there then.
        """
        try:
            if self.plain:
                os.ftruncate(self.descriptor, self._size)
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
            sync_folder(os.path.dirname(self._path) or ".")
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
        if self._temporary and before is not None:
            with contextlib.suppress(OSError):
                os.fchown(self.descriptor, before.st_uid, before.st_gid)
            os.fchmod(self.descriptor, stat.S_IMODE(before.st_mode) if mode is None else mode)
        elif self._temporary or mode is not None:
            os.fchmod(self.descriptor, 0o666 & ~_umask() if mode is None else mode)
        if mtime_ns is not None:
            os.utime(self.descriptor, ns=(mtime_ns, mtime_ns))

    def _copy(self) -> None:
        source = os.open(self._temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            target = os.open(self._path, _OLD | os.O_TRUNC)
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


def _umask() -> int:
    """The mask of permissions of this process; it cannot be asked for without being set, but is shown."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/status", "rb") as status:
        return int(status.read().split(b"\nUmask:")[1].split()[0], 8)
    return 0o077
