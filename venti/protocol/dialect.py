"""The ``Dialect`` object of venti, versions "02" and "04": what the wire layer needs to know. Source: venti(6)."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from struct import Struct
from struct import error as StructError
from typing import ClassVar

from ninep.net.errors import Malformed, UnknownMessage
from ninep.wire.begun import told
from ninep.wire.dialect import Buffer
from ninep.wire.frames import FrameFormat
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import (
    BlockNotFound,
    BlockTooLarge,
    DamagedBlock,
    ReadOnlyStore,
    ReadTooSmall,
    Refusal,
    StoreFull,
)
from venti.blocks.score import Score
from venti.protocol import messages as m

log = logging.getLogger(__name__)

VERSIONS = ("04", "02")
"""What we speak, newest first."""
LONGEST_FRAME = 1024 * 1024
"""Bytes; far more than the largest block, so that a block that is too large can be refused in words."""
LONGEST_STRING = 1024
LONGEST_ERROR = 127

FORMATS: Mapping[str, FrameFormat] = {
    "02": FrameFormat(Struct(">H"), False, 2),
    "04": FrameFormat(Struct(">I"), False, 2),
}

_U16 = Struct(">H").unpack_from
_U32 = Struct(">I").unpack_from
_PREFIX = {"02": Struct(">HBB").pack, "04": Struct(">IBB").pack}
_RWRITE = {"02": Struct(">HBB20s").pack, "04": Struct(">IBB20s").pack}
_MISS = re.compile(r"no block with score ([0-9a-f]{40})/(\d+) exists")
_SMALL = re.compile(r"read too small.*: asked for (\d+) need at least (\d+)")
_FROM_WIRE = [BlockType.from_wire(n) if n in (1, 2, 13, *range(3, 10)) else None for n in range(256)]
_make_score = bytes.__new__
_make_message = tuple.__new__


class VentiDialect:
    """One connection's venti in the agreed ``version``."""

    tags: ClassVar[range] = range(256)
    flushes: ClassVar[Mapping[type, str]] = {}
    resets: ClassVar[frozenset[type]] = frozenset()
    answers: ClassVar[Mapping[type, type]] = {
        m.Thello: m.Rhello,
        m.Tping: m.Rping,
        m.Tread: m.Rread,
        m.Twrite: m.Rwrite,
        m.Tsync: m.Rsync,
        m.Tgoodbye: m.Rerror,
    }
    refusal: ClassVar[type] = m.Rerror
    limit: ClassVar[int] = LONGEST_FRAME

    def __init__(self, version: str) -> None:
        self.version = version
        self.format = FORMATS[version]
        self._pack = _PREFIX[version]
        self._pack_score = _RWRITE[version]
        self._prefix = self.format.prefix.size
        self._greeted = False

    def decode_request(self, frame: memoryview) -> tuple[int, m.Request]:
        """A body as (tag, request).

        Raises:
            Malformed: anything wrong, a first message that is not the right hello included; there is no answer.
            UnknownMessage: a number without meaning.
        """
        try:
            kind, tag = frame[0], frame[1]
            if not self._greeted:
                return tag, self._hello(kind, tag, frame)
            if kind == 14:
                blocktype = _FROM_WIRE[frame[2]]
                if len(frame) < 6:
                    raise Malformed("Twrite is cut")
                if blocktype is None:
                    return tag, m.Unsupported(14)
                return tag, _make_message(m.Twrite, (blocktype, frame[6:]))
            if kind == 12:
                size = len(frame)
                if size != 26 and size != 28:
                    raise Malformed(f"Tread of {size} bytes")
                (count,) = _U16(frame, 24) if size == 26 else _U32(frame, 24)
                score = _make_score(Score, frame[2:22])
                blocktype = _FROM_WIRE[frame[22]]
                if blocktype is None:
                    return tag, m.Unsupported(12)
                return tag, _make_message(m.Tread, (score, blocktype, count))
            if kind in (2, 6, 16):
                if len(frame) != 2:
                    raise Malformed("bytes left over")
                return tag, (m.Tping() if kind == 2 else m.Tgoodbye() if kind == 6 else m.Tsync())
            if kind == 4 or kind in (1, 3, 5, 7, 9, 11, 13, 15, 17):
                return tag, m.Unsupported(kind)
            raise UnknownMessage(tag, kind)
        except (IndexError, StructError) as error:
            raise Malformed("message is cut") from error

    def _hello(self, kind: int, tag: int, frame: memoryview) -> m.Request:
        if kind != 4 or tag != 0:
            raise Malformed("the first message is not Thello under tag 0")
        version, at = _string(frame, 2)
        uid, at = _string(frame, at)
        strength = frame[at]
        crypto, at = _parameter(frame, at + 1)
        codec, at = _parameter(frame, at)
        if at != len(frame):
            raise Malformed("bytes left over in Thello")
        if version != self.version:
            raise Malformed(f"Thello for version {version!r} where {self.version!r} was agreed")
        self._greeted = True
        return m.Thello(version, uid, strength, crypto, codec)

    def decode_reply(self, frame: memoryview) -> tuple[int, m.Reply]:
        """A body as (tag, reply). Raises ``Malformed``."""
        try:
            kind, tag = frame[0], frame[1]
            if kind == 13:
                return tag, m.Rread(frame[2:])
            if kind == 15:
                if len(frame) != 22:
                    raise Malformed("Rwrite of another size than 22 bytes")
                return tag, m.Rwrite(_make_score(Score, frame[2:]))
            if kind == 1:
                text, at = _string(frame, 2)
                if at != len(frame):
                    raise Malformed("bytes left over in Rerror")
                return tag, m.Rerror(text)
            if kind == 5:
                sid, at = _string(frame, 2)
                if len(frame) != at + 2:
                    raise Malformed("Rhello of a wrong size")
                return tag, m.Rhello(sid, frame[at], frame[at + 1])
            if kind in (3, 17) and len(frame) == 2:
                return tag, (m.Rping() if kind == 3 else m.Rsync())
        except (IndexError, StructError) as error:
            raise Malformed("reply is cut") from error
        raise Malformed(f"no reply has type {kind}")

    def encode(self, tag: int, message: m.Request | m.Reply, out: list[Buffer]) -> int:
        """Appends the frame to ``out``, data uncopied; returns its size. Raises ValueError for what does not fit."""
        if type(message) is m.Rwrite:
            out.append(self._pack_score(22, 15, tag, message[0]))
            return self._prefix + 22
        data: Buffer = b""
        if type(message) is m.Rread and (size := len(message[0])) <= m.LARGEST_BLOCK:
            out += (self._pack(2 + size, 13, tag), message[0])
            return self._prefix + 2 + size
        if isinstance(message, m.Rread):
            kind, head, data = 13, b"", message.data
        elif isinstance(message, m.Twrite):
            kind, head, data = 14, bytes((message.blocktype.wire, 0, 0, 0)), message.data
        elif isinstance(message, m.Tread):
            count = message.count
            kind = 12
            head = message.score + bytes((message.blocktype.wire, 0)) + count.to_bytes(2 if count < 65536 else 4, "big")
        else:
            kind, head = _rare(message)
        body = 2 + len(head) + len(data)
        try:
            out.append(self._pack(body, kind, tag) + head)
        except StructError as error:
            raise ValueError(f"a message of {body} bytes does not fit version {self.version}") from error
        if len(data):
            out.append(data)
        return self._prefix + body

    def promises(self, request: m.Request) -> bool:
        """A score promises that the block is stored. Who read one has what the score says, stored or not."""
        return type(request) is m.Twrite or type(request) is m.Tsync

    def brings(self, request: m.Request) -> int:
        """What a read asks for."""
        return request.count if type(request) is m.Tread else 0

    def flush(self, tag: int) -> None:
        """Venti cannot give up a request."""
        return

    def flushed(self) -> m.Reply:
        """Never asked for."""
        raise NotImplementedError

    def failure(self, error: Exception, request: object = None) -> m.Reply:
        """Rerror; what is neither refusal nor damage is logged and not told to the peer."""
        if isinstance(error, Refusal | DamagedBlock):
            return m.Rerror(str(error).encode()[:LONGEST_ERROR].decode(errors="ignore"))
        if isinstance(error, UnknownMessage):
            return m.Rerror("unknown request")
        log.error("request failed: %s", told(request), exc_info=error)
        return m.Rerror("internal error")

    def refused(self, reply: m.Reply) -> Exception:
        """The refusal that a server's Rerror stands for."""
        assert isinstance(reply, m.Rerror)
        text = reply.error
        if found := _MISS.fullmatch(text):
            return BlockNotFound(Score.parse(found[1]), int(found[2]))
        if found := _SMALL.fullmatch(text):
            return ReadTooSmall(int(found[1]), int(found[2]))
        if text == "lump too large":
            return BlockTooLarge()
        if text in ("read only", "read-only server"):
            return ReadOnlyStore()
        if text.startswith("no space left"):
            return StoreFull(text)
        return Refusal(text)


def _string(frame: memoryview, at: int) -> tuple[str, int]:
    end = at + 2 + _U16(frame, at)[0]
    if end > len(frame) or end - at - 2 > LONGEST_STRING:
        raise Malformed("string is cut or too long")
    try:
        return str(frame[at + 2 : end], "utf-8"), end
    except UnicodeDecodeError as error:
        raise Malformed("string is no UTF-8") from error


def _parameter(frame: memoryview, at: int) -> tuple[bytes, int]:
    end = at + 1 + frame[at]
    if end > len(frame):
        raise Malformed("parameter is cut")
    return bytes(frame[at + 1 : end]), end


def _packed(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _rare(message: m.Request | m.Reply) -> tuple[int, bytes]:
    if isinstance(message, m.Thello):
        crypto = bytes((len(message.crypto),)) + message.crypto
        codec = bytes((len(message.codec),)) + message.codec
        return 4, _packed(message.version) + _packed(message.uid) + bytes((message.strength,)) + crypto + codec
    if isinstance(message, m.Rhello):
        return 5, _packed(message.sid) + bytes((message.crypto, message.codec))
    if isinstance(message, m.Rerror):
        return 1, _packed(message.error)
    numbers: dict[type, int] = {m.Tping: 2, m.Rping: 3, m.Tgoodbye: 6, m.Tsync: 16, m.Rsync: 17}
    return numbers[type(message)], b""
