"""A file that a program has open through the mount."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import trio

from ninep.client.remote import RemoteFile
from ninep.mount.nodes import KernelNode
from ninep.mount.readahead import ReadAhead
from ninep.mount.writewindow import WriteWindow
from ninep.net.errors import Malformed
from ninep.protocol import messages as m
from ninep.protocol.errors import FileError

_ONCE = os.O_TRUNC | os.O_CREAT | os.O_EXCL


class OpenFile:
    """One open(2), for as long as the kernel has it.

    Attributes:
        node: the file.
        file: its fid, open.
        streams: whether it has no content of its own, so that a read may take as long as it likes.
        opener: the thread that has opened it; whoever has the descriptor now may be another.
        flags: how it was opened, as Linux has it, less what is done once.
        written: whether something was written through it.
    """

    def __init__(
        self,
        node: KernelNode,
        file: RemoteFile,
        flags: int,
        connected: Callable[[], Awaitable[None]],
        *,
        streams: bool = False,
        opener: int = 0,
    ) -> None:
        """``connected`` returns when there is a connection after one that broke, and the file was renewed."""
        self.node = node
        self.file = file
        self.streams = streams
        self.opener = opener
        self.flags = flags & ~_ONCE
        self.written = False
        self._connected = connected
        self._lost: FileError | None = None
        self._ahead = ReadAhead(file)
        self._window = WriteWindow(file, self._again)
        node.opens(self)

    async def _again(self) -> None:
        await self._connected()
        self.check()

    def check(self) -> None:
        """Raises why the file could not be opened again after the connection broke, if it is so."""
        if self._lost is not None:
            raise self._lost

    def renew(self, file: RemoteFile) -> None:
        """Goes on with the same file, open on another connection."""
        self._window.renew(file)
        self._ahead = ReadAhead(file)
        self.file = file
        self._lost = None

    def lose(self, why: FileError) -> None:
        """It could not be opened again."""
        self._lost = why

    @property
    def pending(self) -> bool:
        """Whether writes have not been answered."""
        return self._window.pending

    async def read(self, offset: int, size: int) -> bytes:
        """Bytes from the file."""
        self.check()
        return await self._ahead.read(offset, size)

    async def follow(self, offset: int, size: int) -> bytes:
        """What there is to read next of a stream; waits for it.

        Cancelled, nothing is lost: what has been answered all the same is returned.
        """
        self.check()
        file = self.file
        client = file.connection.client
        size = min(size, file.iounit)
        call = client.begin(m.Tread(file.fid, offset, size))
        try:
            reply = await client.wait(call)
        except trio.Cancelled:
            if not isinstance(call.reply, m.Rread):
                raise
            reply = call.reply
        if len(reply.data) > size:
            raise Malformed(f"{len(reply.data)} bytes where {size} were asked for")
        return bytes(reply.data)

    async def write(self, offset: int, data: bytes) -> None:
        """Sends bytes to the file."""
        self.check()
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
        self.node.closes(self)
        try:
            await self._window.settle()
        finally:
            await self.file.clunk()
