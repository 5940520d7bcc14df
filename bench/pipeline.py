"""A venti client that does next to nothing: frames made beforehand, blocking sockets, replies counted.

What a client in Python does between two requests would otherwise be most of what is measured. The same client is used
for every server.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Sequence
from struct import Struct
from time import perf_counter

from bench.measure import Timing
from venti.protocol import messages as m
from venti.protocol.dialect import VentiDialect
from venti.protocol.handshake import LINE

MOST = 1 << 20
"""Bytes of one receive."""
_HEAD = Struct(">IBB").unpack_from
_FIRST = 6
"""Bytes of size, type and tag."""
_ERROR = 1
_MISS = b"no block with score"
"""The one refusal that may be what was asked for."""


def frames_of(requests: Sequence[m.Request]) -> list[bytes]:
    """Requests as they go over the wire in version 04, under tags that count up."""
    dialect = VentiDialect("04")
    frames = []
    for number, request in enumerate(requests):
        pieces: list[bytes | bytearray | memoryview] = []
        dialect.encode(number % 256, request, pieces)
        frames.append(b"".join(pieces))
    return frames


def greet(port: int) -> socket.socket:
    """A connection to 127.0.0.1 past its hello."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(LINE + frames_of([m.Thello("04", "bench")])[0])
    with connection.makefile("rb", buffering=0) as file:
        while file.read(1) != b"\n":
            pass
        (size, kind, _) = _HEAD(_exactly(connection, _FIRST))
        assert kind == 5, "the server does not answer hello"
        _exactly(connection, size - 2)
    return connection


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        assert more, "the server hung up"
        data += more
    return data


class Pipe:
    """One connection with a window of ``depth`` requests in flight, of at most 256."""

    def __init__(
        self, connection: socket.socket, frames: Sequence[bytes], depth: int, replies: list[bytes] | None = None
    ) -> None:
        """``replies`` takes what the replies carry, where somebody wants to see it."""
        self.connection = connection
        self.latencies: list[float] = []
        self._frames = frames
        self._depth = depth
        self._sent = 0
        self._began = [0.0] * 256
        self._rest = b""
        self._skip = 0
        self._replies = replies

    def send(self, count: int) -> None:
        """Hands over the next requests."""
        group = self._frames[self._sent : self._sent + count]
        if not group:
            return
        now = perf_counter()
        for number in range(self._sent, self._sent + len(group)):
            self._began[number % 256] = now
        self._sent += len(group)
        size = sum(map(len, group))
        sent = self.connection.sendmsg(group)
        if sent < size:
            self.connection.sendall(memoryview(b"".join(group))[sent:])

    def start(self) -> None:
        """Fills the window."""
        self.send(self._depth)

    def turn(self) -> bool:
        """Takes replies and sends as many requests; whether all have been answered."""
        data = self.connection.recv(MOST)
        assert data, "the server hung up"
        now = perf_counter()
        data = self._rest + data if self._rest else data
        at, end, answered = self._skip, len(data), 0
        while end - at >= _FIRST:
            size, kind, tag = _HEAD(data, at)
            if (kind == _ERROR or self._replies is not None) and end - at < 4 + size:
                break
            if kind == _ERROR and not data.startswith(_MISS, at + 8):
                raise AssertionError(f"the server refuses: {data[at + 8 : at + 4 + size].decode(errors='replace')}")
            if self._replies is not None:
                self._replies.append(data[at + _FIRST : at + 4 + size])
            self.latencies.append(now - self._began[tag])
            at += 4 + size
            answered += 1
        self._rest, self._skip = (data[at:], 0) if at < end else (b"", at - end)
        self.send(answered)
        return len(self.latencies) == len(self._frames) and not self._skip


def pipeline(
    connections: Sequence[socket.socket],
    requests: Sequence[m.Request],
    depth: int,
    replies: list[bytes] | None = None,
) -> Timing:
    """Sends independent requests, dealt out to the connections, ``depth`` in flight on each."""
    share = len(connections)
    pipes = [
        Pipe(connection, frames_of(requests[first::share]), depth, replies)
        for first, connection in enumerate(connections)
    ]
    start = perf_counter()
    for pipe in pipes:
        pipe.start()
    if share == 1:
        while not pipes[0].turn():
            pass
    else:
        with selectors.DefaultSelector() as selector:
            for pipe in pipes:
                selector.register(pipe.connection, selectors.EVENT_READ, pipe)
            while selector.get_map():
                for key, _ in selector.select():
                    if key.data.turn():
                        selector.unregister(key.fileobj)
    return Timing(perf_counter() - start, [latency for pipe in pipes for latency in pipe.latencies])
