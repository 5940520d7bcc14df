"""Packs and unpacks messages of 9P2000.L. Pure. Layouts in ``docs/reference/9p-messages.md``.

What it shares with 9P2000 is in ``codec``, and attaching in ``codec_unix``. Most of its own messages are rows of
numbers and strings, and are described by a letter for each: those of ``struct``, and ``s`` for a string.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Any

from ninep.net.errors import Malformed
from ninep.protocol import codec, codec_unix, linux_errno
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.attributes import SECOND, Attributes, Statfs
from ninep.protocol.codec import BODY, ended, frame, sized, string, text_at
from ninep.protocol.messages_linux import NUMBERS
from ninep.protocol.qid import Qid
from ninep.wire.dialect import Buffer

Message = Any
Encoder = Callable[[int, Any, list[Buffer]], int]
Decoder = Callable[[memoryview], Any]

LAYOUTS: dict[type, str] = {
    lm.Rlerror: "I",
    lm.Tstatfs: "I",
    lm.Tlopen: "II",
    lm.Tlcreate: "IsIII",
    lm.Tsymlink: "IssI",
    lm.Tmknod: "IsIIII",
    lm.Trename: "IIs",
    lm.Rrename: "",
    lm.Treadlink: "I",
    lm.Rreadlink: "s",
    lm.Tgetattr: "IQ",
    lm.Tsetattr: "IIIIIQQQQQ",
    lm.Rsetattr: "",
    lm.Txattrwalk: "IIs",
    lm.Rxattrwalk: "Q",
    lm.Txattrcreate: "IsQI",
    lm.Rxattrcreate: "",
    lm.Treaddir: "IQI",
    lm.Tfsync: "II",
    lm.Rfsync: "",
    lm.Tlock: "IBIQQIs",
    lm.Rlock: "B",
    lm.Tgetlock: "IBQQIs",
    lm.Rgetlock: "BQQIs",
    lm.Tlink: "IIs",
    lm.Rlink: "",
    lm.Tmkdir: "IsII",
    lm.Trenameat: "IsIs",
    lm.Rrenameat: "",
    lm.Tunlinkat: "IsI",
    lm.Runlinkat: "",
}
"""The bodies of messages that are rows of numbers and strings."""

_WITH_QID: dict[type, str] = {
    lm.Rlopen: "I",
    lm.Rlcreate: "I",
    lm.Rsymlink: "",
    lm.Rmknod: "",
    lm.Rmkdir: "",
}
"""Those that begin with a qid."""

_GETATTR = Struct("<QBIQIIIQQQQQ8Q2Q")
_RGETATTR = Struct("<IBHQBIQIIIQQQQQ8Q2Q")
_STATFS = Struct("<IIQQQQQQI")
_COUNT = Struct("<I")
_DIRENT = Struct("<BIQQB")
_RREADDIR = Struct("<IBHI")
_64 = (1 << 64) - 1
_new = tuple.__new__


def _row(kind: Any, layout: str) -> tuple[Decoder, Encoder]:
    """The decoder and the encoder of one row."""
    number = NUMBERS[kind]
    if "s" not in layout:
        body, whole = Struct(f"<{layout}"), Struct(f"<IBH{layout}")
        unpack, pack, size = body.unpack_from, whole.pack, whole.size

        def encode_numbers(tag: int, message: Any, out: list[Buffer]) -> int:
            out.append(pack(size, number, tag, *message))
            return size

        return sized(body.size, lambda data: _new(kind, unpack(data, BODY))), encode_numbers
    parts = [(Struct(f"<{part}"), part) for part in re.findall("s|[^s]+", layout)]

    def decode(data: memoryview) -> Any:
        at = BODY
        fields: list[Any] = []
        for numbers, part in parts:
            if part == "s":
                text, at = text_at(data, at)
                fields.append(text)
            else:
                fields += numbers.unpack_from(data, at)
                at += numbers.size
        return ended(data, at, kind(*fields))

    def encode_row(tag: int, message: Any, out: list[Buffer]) -> int:
        pieces = []
        field = 0
        for numbers, part in parts:
            if part == "s":
                pieces.append(string(message[field]))
                field += 1
            else:
                pieces.append(numbers.pack(*message[field : field + len(part)]))
                field += len(part)
        return frame(number, tag, b"".join(pieces), out)

    return decode, encode_row


def _with_qid(kind: Any, layout: str) -> tuple[Decoder, Encoder]:
    number, body, whole = NUMBERS[kind], Struct(f"<BIQ{layout}"), Struct(f"<IBHBIQ{layout}")

    def make(data: memoryview) -> Any:
        type_, version, path, *rest = body.unpack_from(data, BODY)
        return kind(Qid(type_, version, path), *rest)

    def encode_qid(tag: int, message: Any, out: list[Buffer]) -> int:
        out.append(whole.pack(whole.size, number, tag, *message[0], *message[1:]))
        return whole.size

    return sized(body.size, make), encode_qid


def _rgetattr(data: memoryview) -> Any:
    valid, type_, version, path, *fields = _GETATTR.unpack_from(data, BODY)
    times = [
        (seconds - (seconds >> 63 << 64)) * SECOND + nanoseconds
        for seconds, nanoseconds in zip(fields[8:16:2], fields[9:16:2], strict=True)
    ]
    return lm.Rgetattr(Attributes._make((Qid(type_, version, path), *fields[:8], *times, *fields[16:], valid)))


def _encode_rgetattr(tag: int, message: lm.Rgetattr, out: list[Buffer]) -> int:
    found = message.attributes
    # Times before 1970 are negative and stay so in 64 bits.
    (a, an), (t, tn), (c, cn), (b, bn) = [divmod(time, SECOND) for time in found[9:13]]
    body = (a & _64, an, t & _64, tn, c & _64, cn, b & _64, bn)
    out.append(_RGETATTR.pack(_RGETATTR.size, 25, tag, found[15], *found[0], *found[1:9], *body, *found[13:15]))
    return _RGETATTR.size


def _rreaddir(data: memoryview) -> Any:
    (count,) = _COUNT.unpack_from(data, BODY)
    if len(data) != BODY + 4 + count:
        raise Malformed(f"Rreaddir says {count} bytes, has {len(data) - BODY - 4}")
    return lm.Rreaddir(data[BODY + 4 :])


def _encode_rreaddir(tag: int, message: lm.Rreaddir, out: list[Buffer]) -> int:
    count = len(message.data)
    out.append(_RREADDIR.pack(11 + count, 41, tag, count))
    out.append(message.data)
    return 11 + count


def _tfsync(data: memoryview) -> Any:
    # Clients of old do not say whether they mean the data only.
    if len(data) == BODY + 4:
        return lm.Tfsync(*_COUNT.unpack_from(data, BODY))
    return _row(lm.Tfsync, "II")[0](data)


def pack_entry(qid: Qid, cookie: int, kind: int, name: str) -> bytes:
    """An entry in Rreaddir: ``cookie`` is what the next Treaddir goes on from, ``kind`` is as in ``d_type``."""
    return _DIRENT.pack(*qid, cookie, kind) + string(name)


def unpack_entries(data: Buffer) -> list[tuple[Qid, int, int, str]]:
    """The (qid, cookie, kind, name) of each entry in an Rreaddir. Raises ``Malformed``."""
    view = memoryview(data)
    entries = []
    at = 0
    try:
        while at < len(view):
            type_, version, path, cookie, kind = _DIRENT.unpack_from(view, at)
            name, at = text_at(view, at + _DIRENT.size)
            entries.append((Qid(type_, version, path), cookie, kind, name))
    except StructError as error:
        raise Malformed("directory entry is cut") from error
    return entries


_CODECS: dict[type, tuple[Decoder, Encoder]] = {
    **{kind: _row(kind, layout) for kind, layout in LAYOUTS.items()},
    **{kind: _with_qid(kind, layout) for kind, layout in _WITH_QID.items()},
    lm.Rgetattr: (sized(_GETATTR.size, _rgetattr), _encode_rgetattr),
    lm.Rreaddir: (_rreaddir, _encode_rreaddir),
    lm.Rstatfs: (
        sized(_STATFS.size, lambda data: lm.Rstatfs(Statfs(*_STATFS.unpack_from(data, BODY)))),
        lambda tag, message, out: frame(9, tag, _STATFS.pack(*message.statfs), out),
    ),
}
_CODECS[lm.Tfsync] = (_tfsync, _CODECS[lm.Tfsync][1])

_ENCODERS: dict[type, Encoder] = {
    m.Tauth: codec_unix.encode_with_number,
    m.Tattach: codec_unix.encode_with_number,
    **{kind: encoder for kind, (_, encoder) in _CODECS.items()},
}
_ABSENT = (112, 114, 124, 126)
"""Of 9P2000, and not of this."""

decode_request: Callable[[memoryview], tuple[int, Message]] = codec.request_decoder(
    {number: decode for number, decode in codec.REQUESTS.items() if number not in _ABSENT}
    | {102: codec_unix.tauth, 104: codec_unix.tattach}
    | {number: _CODECS[kind][0] for kind, number in lm.REQUEST_NUMBERS.items()}
)
decode_reply: Callable[[memoryview], tuple[int, Message]] = codec.reply_decoder(
    {number: decode for number, decode in codec.REPLIES.items() if number - 1 not in (*_ABSENT, 106)}
    | {number: _CODECS[kind][0] for kind, number in NUMBERS.items() if kind not in lm.REQUEST_NUMBERS}
)


decode_first_reply: Callable[[memoryview], tuple[int, Any]] = codec.reply_decoder(
    codec.REPLIES | {7: sized(4, lambda data: m.Rerror(linux_errno.text_of(*_COUNT.unpack_from(data, BODY))))}
)
"""For what comes before a dialect is agreed: a server that speaks only this one refuses in it."""


def encode(tag: int, message: Message, out: list[Buffer]) -> int:
    """As ``codec.encode``."""
    encoder = _ENCODERS.get(type(message))
    if encoder is None:
        return codec.encode(tag, message, out)
    try:
        return encoder(tag, message, out)
    except (StructError, OverflowError) as error:
        raise ValueError(f"{type(message).__name__} cannot be encoded: {error}") from error
