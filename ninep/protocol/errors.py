"""Refusals: a server's file raises one, the session sends its text, and the client raises the same class.

``NinepError``

* ``FileError``: the server refused; its text is the error string of 9P.

  * one class for each text that programs react to; see ``BY_TEXT``.

The texts are those that Plan 9 programs search for and that the Linux kernel maps to an errno (file ``error.c`` of its
9P code); ``errno`` is what Unix programs expect instead, and what 9P2000.u and 9P2000.L carry.
"""

from __future__ import annotations

import errno as E

from ninep.protocol import linux_errno


class NinepError(Exception):
    """Anything that goes wrong in 9P above the wire."""


class FileError(NinepError):
    """A refusal by a file server.

    Attributes:
        text: the error string as it stands on the wire.
        errno: the nearest Unix error number, this machine's; in 9P2000.u and 9P2000.L it is what counts.
    """

    text = "i/o error"
    errno = E.EIO

    def __init__(self, text: str | None = None, errno: int | None = None) -> None:
        if text is not None:
            self.text = text
        if errno is not None:
            self.errno = errno
        super().__init__(self.text)


class FileNotFound(FileError):
    """There is no such file."""

    text, errno = "file does not exist", E.ENOENT


class PermissionDenied(FileError):
    """The user lacks a right."""

    text, errno = "permission denied", E.EACCES


class FileExists(FileError):
    """The name is taken."""

    text, errno = "file already exists", E.EEXIST


class NotDirectory(FileError):
    """A directory was needed."""

    text, errno = "not a directory", E.ENOTDIR


class IsDirectory(FileError):
    """A plain file was needed. Linux knows the text only with its capital letter."""

    text, errno = "Is a directory", E.EISDIR


class DirectoryNotEmpty(FileError):
    """Only empty directories can be removed."""

    text, errno = "directory is not empty", E.ENOTEMPTY


class UnknownFid(FileError):
    """The fid was never given out or is gone."""

    text, errno = "fid unknown or out of range", E.EBADF


class FidInUse(FileError):
    """The fid that a request would set up exists."""

    text, errno = "fid already in use", E.EBADF


class BadFidUse(FileError):
    """The fid is open where it must not be, or not open as it must be."""

    text, errno = "bad use of fid", E.EBADF


class ExclusiveUse(FileError):
    """An exclusive-use file has its one opener."""

    text, errno = "exclusive use file already open", E.EAGAIN


class BadDirectoryOffset(FileError):
    """A directory is read from the start or from where the last read ended."""

    text, errno = "bad offset in directory read", E.ESPIPE


class ReadOnly(FileError):
    """The tree cannot be changed."""

    text, errno = "read only file system", E.EROFS


class WstatProhibited(FileError):
    """A field that cannot be changed, or not by this user."""

    text, errno = "wstat prohibited", E.EPERM


class NotOwner(FileError):
    """Only the owner or a group leader may do that."""

    text, errno = "not owner", E.EPERM


class BadStat(FileError):
    """The directory entry in a wstat is malformed."""

    text, errno = "bogus wstat buffer", E.EPROTO


class CountTooLarge(FileError):
    """A count exceeds what fits in a message."""

    text, errno = "i/o count too large", E.EIO


class InputOutput(FileError):
    """Data could not be read or written."""

    text, errno = "i/o error", E.EIO


class FileSystemFull(FileError):
    """There is no room for the change."""

    text, errno = "file system is full", E.ENOSPC


class FileTooBig(FileError):
    """An offset or length beyond what a file can have."""

    text, errno = "file too big", E.EFBIG


class IllegalName(FileError):
    """A name that no file can have."""

    text, errno = "illegal name", E.EINVAL


class NameTooLong(FileError):
    """A name longer than the server keeps."""

    text, errno = "File name too long", E.ENAMETOOLONG


class IllegalMode(FileError):
    """An open mode or permission bits that mean nothing."""

    text, errno = "illegal mode", E.EINVAL


class AuthenticationNotRequired(FileError):
    """The answer to Tauth of a server that asks for no proof."""

    text, errno = "authentication not required", E.ENOENT


class AuthenticationFailed(FileError):
    """The proof was not accepted."""

    text, errno = "authentication failed", E.ECONNREFUSED


class FunctionNotImplemented(FileError):
    """The server cannot do that at all."""

    text, errno = "Function not implemented", E.ENOSYS


class FileRemoved(FileError):
    """The file was removed, or another one took its place, while the fid referred to it.

    Linux looks up the names again when it hears this number.
    """

    text, errno = "file has been removed", E.ESTALE


class UnknownUser(FileError):
    """No such user or group."""

    text, errno = "unknown user", E.EINVAL


class NotPermitted(FileError):
    """Not for this user, or not on this kind of tree."""

    text, errno = "Operation not permitted", E.EPERM


class NotSupported(FileError):
    """This file has no such thing: extended attributes, say."""

    text, errno = "Operation not supported", E.EOPNOTSUPP


class InvalidArgument(FileError):
    """What is asked makes no sense for this file."""

    text, errno = "Invalid argument", E.EINVAL


class CrossDevice(FileError):
    """A file cannot be moved there, only copied."""

    text, errno = "Invalid cross-device link", E.EXDEV


class NoAttribute(FileError):
    """The file has no extended attribute of this name."""

    text, errno = "No data available", E.ENODATA


class RangeError(FileError):
    """A value larger than the server keeps."""

    text, errno = "Numerical result out of range", E.ERANGE


class TooManyLinks(FileError):
    """The file has as many names as a file can have, or a symbolic link leads nowhere."""

    text, errno = "Too many links", E.EMLINK


class TooManyFids(FileError):
    """The server has no room for another fid: of this connection, or no descriptor for it."""

    text, errno = "too many fids", E.EMFILE


class ServerFault(FileError):
    """The server met an error of its own; its log has the details."""

    text = "internal error"


BY_TEXT: dict[str, type[FileError]] = {kind.text: kind for kind in FileError.__subclasses__()} | {
    "file not found": FileNotFound,
    "directory entry not found": FileNotFound,
    "No such file or directory": FileNotFound,
    "Permission denied": PermissionDenied,
    "access permission denied": PermissionDenied,
    "file exists": FileExists,
    "File exists": FileExists,
    "Not a directory": NotDirectory,
    "is a directory": IsDirectory,
    "Directory not empty": DirectoryNotEmpty,
    "directory not empty": DirectoryNotEmpty,
    "unknown fid": UnknownFid,
    "duplicate fid": FidInUse,
    "Read-only file system": ReadOnly,
    "No space left on device": FileSystemFull,
    "fid not open for read": BadFidUse,
    "fid not open for write": BadFidUse,
    "fid open for I/O": BadFidUse,
    "file open for I/O": BadFidUse,
    "wstat -- not owner": NotOwner,
    "wstat -- not owner or group leader": NotOwner,
    "wstat -- not owner and not group leaders": NotOwner,
    "wstat -- unknown gid": UnknownUser,
    "wstat -- unknown uid": UnknownUser,
    "wstat -- attempt to change directory bit": WstatProhibited,
    "wstat -- attempt to change length of append-only file": WstatProhibited,
    "wstat -- attempt to change length of directory": WstatProhibited,
    "exclusive lock": ExclusiveUse,
    "read-only filesystem": ReadOnly,
    "file is read only": ReadOnly,
    "disk is full": FileSystemFull,
    "phase error": FileRemoved,
}
"""The class of each error string: our own texts, and those of servers in the field that mean the same."""


def from_text(text: str) -> FileError:
    """The refusal that an error string stands for, with the string as it came."""
    kind = BY_TEXT.get(text)
    if kind is None and text in linux_errno.BY_TEXT:
        return from_errno(linux_errno.BY_TEXT[text], text)
    if kind is None:
        kind = next((start for start in (InputOutput, TooManyFids) if text.startswith(start.text)), None)
    if kind is None:
        kind = FileNotFound if "does not exist" in text else PermissionDenied if "permission" in text else FileError
    return kind(text)


BY_ERRNO: dict[int, type[FileError]] = {
    kind.errno: kind
    for kind in (
        *(FileNotFound, PermissionDenied, FileExists, NotDirectory, IsDirectory, DirectoryNotEmpty, UnknownFid),
        *(ReadOnly, InputOutput, FileSystemFull, FileTooBig, NameTooLong, FunctionNotImplemented, FileRemoved),
        *(NotPermitted, NotSupported, InvalidArgument, CrossDevice, NoAttribute, RangeError, TooManyLinks),
        *(ExclusiveUse, BadDirectoryOffset),
    )
}
"""The class of each of this machine's error numbers that has one."""
BY_ERRNO[E.EIDRM] = FileRemoved


def from_errno(number: int, text: str | None = None) -> FileError:
    """The refusal that a Linux error number stands for, as 9P2000.L and 9P2000.u have it.

    Without a ``text`` it has the words of its class, or Linux's.
    """
    own = linux_errno.from_linux(number)
    kind = BY_ERRNO.get(own, FileError)
    if text is None and kind is FileError:
        text = linux_errno.text_of(number)
    return kind(text, own)


def is_shortage(error: FileError) -> bool:
    """Whether a server refuses because it has no more fids or descriptors: who gives some up can ask again."""
    return error.errno in (E.EMFILE, E.ENFILE)


_BY_EXCEPTION: dict[type[OSError], int] = {
    FileNotFoundError: E.ENOENT,
    PermissionError: E.EACCES,
    FileExistsError: E.EEXIST,
    IsADirectoryError: E.EISDIR,
    NotADirectoryError: E.ENOTDIR,
    BlockingIOError: E.EAGAIN,
    InterruptedError: E.EINTR,
    TimeoutError: E.ETIMEDOUT,
    ProcessLookupError: E.ESRCH,
    BrokenPipeError: E.EPIPE,
    ConnectionRefusedError: E.ECONNREFUSED,
    ConnectionResetError: E.ECONNRESET,
    ConnectionAbortedError: E.ECONNABORTED,
}
"""What an exception means that a program raises by hand, without a number."""


def from_oserror(error: OSError) -> FileError:
    """The refusal for a failure of this machine's own files, or for an exception like it that a program raises."""
    number = error.errno
    if not isinstance(number, int) or not number:
        number = next((found for kind, found in _BY_EXCEPTION.items() if isinstance(error, kind)), E.EIO)
    return from_errno(linux_errno.to_linux(number))
