"""A file that a program has open through the mount."""

from __future__ import annotations

from ninep.mount.nodes import Node
from ninep.mount.readahead import ReadAhead
from ninep.mount.writewindow import WriteWindow
from ninep.remote import RemoteFile


class OpenFile:
    """One open(2), for as long as the kernel has it.

    Attributes:
        node: the file.
        file: its fid, open.
        streams: whether it has no content of its own, so that a read may take as long as it likes.
        written: whether something was written through it.
    """

    def __init__(self, node: Node, file: RemoteFile, *, streams: bool = False) -> None:
        self.node = node
        self.file = file
        self.streams = streams
        self.written = False
        self._ahead = ReadAhead(file)
        self._window = WriteWindow(file)
        node.opened.add(self)

    @property
    def pending(self) -> bool:
        """Whether writes have not been answered."""
        return self._window.pending

    async def read(self, offset: int, size: int) -> bytes:
        """Bytes from the file."""
        if self.streams:
            return bytes(await self.file.read(offset, size))
        return await self._ahead.read(offset, size)

    async def write(self, offset: int, data: bytes) -> None:
        """Sends bytes to the file."""
        self.written = True
        await self._window.write(offset, data)

    def forget(self) -> None:
        """The content has changed: nothing that was read ahead counts."""
        self._ahead.forget()

    async def settle(self) -> None:
        """Returns when all writes have been answered. Raises what one of them failed with, once."""
        await self._window.settle()

    async def close(self) -> None:
        """Gives the fid up. Raises what went wrong with a write."""
        self.node.opened.discard(self)
        try:
            await self._window.settle()
        finally:
            await self.file.clunk()
