"""A 9P client that does next to nothing: frames made beforehand, blocking sockets, replies counted and not decoded.

What a client in Python does between two requests would otherwise be most of what is measured. The same client is used
for every server.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterable, Sequence
from struct import Struct
from time import perf_counter
from typing import Any

from bench.measure import Timing
from ninep.dialect import NinePDialect
from ninep.messages import NOFID, NOTAG, Rerror, Rversion, Tattach, Tversion
from ninep.wire.dialect import Buffer

MOST = 1 << 20
"""Bytes of one receive."""
TAGS = 1024
_HEAD = Struct("<IBH").unpack_from
_FIRST = 7
"""Bytes of size, type and tag."""
_ERROR = 107


class Raw:
    """One connection, attached under fid 0.

    Attributes:
        msize: what the server granted.
    """

    def __init__(self, port: int, uname: str, aname: str, msize: int) -> None:
        """Connects to 127.0.0.1. Raises ``AssertionError`` where the server refuses."""
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._dialect = NinePDialect()
        self._buffer = bytearray(MOST)
        self._rest = b""
        self._under_way = (0, 0)
        version = self.call(Tversion(msize, "9P2000"), NOTAG)
        assert isinstance(version, Rversion)
        self.msize = version.msize
        self.call(Tattach(0, NOFID, uname, aname))

    def close(self) -> None:
        """Hangs up."""
        self._socket.close()

    def fileno(self) -> int:
        """Of the socket, for selecting."""
        return self._socket.fileno()

    def frames(self, requests: Iterable[Any]) -> list[bytes]:
        """Requests as they go over the wire, under tags that count up."""
        frames = []
        for number, request in enumerate(requests):
            pieces: list[Buffer] = []
            self._dialect.encode(number % TAGS, request, pieces)
            frames.append(b"".join(pieces))
        return frames

    def send(self, data: bytes) -> None:
        """Hands frames to the operating system."""
        self._socket.sendall(data)

    def call(self, request: Any, tag: int = 0) -> Any:
        """One request and its reply, decoded. Raises ``AssertionError`` for a refusal."""
        pieces: list[Buffer] = []
        self._dialect.encode(tag, request, pieces)
        self.send(b"".join(pieces))
        reply = self._dialect.decode_reply(memoryview(self._frame())[4:])[1]
        if isinstance(reply, Rerror):
            raise AssertionError(f"the server refuses {request!r}: {reply.ename}")
        return reply

    def _frame(self) -> bytes:
        data, wanted = bytearray(), _FIRST
        while len(data) < wanted:
            more = self._socket.recv(wanted - len(data))
            assert more, "the server hung up"
            data += more
            if len(data) >= _FIRST:
                wanted = _HEAD(data)[0]
        return bytes(data)

    def receive(self) -> list[int]:
        """Waits for bytes and takes what has come; the tags of the replies that are whole now."""
        count = self._socket.recv_into(self._buffer)
        assert count, "the server hung up"
        view = memoryview(self._buffer)[:count]
        data: Buffer = b"".join((self._rest, view)) if self._rest else view
        self._rest = b""
        tags: list[int] = []
        tag, at = self._under_way
        end = len(data)
        while at <= end:
            if at:
                tags.append(tag)
            if end - at < _FIRST:
                self._rest, at = bytes(data[at:]), 0
                break
            size, kind, tag = _HEAD(data, at)
            if kind == _ERROR:
                raise AssertionError(f"the server refuses: {bytes(data[at + 9 : at + size])!r}")
            at += size
        else:
            at -= end
        self._under_way = (tag, at)
        return tags


class Window:
    """Independent requests, ``depth`` of them in flight at any time. A latency is that of one request."""

    def __init__(self, raw: Raw, requests: Iterable[Any], depth: int) -> None:
        self.raw = raw
        self.latencies: list[float] = []
        self._frames = raw.frames(requests)
        self._depth = depth
        self._sent = 0
        self._began = [0.0] * TAGS

    def start(self) -> None:
        """Fills the window."""
        self._send(self._depth)

    def _send(self, count: int) -> None:
        group = self._frames[self._sent : self._sent + count]
        if group:
            now = perf_counter()
            for number in range(self._sent, self._sent + len(group)):
                self._began[number % TAGS] = now
            self._sent += len(group)
            self.raw.send(b"".join(group) if len(group) > 1 else group[0])

    def turn(self) -> bool:
        """Takes replies and sends as many requests; whether all have been answered."""
        tags = self.raw.receive()
        now = perf_counter()
        self.latencies += [now - self._began[tag] for tag in tags]
        self._send(len(tags))
        return len(self.latencies) == len(self._frames)


class Chains:
    """Sequences of dependent requests, ``depth`` of them at once, step by step. A latency is that of a sequence."""

    def __init__(self, raw: Raw, work: Sequence[Sequence[Any]], depth: int) -> None:
        self.raw = raw
        self.latencies: list[float] = []
        groups = [work[first : first + depth] for first in range(0, len(work), depth)]
        self._steps = [
            (b"".join(raw.frames(step)), len(group), number == len(group[0]) - 1)
            for group in groups
            for number, step in enumerate(zip(*group, strict=True))
        ][::-1]
        self._began = 0.0
        self._size = self._missing = 0
        self._ends = True

    def start(self) -> None:
        """Takes the next step."""
        if self._ends:
            self._began = perf_counter()
        frames, self._size, self._ends = self._steps.pop()
        self._missing = self._size
        self.raw.send(frames)

    def turn(self) -> bool:
        """Takes replies and, when the step is done, the next step; whether all is done."""
        self._missing -= len(self.raw.receive())
        if self._missing:
            return False
        if self._ends:
            self.latencies += [perf_counter() - self._began] * self._size
        if self._steps:
            self.start()
            return False
        return True


def run(*work: Window | Chains) -> Timing:
    """Does it, side by side if it is several."""
    start = perf_counter()
    for each in work:
        each.start()
    if len(work) == 1:
        while not work[0].turn():
            pass
    else:
        with selectors.DefaultSelector() as selector:
            for each in work:
                selector.register(each.raw, selectors.EVENT_READ, each)
            while selector.get_map():
                for key, _ in selector.select():
                    if key.data.turn():
                        selector.unregister(key.fileobj)
    return Timing(perf_counter() - start, [latency for each in work for latency in each.latencies])
