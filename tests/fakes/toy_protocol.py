"""A protocol small enough to see through, for tests of what 9P and venti share.

A frame is a 2-byte big-endian size that does not count itself, kind[1] tag[1] body. ``Echo`` is answered at once,
``Later`` when the test opens its gate. A body that begins with a question mark changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from struct import Struct
from typing import Any, ClassVar, NamedTuple, TypeAlias

import trio

from ninep.net.errors import Hangup, Malformed, UnknownMessage
from ninep.wire.begun import told
from ninep.wire.dialect import Buffer, Session
from ninep.wire.frames import FrameFormat

log = logging.getLogger(__name__)


class Echo(NamedTuple):
    body: Buffer = b""


class Later(NamedTuple):
    body: Buffer = b""


class Flush(NamedTuple):
    old: int


class Restart(NamedTuple):
    body: Buffer = b""


class Echoed(NamedTuple):
    body: Buffer = b""


class Latered(NamedTuple):
    body: Buffer = b""


class Flushed(NamedTuple):
    pass


class Restarted(NamedTuple):
    body: Buffer = b""


class Failed(NamedTuple):
    body: Buffer = b""


Request: TypeAlias = Echo | Later | Flush | Restart
Reply: TypeAlias = Echoed | Latered | Flushed | Restarted | Failed

KINDS: Mapping[type, int] = {
    Echo: 1,
    Later: 2,
    Flush: 3,
    Restart: 4,
    Echoed: 101,
    Latered: 102,
    Flushed: 103,
    Restarted: 104,
    Failed: 100,
}
REQUESTS = {number: kind for kind, number in KINDS.items() if number < 100}
REPLIES = {number: kind for kind, number in KINDS.items() if number >= 100}
PREFIX = Struct(">H")
NO_TAG = 255


class Refused(Exception):
    """What the peer says no with."""


class ToyDialect:
    format = FrameFormat(PREFIX, inclusive=False, smallest=2)
    tags = range(16)
    flushes: ClassVar[Mapping[type, str]] = {Flush: "old"}
    resets: ClassVar[frozenset[type]] = frozenset({Restart})
    answers: ClassVar[Mapping[type, type]] = {Echo: Echoed, Later: Latered, Flush: Flushed, Restart: Restarted}
    refusal = Failed

    def __init__(self, limit: int = 1000) -> None:
        self.limit = limit

    def decode_request(self, frame: memoryview) -> tuple[int, Request]:
        return self._decode(frame, REQUESTS)

    def decode_reply(self, frame: memoryview) -> tuple[int, Reply]:
        return self._decode(frame, REPLIES)

    def _decode(self, frame: memoryview, kinds: Mapping[int, type]) -> Any:
        number, tag, body = frame[0], frame[1], frame[2:]
        kind = kinds.get(number)
        if kind is None:
            raise UnknownMessage(tag, number)
        if bytes(body) == b"\xff":
            raise Malformed("a body of FF")
        if kind is Flush:
            return tag, Flush(body[0])
        return tag, kind() if kind is Flushed else kind(bytes(body))

    def encode(self, tag: int, message: Request | Reply, out: list[Buffer]) -> int:
        body = bytes([message.old]) if isinstance(message, Flush) else getattr(message, "body", b"")
        out.append(PREFIX.pack(2 + len(body)) + bytes([KINDS[type(message)], tag]))
        out.append(body)
        return 4 + len(body)

    def promises(self, request: Request) -> bool:
        return not bytes(getattr(request, "body", b"")).startswith(b"?")

    def flush(self, tag: int) -> Flush | None:
        return Flush(tag)

    def flushed(self) -> Flushed:
        return Flushed()

    def brings(self, request: Request) -> int:
        return 0

    def failure(self, error: Exception, request: object = None) -> Failed:
        if not isinstance(error, Refused | Malformed):
            log.error("internal error: %s", told(request), exc_info=error)
            return Failed(b"internal error")
        return Failed(str(error).encode())

    def refused(self, reply: Reply) -> Exception:
        return Refused(bytes(getattr(reply, "body", b"")).decode())


class PatientDialect(ToyDialect):
    """One in which a request cannot be given up, as in venti."""

    flushes: ClassVar[Mapping[type, str]] = {}

    def flush(self, tag: int) -> None:
        return None


def packed(tag: int, message: Request | Reply) -> bytes:
    pieces: list[Buffer] = []
    size = ToyDialect().encode(tag, message, pieces)
    frame = b"".join(pieces)
    assert size == len(frame)
    return frame


class ToySession(Session[Request, Reply]):
    """Remembers what was asked of it. ``begins`` and ``laters`` may be replaced to behave otherwise."""

    def __init__(self) -> None:
        self.begun: list[Request] = []
        self.ended: list[tuple[bytes, str]] = []
        self.commits = 0
        self.resets = 0
        self.closes = 0
        self.running = 0
        self.most_running = 0
        self._gates: dict[bytes, trio.Event] = {}
        self.echo: Callable[[bytes], Reply | None] = Echoed
        self.later: Callable[[bytes], Coroutine[Any, Any, Reply | None]] = self.wait_for_gate
        self.on_commit: Callable[[], Coroutine[Any, Any, None] | None] = lambda: None

    def gate(self, body: bytes) -> trio.Event:
        return self._gates.setdefault(body, trio.Event())

    def begin(self, request: Request) -> Reply | Coroutine[Any, Any, Reply | None] | None:
        self.begun.append(request)
        match request:
            case Echo(b"hangup"):
                raise Hangup
            case Echo(body):
                return self.echo(bytes(body))
            case Later(body):
                return self.counted(bytes(body))
            case Restart(body):
                return Restarted(body)
        raise AssertionError(f"a session must not see {request}")

    async def counted(self, body: bytes) -> Reply | None:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            reply = await self.later(body)
        except BaseException as error:
            self.ended.append((body, type(error).__name__))
            raise
        finally:
            self.running -= 1
        self.ended.append((body, "answered"))
        return reply

    async def wait_for_gate(self, body: bytes) -> Reply | None:
        await self.gate(body).wait()
        return Latered(body)

    def commit(self) -> Coroutine[Any, Any, None] | None:
        self.commits += 1
        return self.on_commit()

    async def reset(self) -> None:
        assert not self.running
        self.resets += 1

    async def aclose(self) -> None:
        assert not self.running
        self.closes += 1
