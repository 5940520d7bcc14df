"""Extended attributes in 9P2000.L: a fid is turned into the attribute, and read or written like a file."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from ninep.protocol.attributes import XATTR_REPLACE
from ninep.protocol.errors import FileError, FileSystemFull, InvalidArgument
from ninep.protocol.qid import Qid
from ninep.server.files import File
from ninep.wire.dialect import Buffer, Maybe
from ninep.wire.maybe import arrived

LARGEST = 65536
"""Bytes of a value, as in Linux."""


class ReadXattr(File):
    """A value, or a list of names, that a client fetches."""

    qid: Qid

    def __init__(self, qid: Qid, value: Buffer) -> None:
        self.qid = Qid(0, qid.version, qid.path)
        self._value = bytes(value)

    def read(self, offset: int, count: int) -> Buffer:
        """A piece of it."""
        return self._value[offset : offset + count]


class WriteXattr(File):
    """A value that a client is about to set. The file's own view lives in here and is clunked with it."""

    qid: Qid

    def __init__(self, file: File, name: str, size: int, flags: int, commit: Callable[[], Maybe[None]]) -> None:
        """``commit`` makes it lasting. Raises ``FileSystemFull``: no value is as large as this."""
        if size > LARGEST:
            raise FileSystemFull
        self.qid = Qid(0, file.qid.version, file.qid.path)
        self._file = file
        self._name = name
        self._size = size
        self._flags = flags
        self._commit = commit
        self._value = bytearray()

    def write(self, offset: int, data: Buffer) -> int:
        """The next piece. Raises ``InvalidArgument``: it does not follow, or is more than was announced."""
        if offset != len(self._value) or offset + len(data) > self._size:
            raise InvalidArgument
        self._value += data
        return len(data)

    def clunk(self) -> Coroutine[Any, Any, None]:
        """Sets the attribute; its failure is what the client is told.

        Nothing to set and ``XATTR_REPLACE`` is how Linux removes one.
        """
        return self._set()

    async def _set(self) -> None:
        try:
            if len(self._value) != self._size:
                raise InvalidArgument(f"{len(self._value)} bytes of an attribute of {self._size} came")
            if not self._size and self._flags & XATTR_REPLACE:
                await arrived(self._file.removexattr(self._name))
            else:
                await arrived(self._file.setxattr(self._name, bytes(self._value), self._flags))
            await arrived(self._commit())
        finally:
            await arrived(self._file.clunk())

    def remove(self) -> Maybe[None]:
        """An attribute is removed by setting it to nothing."""
        return self._not_removed()

    async def _not_removed(self) -> None:
        await arrived(self._file.clunk())
        raise FileError("an extended attribute cannot be removed so", InvalidArgument.errno)
