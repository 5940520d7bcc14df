"""What the local system refuses, as a refusal of 9P."""

from __future__ import annotations

import errno

from ninep.errors import (
    DirectoryNotEmpty,
    FileError,
    FileExists,
    FileNotFound,
    FileSystemFull,
    FileTooBig,
    InputOutput,
    IsDirectory,
    NameTooLong,
    NotDirectory,
    NotOwner,
    PermissionDenied,
    ReadOnly,
)

KINDS: dict[int, type[FileError]] = {
    errno.ENOENT: FileNotFound,
    errno.EACCES: PermissionDenied,
    errno.EPERM: NotOwner,
    errno.EEXIST: FileExists,
    errno.ENOTDIR: NotDirectory,
    errno.EISDIR: IsDirectory,
    errno.ENOTEMPTY: DirectoryNotEmpty,
    errno.ENOSPC: FileSystemFull,
    errno.EDQUOT: FileSystemFull,
    errno.EFBIG: FileTooBig,
    errno.ENAMETOOLONG: NameTooLong,
    errno.EROFS: ReadOnly,
    errno.EIO: InputOutput,
}


def refusal(error: OSError) -> FileError:
    """The refusal that a system error stands for. It tells the reason and no path of this machine."""
    number = error.errno or errno.EIO
    if number in (errno.EMFILE, errno.ENFILE):
        return FileError("too many open files on the server")
    made = KINDS.get(number, FileError)(None if number in KINDS else (error.strerror or "i/o error"))
    made.errno = number
    return made
