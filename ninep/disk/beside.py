"""A local file that is written beside its place, and gets there whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress

KEPT_NAME = 64
"""Characters of a name that stand in the name of the file beside it."""
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
_NOT_HERE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))


class FileBeside:
    """An empty file, open for writing as ``descriptor``; ``place`` gives it its name, or else ``close`` removes it.

    Nobody else may read it until it has its permissions. A device or a pipe is written itself, and so is a file in a
    directory in which none can be made.
    """

    def __init__(self, path: str, *, follow: bool = False) -> None:
        """``follow``: whether a symbolic link at ``path`` stands for where it leads, or is replaced.

        Raises:
            IsADirectoryError: there is a directory.
            PermissionError: there is a file, and it may not be written; or the directory may not.
            OSError: there can be no file.
        """
        self.path = os.path.realpath(path) if follow else path
        self._beside = ""
        self.descriptor = -1
        before = self._before()
        kind = 0 if before is None else stat.S_IFMT(before.st_mode)
        if kind == stat.S_IFDIR:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if kind not in (0, stat.S_IFREG, stat.S_IFLNK):
            # Opening a pipe must not wait for its reader.
            self.descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | (0 if follow else os.O_NONBLOCK))
            return
        if kind == stat.S_IFREG and follow:
            self._check()
        folder, name = os.path.split(self.path)
        beside = os.path.join(folder, f".{name[:KEPT_NAME]}.{secrets.token_hex(6)}.part")
        try:
            self.descriptor = os.open(beside, _WRITE | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            if kind != stat.S_IFREG or error.errno not in _NOT_HERE:
                raise
            self.descriptor = os.open(self.path, _WRITE | os.O_TRUNC | os.O_NOFOLLOW)
        else:
            self._beside = beside

    def _before(self) -> os.stat_result | None:
        try:
            return os.lstat(self.path)
        except FileNotFoundError:
            return None

    def _check(self) -> None:
        """Raises ``PermissionError`` for a file that may not be written, though it could be replaced."""
        os.close(os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK))

    def place(self, mode: int, times: tuple[float, float]) -> None:
        """Sets permissions and times, and gives the file its name; what has the name is replaced."""
        if not stat.S_ISREG(os.fstat(self.descriptor).st_mode):
            return
        os.fchmod(self.descriptor, mode)
        os.utime(self.descriptor, times)
        if self._beside:
            os.replace(self._beside, self.path)
            self._beside = ""

    def close(self) -> None:
        """Gives the file back to the system, and removes one that was not placed."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        beside, self._beside = self._beside, ""
        if beside:
            with suppress(OSError):
                os.unlink(beside)
