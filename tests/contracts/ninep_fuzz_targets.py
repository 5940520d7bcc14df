"""What any bytes of 9P may be fed to, in every dialect; see ``fuzz_targets``. Seeds are the written conversations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cache
from typing import Any

import trio

from contracts.transcripts import conversations, parsed
from ninep.client.connection import DIALECTS
from ninep.net.errors import Malformed, UnknownMessage
from ninep.protocol import messages as m
from ninep.protocol.codec_linux import unpack_entries
from ninep.protocol.dialect import NinePDialect
from ninep.protocol.errors import FileError
from ninep.protocol.stat import Stat, unpack_directory
from ninep.ram.tree import RamTree
from ninep.server.session import NinePSession
from ninep.wire.frames import FrameBuffer

MSIZE = 8192


def _dialect(data: bytes) -> NinePDialect:
    dialect = NinePDialect()
    dialect.agree(DIALECTS[data[0] % len(DIALECTS)], MSIZE)
    return dialect


def ninep_messages(data: bytes) -> None:
    """A dialect by the first byte, then a message: what can be read can be written, and reads the same again."""
    dialect = _dialect(data or b"\0")
    for decode in (dialect.decode_request, dialect.decode_reply):
        with contextlib.suppress(Malformed):
            tag, message = decode(memoryview(data)[1:])
            out: list[Any] = []
            size = dialect.encode(tag, message, out)
            whole = b"".join(out)
            assert len(whole) == size
            assert decode(memoryview(whole)[4:]) == (tag, message)


def ninep_directories(data: bytes) -> None:
    """What a directory read has, in each dialect."""
    for unpack in (Stat.unpack, Stat.unpack_unix):
        with contextlib.suppress(Malformed):
            for entry in unpack_directory(data, unpack):
                assert entry.mode < 1 << 32
    with contextlib.suppress(Malformed):
        unpack_entries(data)


def ninep_server(data: bytes) -> None:
    """A dialect by the first byte, then what a client sends: each message gets its answer or is refused."""
    if data:
        trio.run(_serve, data)


async def _serve(data: bytes) -> None:
    dialect = NinePDialect()
    session = NinePSession(RamTree("glenda", capacity=1 << 20), dialect)
    session.begin(m.Tversion(MSIZE, DIALECTS[data[0] % len(DIALECTS)]))
    session.begin(m.Tattach(0, m.NOFID, "glenda", ""))
    buffer = FrameBuffer(dialect.format, dialect.limit)
    try:
        buffer.feed(data[1:])
        frames = buffer.frames()
        for frame in frames:
            tag, reply = await _answer(session, dialect, frame)
            if reply is not None:
                dialect.encode(tag, reply, [])
    except Malformed:
        pass
    await session.aclose()


async def _answer(session: NinePSession, dialect: NinePDialect, frame: memoryview) -> tuple[int, Any]:
    try:
        tag, request = dialect.decode_request(frame)
    except UnknownMessage as error:
        return error.tag, dialect.failure(error)
    if isinstance(request, m.Tflush):
        return tag, None
    try:
        if isinstance(request, m.Tversion):
            await session.reset()
        reply: Any = session.begin(request)
        return tag, await reply if hasattr(reply, "send") else reply
    except FileError as error:
        return tag, dialect.failure(error)


NINEP_TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (ninep_messages, ninep_directories, ninep_server)
}


@cache
def ninep_seeds(name: str) -> list[bytes]:
    """Sound bytes of a target to begin with."""
    spoken = [_spoken(conversation.kind, conversation.lines) for conversation in conversations()]
    if name == "ninep_server":
        return [bytes((version,)) + b"".join(messages) for version, messages in spoken]
    if name == "ninep_messages":
        return [bytes((version,)) + message[4:] for version, messages in spoken for message in messages]
    return [Stat(0, 0, Stat().qid, 0, 0, 0, 0, "a", "b", "c", "d", "e", 1, 2, 3).pack_unix()]


def _spoken(kind: tuple[str, ...], lines: Any) -> tuple[int, list[bytes]]:
    """The dialect of a conversation, and what its client says."""
    version = 1 if "unix" in kind else 2 if "linux" in kind else 0
    dialect = NinePDialect()
    dialect.agree(DIALECTS[version], MSIZE)
    messages: list[bytes] = []
    for line in lines:
        if line.arrow != "->":
            continue
        if line.text.startswith("hex "):
            messages.append(bytes.fromhex(line.text[4:]))
            continue
        message_kind, fields = parsed(line.text)
        request = message_kind(**fields)
        pieces: list[Any] = []
        dialect.encode(line.tag, request, pieces)
        messages.append(b"".join(pieces))
        if isinstance(request, m.Tversion) and request.version in DIALECTS:
            dialect.agree(request.version, MSIZE)
    return version, messages
