"""A load generator for 9P that costs less than any server that it measures.

All frames are made before the clock starts, replies are looked at no further than their size, type and tag, and the
socket blocks. Where a client in Python decodes every reply, servers that differ by a factor look alike: it is slower
than they are. Everybody gets the same load.

A client that sleeps until its reply comes has to be woken up, which on a virtual machine takes longer than most servers
take for a small request, and not always as long. One that stays awake leaves that out of the figures.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from time import perf_counter
from typing import Any

from bench.measure import Timing
from ninep.net.errors import Malformed
from ninep.net.identity import user_name
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.dialect import NinePDialect
from ninep.wire.dialect import Buffer

ROOT = 0
"""The fid of the root."""
ROOM = 4 << 20
"""Bytes of replies taken from the socket at once, at most."""
TAGS = 60_000
JOINED = 256 * 1024
"""Up to this many bytes frames are sent as one piece."""
_HEAD = Struct("<IBH")

Frame = list[Buffer]


class Refused(Exception):
    """A server refuses what it is asked, gives another answer, hangs up, or takes too long."""


class Link:
    """One connection with an attached root, in one dialect.

    Attributes:
        linux: whether it is 9P2000.L.
        unit: bytes of data in a full message.
        patience: seconds that a wait may take.
        awake: whether replies are looked for without sleeping.
    """

    def __init__(self, port: int, version: str, aname: str, unit: int, patience: float, *, awake: bool = False) -> None:
        """Every wait takes at most ``patience`` seconds. Raises ``Refused``, ``OSError``."""
        self._dialect = NinePDialect()
        self.patience = patience
        self.awake = awake
        self._socket = socket.create_connection(("127.0.0.1", port), patience)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(ROOM)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._todo: Iterator[list[Frame]] = iter(())
        self._running: dict[int, tuple[float, Iterator[Frame], int]] = {}
        self._number = 0
        agreed = self.call(m.Tversion(unit + m.IOHDRSZ, version), m.NOTAG)
        if agreed.version.partition(".")[0] != m.VERSION:
            raise Refused(f"it does not speak {version}")
        self._dialect.agree(agreed.version if agreed.version in (version, m.VERSION) else m.VERSION, agreed.msize)
        self.linux = self._dialect.version == lm.VERSION
        self.unit = min(unit, agreed.msize - m.IOHDRSZ)
        self.call(m.Tattach(ROOT, m.NOFID, user_name(), aname, os.getuid()))

    def close(self) -> None:
        """Hangs up."""
        self._view.release()
        self._socket.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, request: Any, tag: int = 0) -> Any:
        """One request and its reply. Raises ``Refused``."""
        frame: Frame = []
        self._dialect.encode(tag, request, frame)
        self._socket.sendall(b"".join(frame))
        have, size = 0, 4
        while have < size:
            have += self._take(have)
            size = max(4, int.from_bytes(self._buffer[:4], "little"))
        try:
            _, reply = self._dialect.decode_reply(memoryview(bytes(self._view[4:size])))
        except Malformed as error:
            raise Refused(f"{type(request).__name__}: {error}") from error
        if isinstance(reply, (m.Rerror, lm.Rlerror)):
            raise Refused(f"{type(request).__name__}: {reply!r}")
        return reply

    def window(self, requests: Iterable[Any], depth: int) -> Timing:
        """Independent requests, ``depth`` of them in flight; a latency is that of one. Raises ``Refused``."""
        return self.chains(([request] for request in requests), depth)

    def chains(self, work: Iterable[Sequence[Any]], depth: int) -> Timing:
        """Sequences of dependent requests, ``depth`` sequences at any time; a latency is that of a whole sequence."""
        self.prepare(work)
        return together([self], depth)

    def prepare(self, work: Iterable[Sequence[Any]]) -> None:
        """Makes the frames of sequences of requests, for ``together``."""
        chains: list[list[Frame]] = []
        for number, sequence in enumerate(work):
            frames: list[Frame] = []
            for request in sequence:
                frames.append([])
                self._dialect.encode(number % TAGS, request, frames[-1])
            chains.append(frames)
        self._todo = iter(chains)
        self._number = 0

    def begin(self, count: int) -> bool:
        """Sends the first requests of so many sequences; False when there is none left."""
        out: Frame = []
        self._more(count, out, perf_counter())
        self._send(out)
        return bool(self._running)

    def _more(self, count: int, out: Frame, now: float) -> None:
        for _ in range(count):
            frames = next(self._todo, None)
            if frames is None:
                return
            rest = iter(frames)
            first = next(rest)
            self._running[self._number % TAGS] = now, rest, first[0][4] + 1
            self._number += 1
            out += first

    def turn(self, latencies: list[float]) -> bool:
        """Takes the replies that are there and goes on from them; False when all is done. Raises ``Refused``."""
        buffer, running = self._buffer, self._running
        end = self._filled + self._take(self._filled)
        at = done = 0
        out: Frame = []
        now = perf_counter()
        while end - at >= 7:
            size, kind, tag = _HEAD.unpack_from(buffer, at)
            if size > end - at:
                break
            began, rest, expected = running[tag]
            if kind != expected:
                raise Refused(f"reply of type {kind} where {expected} was due")
            at += size
            following = next(rest, None)
            if following is not None:
                running[tag] = began, rest, following[0][4] + 1
                out += following
            else:
                del running[tag]
                latencies.append(now - began)
                done += 1
        self._filled = end - at
        if at and end > at:
            buffer[: end - at] = buffer[at:end]
        self._more(done, out, now)
        self._send(out)
        return bool(running)

    def _take(self, at: int) -> int:
        try:
            count = self._look(at) if self.awake else self._socket.recv_into(self._view[at:])
        except TimeoutError:
            raise Refused(f"no reply within {self.patience:g} seconds") from None
        if not count:
            raise Refused("it hung up")
        return count

    def _look(self, at: int) -> int:
        """Looks again and again; between two looks others may have the processor."""
        end = perf_counter() + self.patience
        while True:
            with contextlib.suppress(BlockingIOError):
                return self._socket.recv_into(self._view[at:], 0, socket.MSG_DONTWAIT)
            if perf_counter() > end:
                raise TimeoutError
            os.sched_yield()

    def _send(self, out: Frame) -> None:
        size = sum(map(len, out))
        if size <= JOINED:
            self._socket.sendall(b"".join(out))
            return
        for at in range(0, len(out), 1024):
            pieces = out[at : at + 1024]
            left = sum(map(len, pieces))
            sent = self._socket.sendmsg(pieces)
            if sent < left:
                self._socket.sendall(b"".join(pieces)[sent:])

    def fileno(self) -> int:
        """Of the socket."""
        return self._socket.fileno()


def together(links: Sequence[Link], depth: int) -> Timing:
    """Runs what the links have prepared, ``depth`` sequences at any time on each. Raises ``Refused``."""
    latencies: list[float] = []
    start = perf_counter()
    busy = {link.fileno(): link for link in links if link.begin(depth)}
    while len(busy) == 1:
        (link,) = busy.values()
        while link.turn(latencies):
            pass
        return Timing(perf_counter() - start, latencies)
    with select.epoll() as poll:
        for descriptor in busy:
            poll.register(descriptor, select.EPOLLIN)
        while busy:
            ready = poll.poll(links[0].patience)
            if not ready:
                raise Refused(f"no reply within {links[0].patience:g} seconds")
            for descriptor, _ in ready:
                if not busy[descriptor].turn(latencies):
                    poll.unregister(descriptor)
                    del busy[descriptor]
    return Timing(perf_counter() - start, latencies)
