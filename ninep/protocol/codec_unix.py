"""Packs and unpacks the messages that 9P2000.u changes: numeric users and errors, longer directory entries. Pure.

Everything else is as in ``codec``; layouts in ``docs/reference/9p-messages.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Any

from ninep.net.errors import Malformed
from ninep.protocol import codec
from ninep.protocol import messages as m
from ninep.protocol.codec import BODY, ended, frame, string, text_at
from ninep.protocol.stat import Stat
from ninep.wire.dialect import Buffer

_ONE = Struct("<I")
_TWO = Struct("<II")
_COUNT = Struct("<H")
_CREATE = Struct("<IB")


def tauth(data: memoryview) -> Any:
    """Tauth with a number."""
    (afid,) = _ONE.unpack_from(data, BODY)
    uname, at = text_at(data, BODY + 4)
    aname, at = text_at(data, at)
    return ended(data, at + 4, m.Tauth(afid, uname, aname, *_ONE.unpack_from(data, at)))


def tattach(data: memoryview) -> Any:
    """Tattach with a number."""
    fid, afid = _TWO.unpack_from(data, BODY)
    uname, at = text_at(data, BODY + 8)
    aname, at = text_at(data, at)
    return ended(data, at + 4, m.Tattach(fid, afid, uname, aname, *_ONE.unpack_from(data, at)))


def encode_with_number(tag: int, message: m.Tauth | m.Tattach, out: list[Buffer]) -> int:
    """Tauth or Tattach with a number."""
    rest = string(message.uname) + string(message.aname) + _ONE.pack(message.n_uname)
    if isinstance(message, m.Tattach):
        return frame(104, tag, _TWO.pack(message.fid, message.afid) + rest, out)
    return frame(102, tag, _ONE.pack(message.afid) + rest, out)


def _rerror(data: memoryview) -> Any:
    ename, at = text_at(data, BODY)
    return ended(data, at + 4, m.Rerror(ename, *_ONE.unpack_from(data, at)))


def _tcreate(data: memoryview) -> Any:
    (fid,) = _ONE.unpack_from(data, BODY)
    name, at = text_at(data, BODY + 4)
    perm, mode = _CREATE.unpack_from(data, at)
    extension, at = text_at(data, at + 5)
    return ended(data, at, m.Tcreate(fid, name, perm, mode, extension))


def _rstat(data: memoryview) -> Any:
    (count,) = _COUNT.unpack_from(data, BODY)
    if len(data) != BODY + 2 + count:
        raise Malformed("Rstat counts its entry wrongly")
    return m.Rstat(Stat.unpack_unix(data[BODY + 2 :]))


def _twstat(data: memoryview) -> Any:
    (fid,) = _ONE.unpack_from(data, BODY)
    (count,) = _COUNT.unpack_from(data, BODY + 4)
    if len(data) != BODY + 6 + count:
        raise Malformed("Twstat counts its entry wrongly")
    return m.Twstat(fid, Stat.unpack_unix(data[BODY + 6 :]))


def _encode_rerror(tag: int, message: m.Rerror, out: list[Buffer]) -> int:
    return frame(107, tag, string(message.ename) + _ONE.pack(message.errno), out)


def _encode_tcreate(tag: int, message: m.Tcreate, out: list[Buffer]) -> int:
    fid, name, perm, mode, extension = message
    return frame(114, tag, _ONE.pack(fid) + string(name) + _CREATE.pack(perm, mode) + string(extension), out)


def _encode_rstat(tag: int, message: m.Rstat, out: list[Buffer]) -> int:
    entry = message.stat.pack_unix()
    return frame(125, tag, _COUNT.pack(len(entry)) + entry, out)


def _encode_twstat(tag: int, message: m.Twstat, out: list[Buffer]) -> int:
    entry = message.stat.pack_unix()
    return frame(126, tag, _ONE.pack(message.fid) + _COUNT.pack(len(entry)) + entry, out)


_ENCODERS: dict[type, Callable[[int, Any, list[Buffer]], int]] = {
    m.Tauth: encode_with_number,
    m.Tattach: encode_with_number,
    m.Rerror: _encode_rerror,
    m.Tcreate: _encode_tcreate,
    m.Rstat: _encode_rstat,
    m.Twstat: _encode_twstat,
}

decode_request: Callable[[memoryview], tuple[int, m.Request]] = codec.request_decoder(
    codec.REQUESTS | {102: tauth, 104: tattach, 114: _tcreate, 126: _twstat}
)
decode_reply: Callable[[memoryview], tuple[int, m.Reply]] = codec.reply_decoder(
    codec.REPLIES | {107: _rerror, 125: _rstat}
)


def encode(tag: int, message: m.Request | m.Reply, out: list[Buffer]) -> int:
    """As ``codec.encode``."""
    encoder = _ENCODERS.get(type(message))
    if encoder is None:
        return codec.encode(tag, message, out)
    try:
        return encoder(tag, message, out)
    except (StructError, OverflowError) as error:
        raise ValueError(f"{type(message).__name__} cannot be encoded: {error}") from error
