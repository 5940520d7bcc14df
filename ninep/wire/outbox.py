"""The sending side of a connection: replies and requests leave at once or wait for the writer task.

Frames are queued whole, and only this object writes to the stream, so that no cancelled task can ever cut one in
two. A socket is written at once and without waiting, from whichever task has something to send; only what the
kernel does not take is left to ``run``. That saves a task switch for each answer, the dearest thing at depth one.
Other streams (memory, TLS) are written by ``run`` alone.
"""

from __future__ import annotations

import os

import trio

from ninep.wire.dialect import Buffer

JOINED = 128 * 1024
"""Up to this many bytes pieces are joined into one buffer; beyond, the kernel gathers them uncopied."""
VECTOR = 1024
"""Most buffers of one gathering write (IOV_MAX of Linux)."""


class Outbox:
    """Pieces waiting to be sent, oldest first.

    Attributes:
        size: their bytes.
        broken: whether the link is broken: nothing more is kept, and ``size`` stays 0.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._socket = stream.socket if isinstance(stream, trio.SocketStream) else None
        self._pieces: list[Buffer] = []
        self.size = 0
        self._wake = trio.lowlevel.ParkingLot()
        self._drained = trio.lowlevel.ParkingLot()
        self.broken = False

    def push(self, pieces: list[Buffer], size: int) -> None:
        """Queues whole frames of ``size`` bytes in all; nothing is sent before ``send_now`` or ``send_soon``."""
        if not self.broken:
            self._pieces += pieces
            self.size += size

    def send_soon(self) -> None:
        """Lets ``run`` send, after the tasks that are ready now have had their turn to add to it."""
        if self._wake:
            self._wake.unpark()

    def send_now(self) -> None:
        """Sends what the kernel takes without waiting and leaves the rest to ``run``.

        A broken link is not reported here: ``run`` and the reader find it out.
        """
        if self._socket is not None and not self.broken:
            try:
                self._write(self._socket.fileno())
            except BlockingIOError:
                pass
            except OSError:
                self._break()
        if self._pieces or self.broken:
            self._wake.unpark()

    async def wait_below(self, size: int) -> None:
        """Waits until fewer than ``size`` bytes are left, or the link is broken."""
        while self.size >= size and not self.broken:
            await self._drained.park()

    async def run(self) -> None:
        """Sends whatever could not be sent at once, until cancelled or the link breaks (which is no error here)."""
        try:
            while not self.broken:
                while not self._pieces and not self.broken:
                    await self._wake.park()
                if self.broken:
                    return
                if self._socket is not None:
                    self.send_now()
                    if self._pieces and not self.broken:
                        await trio.lowlevel.wait_writable(self._socket)
                else:
                    data = b"".join(self._pieces)
                    self._pieces.clear()
                    await self._stream.send_all(data)
                    self.size -= len(data)
                    self._drained.unpark_all()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass
        finally:
            self._break()

    def _break(self) -> None:
        self.broken = True
        self._pieces.clear()
        self.size = 0
        self._drained.unpark_all()

    def _write(self, descriptor: int) -> None:
        while self._pieces:
            if self.size <= JOINED:
                data = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
                self._pieces = [data]
                sent = os.write(descriptor, data)
            else:
                sent = os.writev(descriptor, self._pieces[:VECTOR])
            self._forget(sent)

    def _forget(self, sent: int) -> None:
        self.size -= sent
        done = 0
        for piece in self._pieces:
            if sent < len(piece):
                break
            sent -= len(piece)
            done += 1
        del self._pieces[:done]
        if sent:
            self._pieces[0] = memoryview(self._pieces[0])[sent:]
        if self._drained:
            self._drained.unpark_all()
