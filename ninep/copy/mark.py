"""A file that tells whether the tree that is copied holds the place that it is copied to.

The directory of a server may be one of this machine, under another path, or seen through a mount. A copy into itself
would find what it has just made, and copy that, too, for ever. No path and no number of a file tells it; a file of a
name and a content that nobody else makes up, put into the destination and looked for in each directory of the source,
does.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress

from ninep.client.remote import RemoteFile
from ninep.client.replacing import create
from ninep.net.errors import WireError
from ninep.protocol.errors import FileError, NinepError
from ninep.tasks.shielded import has_ended

PATIENCE = 5.0
"""Seconds that taking away a mark at a server may take."""
SIZE = 16


class IntoItself(NinepError):
    """A directory that is copied is the one that it is copied to."""

    def __init__(self) -> None:
        super().__init__("it is left out, as it is copied to itself: name a place outside of what is copied")


class LocalMark:
    """A mark in a directory here, looked for in those of a server."""

    def __init__(self, directory: str) -> None:
        """Where nothing can be made there is no mark, and nothing is found."""
        self._name = _any_name()
        self._content = secrets.token_bytes(SIZE)
        self._path: str | None = os.path.join(directory, self._name)
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError:
            self._path = None
            return
        try:
            os.write(descriptor, self._content)
        finally:
            os.close(descriptor)

    async def check(self, directory: RemoteFile) -> None:
        """Raises ``IntoItself`` if the mark is in this directory, which is not open."""
        if self._path is None:
            return
        try:
            async with await directory.walk([self._name]) as file:
                if file.qid.is_directory:
                    return
                await file.open()
                found = await file.read(0, SIZE)
        except FileError:
            return
        if found == self._content:
            raise IntoItself

    def remove(self) -> None:
        """Takes it away, once. Raises nothing."""
        path, self._path = self._path, None
        if path is not None:
            with suppress(OSError):
                os.unlink(path)


class RemoteMark:
    """A mark in a directory of a server, looked for here."""

    def __init__(self, directory: RemoteFile) -> None:
        """``make`` puts it there."""
        self._name = _any_name()
        self._directory = directory
        self._made = False

    async def make(self) -> None:
        """Where nothing can be made there is no mark, and nothing is found."""
        with suppress(FileError):
            # Given up in mid-way it may be there.
            self._made = True
            file = await create(self._directory, self._name, 0o600)
            await file.clunk()
            return
        self._made = False

    def check(self, directory: str) -> None:
        """Raises ``IntoItself`` if the mark is in this directory."""
        if self._made and os.path.lexists(os.path.join(directory, self._name)):
            raise IntoItself

    async def remove(self) -> None:
        """Takes it away, once, also where this is cancelled. Raises nothing."""
        if not self._made:
            return
        self._made = False

        async def work() -> None:
            with suppress(FileError, WireError):
                await (await self._directory.walk([self._name])).remove()

        await has_ended(work, PATIENCE)


def _any_name() -> str:
    return f".{secrets.token_hex(8)}.part"
