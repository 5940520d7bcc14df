"""Raw clients of 9P2000 and venti for the suite of hostile ones: they say what they like, and read when they like."""

from __future__ import annotations

import contextlib
import getpass
import socket
import struct
from collections.abc import Iterator
from typing import ClassVar


class Peer:
    """One connection, past its greeting.

    Attributes:
        socket: to be used as one likes.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Hangs up."""
        self.socket.close()

    def vanish(self) -> None:
        """Is gone without a word (RST)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def swallow(self) -> None:
        """Reads whatever comes, to the end."""
        with contextlib.suppress(OSError):
            while self.socket.recv(1 << 20):
                pass

    def exactly(self, count: int) -> bytes:
        """So many bytes. Raises ``EOFError``."""
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError("the server hung up")
            data += more
        return data

    def fill(self) -> None:
        """Puts there what is read."""
        raise NotImplementedError

    def read(self, number: int) -> bytes:
        """A request for much, under a tag made of ``number``."""
        raise NotImplementedError

    def large(self) -> bytes:
        """A large request."""
        raise NotImplementedError

    def crowd(self) -> Iterator[bytes]:
        """Requests that take all there is of fids, tags and names."""
        raise NotImplementedError

    def ask_little(self) -> None:
        """Asks one small thing, and waits for its answer."""
        raise NotImplementedError


class Ninep(Peer):
    """A client of 9P2000 with the file ``big`` open as fid 1."""

    LARGEST: ClassVar[int] = 1_040_000
    _MSIZE = 1 << 20

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._call(100, struct.pack("<I", self._MSIZE) + _text("9P2000"), 0xFFFF)
        self._call(104, struct.pack("<II", 0, 0xFFFFFFFF) + _text(getpass.getuser()) + _text(""))
        self._open()

    def _open(self) -> bool:
        if self._call(110, struct.pack("<IIH", 0, 1, 1) + _text("big"))[0] != 111:
            return False
        return self._call(112, struct.pack("<IB", 1, 0))[0] == 113

    def _frame(self, kind: int, body: bytes, tag: int = 1) -> bytes:
        return struct.pack("<IBH", 7 + len(body), kind, tag) + body

    def _call(self, kind: int, body: bytes, tag: int = 1) -> bytes:
        self.socket.sendall(self._frame(kind, body, tag))
        return self.exactly(int.from_bytes(self.exactly(4), "little") - 4)

    def fill(self) -> None:
        """Makes the file."""
        self._call(110, struct.pack("<IIH", 0, 2, 0))
        self._call(114, struct.pack("<I", 2) + _text("big") + struct.pack("<IB", 0o666, 1))
        self._call(118, struct.pack("<IQI", 2, 0, self.LARGEST) + b"q" * self.LARGEST)
        self._call(120, struct.pack("<I", 2))

    def read(self, number: int) -> bytes:
        """Tread."""
        return self._frame(116, struct.pack("<IQI", 1, 0, self.LARGEST), number % 60_000 + 1)

    def large(self) -> bytes:
        """Twrite."""
        return self._frame(118, struct.pack("<IQI", 1, 0, self.LARGEST) + b"q" * self.LARGEST)

    def crowd(self) -> Iterator[bytes]:
        """More clones than there may be fids, walks of sixteen names, flushes."""
        for first in range(0, 70_000, 500):
            numbers = range(first, first + 500)
            yield b"".join(self._frame(110, struct.pack("<IIH", 0, 10 + n, 0), n % 60_000 + 1) for n in numbers)
        walk = struct.pack("<IIH", 0, 900_000, 16) + _text("..") * 16
        for first in range(0, 20_000, 500):
            yield b"".join(self._frame(110, walk, n % 60_000 + 1) for n in range(first, first + 500))
        for first in range(0, 20_000, 500):
            numbers = range(first, first + 500)
            yield b"".join(self._frame(108, struct.pack("<H", n % 7), n % 60_000 + 1) for n in numbers)

    def ask_little(self) -> None:
        """Tstat of the root."""
        self._call(124, struct.pack("<I", 0))


class Venti(Peer):
    """A client of venti that knows a block of the largest size."""

    _BLOCK = b"q" * 57_000

    def __init__(self, port: int) -> None:
        super().__init__(port)
        while self.exactly(1) != b"\n":
            pass
        self.socket.sendall(b"venti-02-bench\n")
        self._call(4, _counted(b"02") + _counted(b"bench") + bytes(3), 0)
        self._score = self._call(14, bytes((13, 0, 0, 0)) + self._BLOCK)[2:]

    def _frame(self, kind: int, body: bytes, tag: int = 1) -> bytes:
        return struct.pack(">HBB", 2 + len(body), kind, tag) + body

    def _call(self, kind: int, body: bytes, tag: int = 1) -> bytes:
        self.socket.sendall(self._frame(kind, body, tag))
        return self.exactly(int.from_bytes(self.exactly(2), "big"))

    def fill(self) -> None:
        """It is there when one has connected."""

    def read(self, number: int) -> bytes:
        """Tread."""
        return self._frame(12, self._score + bytes((13, 0)) + struct.pack(">H", 57_344), number % 250)

    def large(self) -> bytes:
        """Twrite."""
        return self._frame(14, bytes((13, 0, 0, 0)) + self._BLOCK)

    def crowd(self) -> Iterator[bytes]:
        """All tags again and again, and blocks of a byte."""
        for first in range(0, 60_000, 500):
            numbers = range(first, first + 500)
            yield b"".join(self._frame(14, bytes((13, 0, 0, 0)) + struct.pack(">H", n), n % 250) for n in numbers)

    def ask_little(self) -> None:
        """Tping."""
        self._call(2, b"")


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<H", len(data)) + data


def _counted(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data
