"""Packs and unpacks messages of 9P2000. Pure. Source: intro(5); layouts in ``docs/reference/9p-messages.md``.

A frame here is without its size field: ``type[1] tag[2] body``. Payloads of reads and writes are views of the frame,
never copies. A string that is no UTF-8 keeps its bytes as surrogate escapes, so that one odd name in a message costs
a refusal and not the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from struct import error as StructError
from typing import Any

from ninep.net.errors import Malformed, UnknownMessage
from ninep.protocol import messages as m
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat
from ninep.wire.dialect import Buffer

_TAG = Struct("<H").unpack_from
_COUNT = Struct("<H")
_TWO = Struct("<IH").unpack_from
_ONE = Struct("<I").unpack_from
QID = Struct("<BIQ")
_TREAD = Struct("<IQI").unpack_from
_TWALKED = Struct("<IIH").unpack_from
_new = tuple.__new__
"""Makes a message of its fields, in half the time that the class itself takes."""
BODY = 3
"""Where a body begins in a frame without its size."""

_FIXED: dict[type, Struct] = {
    kind: Struct("<IBH" + layout)
    for kind, layout in {
        m.Rauth: "BIQ",
        m.Rattach: "BIQ",
        m.Tflush: "H",
        m.Rflush: "",
        m.Topen: "IB",
        m.Ropen: "BIQI",
        m.Rcreate: "BIQI",
        m.Tread: "IQI",
        m.Rwrite: "I",
        m.Tclunk: "I",
        m.Rclunk: "",
        m.Tremove: "I",
        m.Rremove: "",
        m.Tstat: "I",
        m.Rwstat: "",
    }.items()
}
_HEAD = Struct("<IBH")
_RREAD = Struct("<IBHI")
_TWRITE = Struct("<IBHIQI")
_FID_COUNT = Struct("<IBHIH")
_TWALK = Struct("<IBHIIH")
_RWALK = Struct("<IBHH")
_RWALK_ONE = Struct("<IBHHBIQ")


def text_at(data: memoryview, at: int) -> tuple[str, int]:
    """The string at ``at`` and where it ends."""
    end = at + 2 + _COUNT.unpack_from(data, at)[0]
    if end > len(data):
        raise Malformed("string runs past the end of the message")
    text = str(data[at + 2 : end], "utf-8", "surrogateescape")
    if "\0" in text:
        raise Malformed("NUL in a string")
    return text, end


def ended(data: memoryview, at: int, message: Any) -> Any:
    """The message, if nothing is left of its frame at ``at``."""
    if at != len(data):
        raise Malformed(f"{len(data) - at} bytes left over after {type(message).__name__}")
    return message


def sized(size: int, make: Callable[[memoryview], Any]) -> Callable[[memoryview], Any]:
    """A decoder for bodies of one size."""

    def decode(data: memoryview) -> Any:
        if len(data) != size + BODY:
            raise Malformed(f"message of {len(data) - BODY} bytes where {size} were due")
        return make(data)

    return decode


def _version(kind: type) -> Callable[[memoryview], Any]:
    def decode(data: memoryview) -> Any:
        (msize,) = _ONE(data, BODY)
        version, at = text_at(data, BODY + 4)
        return ended(data, at, kind(msize, version))

    return decode


def _tauth(data: memoryview) -> Any:
    (afid,) = _ONE(data, BODY)
    uname, at = text_at(data, BODY + 4)
    aname, at = text_at(data, at)
    return ended(data, at, m.Tauth(afid, uname, aname))


def _tattach(data: memoryview) -> Any:
    (fid,) = _ONE(data, BODY)
    (afid,) = _ONE(data, BODY + 4)
    uname, at = text_at(data, BODY + 8)
    aname, at = text_at(data, at)
    return ended(data, at, m.Tattach(fid, afid, uname, aname))


def _rerror(data: memoryview) -> Any:
    ename, at = text_at(data, BODY)
    return ended(data, at, m.Rerror(ename))


def _twalk(data: memoryview) -> Any:
    fid, newfid, count = _TWALKED(data, BODY)
    if count > m.MAXWELEM:
        raise Malformed(f"walk of {count} names, {m.MAXWELEM} are the most")
    at = BODY + 10
    names = []
    for _ in range(count):
        name, at = text_at(data, at)
        names.append(name)
    return ended(data, at, _new(m.Twalk, (fid, newfid, names)))


def _rwalk(data: memoryview) -> Any:
    (count,) = _COUNT.unpack_from(data, BODY)
    if count > m.MAXWELEM or len(data) != BODY + 2 + count * QID.size:
        raise Malformed(f"{count} qids in {len(data)} bytes of Rwalk")
    return m.Rwalk([Qid(*fields) for fields in QID.iter_unpack(data[BODY + 2 :])])


def _tcreate(data: memoryview) -> Any:
    (fid,) = _ONE(data, BODY)
    name, at = text_at(data, BODY + 4)
    (perm,) = _ONE(data, at)
    return ended(data, at + 5, m.Tcreate(fid, name, perm, data[at + 4]))


def _rread(data: memoryview) -> Any:
    (count,) = _ONE(data, BODY)
    if len(data) != BODY + 4 + count:
        raise Malformed(f"Rread says {count} bytes, has {len(data) - BODY - 4}")
    return m.Rread(data[BODY + 4 :])


def _tread(data: memoryview) -> Any:
    if len(data) != 19:
        raise Malformed("Tread of another size than 16 bytes")
    return _new(m.Tread, _TREAD(data, BODY))


def _twrite(data: memoryview) -> Any:
    fid, offset, count = _TREAD(data, BODY)
    if len(data) != 19 + count:
        raise Malformed(f"Twrite says {count} bytes, has {len(data) - 19}")
    return _new(m.Twrite, (fid, offset, data[19:]))


def _rstat(data: memoryview) -> Any:
    (count,) = _COUNT.unpack_from(data, BODY)
    if len(data) != BODY + 2 + count:
        raise Malformed("Rstat counts its entry wrongly")
    return m.Rstat(Stat.unpack(data[BODY + 2 :]))


def _twstat(data: memoryview) -> Any:
    fid, count = _TWO(data, BODY)
    if len(data) != BODY + 6 + count:
        raise Malformed("Twstat counts its entry wrongly")
    return m.Twstat(fid, Stat.unpack(data[BODY + 6 :]))


def _of_fid(kind: type) -> Callable[[memoryview], Any]:
    """A decoder for what has a fid and nothing else."""

    def decode(data: memoryview) -> Any:
        if len(data) != BODY + 4:
            raise Malformed(f"{kind.__name__} of {len(data) - BODY} bytes where 4 were due")
        return _new(kind, _ONE(data, BODY))

    return decode


_fid = _ONE

REQUESTS: dict[int, Callable[[memoryview], Any]] = {
    100: _version(m.Tversion),
    102: _tauth,
    104: _tattach,
    108: sized(2, lambda data: m.Tflush(*_COUNT.unpack_from(data, BODY))),
    110: _twalk,
    112: sized(5, lambda data: m.Topen(_fid(data, BODY)[0], data[BODY + 4])),
    114: _tcreate,
    116: _tread,
    118: _twrite,
    120: _of_fid(m.Tclunk),
    122: _of_fid(m.Tremove),
    124: _of_fid(m.Tstat),
    126: _twstat,
}

REPLIES: dict[int, Callable[[memoryview], Any]] = {
    101: _version(m.Rversion),
    103: sized(13, lambda data: m.Rauth(Qid(*QID.unpack_from(data, BODY)))),
    105: sized(13, lambda data: m.Rattach(Qid(*QID.unpack_from(data, BODY)))),
    107: _rerror,
    109: sized(0, lambda data: m.Rflush()),
    111: _rwalk,
    113: sized(17, lambda data: m.Ropen(Qid(*QID.unpack_from(data, BODY)), *_ONE(data, BODY + 13))),
    115: sized(17, lambda data: m.Rcreate(Qid(*QID.unpack_from(data, BODY)), *_ONE(data, BODY + 13))),
    117: _rread,
    119: sized(4, lambda data: m.Rwrite(*_fid(data, BODY))),
    121: sized(0, lambda data: m.Rclunk()),
    123: sized(0, lambda data: m.Rremove()),
    125: _rstat,
    127: sized(0, lambda data: m.Rwstat()),
}


def request_decoder(table: Mapping[int, Callable[[memoryview], Any]]) -> Callable[[memoryview], tuple[int, Any]]:
    """What makes (tag, request) of a frame without its size field, by a table of decoders for each type.

    It raises:
        UnknownMessage: no request has this type; the tag is known.
        Malformed: counts do not add up, a string holds NUL, bytes are missing or left over.
    """

    def decode_request(frame: memoryview) -> tuple[int, Any]:
        try:
            (tag,) = _TAG(frame, 1)
            decode = table.get(frame[0])
            if decode is None:
                raise UnknownMessage(tag, frame[0])
            return tag, decode(frame)
        except (StructError, IndexError) as error:
            raise Malformed(f"message of type {frame[0] if len(frame) else '?'} is cut") from error

    return decode_request


def reply_decoder(table: Mapping[int, Callable[[memoryview], Any]]) -> Callable[[memoryview], tuple[int, Any]]:
    """The same for (tag, reply). It raises ``Malformed`` only."""

    def decode_reply(frame: memoryview) -> tuple[int, Any]:
        try:
            (tag,) = _TAG(frame, 1)
            decode = table.get(frame[0])
            if decode is None:
                raise Malformed(f"no reply has type {frame[0]}")
            return tag, decode(frame)
        except (StructError, IndexError) as error:
            raise Malformed(f"reply of type {frame[0] if len(frame) else '?'} is cut") from error

    return decode_reply


decode_request: Callable[[memoryview], tuple[int, m.Request]] = request_decoder(REQUESTS)
decode_reply: Callable[[memoryview], tuple[int, m.Reply]] = reply_decoder(REPLIES)


def string(text: str) -> bytes:
    """A string with its count. Raises ``ValueError`` for one with NUL, with which the peer would end the connection."""
    if "\0" in text:
        raise ValueError(f"no string of 9P can hold NUL: {text[:100]!r}")
    data = text.encode("utf-8", "surrogateescape")
    return _COUNT.pack(len(data)) + data


def _body(message: Any) -> bytes:
    """The body of a message with strings, the seldom kind."""
    kind = type(message)
    if kind is m.Rerror:
        return string(message.ename)
    if kind is m.Tversion or kind is m.Rversion:
        return bytes(message.msize.to_bytes(4, "little") + string(message.version))
    if kind is m.Tattach:
        head = message.fid.to_bytes(4, "little") + message.afid.to_bytes(4, "little")
        return bytes(head + string(message.uname) + string(message.aname))
    if kind is m.Tauth:
        return bytes(message.afid.to_bytes(4, "little") + string(message.uname) + string(message.aname))
    if kind is m.Tcreate:
        perm = message.perm.to_bytes(4, "little") + message.mode.to_bytes(1, "little")
        return bytes(message.fid.to_bytes(4, "little") + string(message.name) + perm)
    raise TypeError(f"{kind.__name__} is no message of 9P2000")


def _plain(kind: type, layout: Struct) -> Callable[[int, Any, list[Buffer]], int]:
    """An encoder for numbers alone."""
    pack, size, number = layout.pack, layout.size, m.NUMBERS[kind]

    def encode_plain(tag: int, message: Any, out: list[Buffer]) -> int:
        out.append(pack(size, number, tag, *message))
        return size

    def encode_qid(tag: int, message: Any, out: list[Buffer]) -> int:
        out.append(pack(size, number, tag, *message[0], *message[1:]))
        return size

    return encode_qid if kind in (m.Rauth, m.Rattach, m.Ropen, m.Rcreate) else encode_plain


def _encode_rread(tag: int, message: m.Rread, out: list[Buffer]) -> int:
    (data,) = message
    count = len(data)
    out.append(_RREAD.pack(11 + count, 117, tag, count))
    if count:
        out.append(data)
    return 11 + count


def _encode_twrite(tag: int, message: m.Twrite, out: list[Buffer]) -> int:
    fid, offset, data = message
    count = len(data)
    out.append(_TWRITE.pack(23 + count, 118, tag, fid, offset, count))
    if count:
        out.append(data)
    return 23 + count


def _encode_rstat(tag: int, message: m.Rstat, out: list[Buffer]) -> int:
    entry = message.stat.pack()
    size = len(entry)
    out.append(_RWALK.pack(9 + size, 125, tag, size) + entry)
    return 9 + size


def _encode_rwalk(tag: int, message: m.Rwalk, out: list[Buffer]) -> int:
    qids = message.wqids
    if len(qids) == 1:
        out.append(_RWALK_ONE.pack(22, 111, tag, 1, *qids[0]))
        return 22
    size = 9 + 13 * len(qids)
    out.append(_RWALK.pack(size, 111, tag, len(qids)) + b"".join([QID.pack(*qid) for qid in qids]))
    return size


def _encode_twalk(tag: int, message: m.Twalk, out: list[Buffer]) -> int:
    fid, newfid, wnames = message
    names = b"".join([string(name) for name in wnames])
    size = _TWALK.size + len(names)
    out.append(_TWALK.pack(size, 110, tag, fid, newfid, len(wnames)) + names)
    return size


def _encode_twstat(tag: int, message: m.Twstat, out: list[Buffer]) -> int:
    entry = message.stat.pack()
    out.append(_FID_COUNT.pack(13 + len(entry), 126, tag, message.fid, len(entry)) + entry)
    return 13 + len(entry)


def _encode_seldom(tag: int, message: Any, out: list[Buffer]) -> int:
    return frame(m.NUMBERS[type(message)], tag, _body(message), out)


_ENCODERS: dict[type, Callable[[int, Any, list[Buffer]], int]] = {
    **dict.fromkeys(m.NUMBERS, _encode_seldom),
    **{kind: _plain(kind, layout) for kind, layout in _FIXED.items()},
    m.Rread: _encode_rread,
    m.Twrite: _encode_twrite,
    m.Rstat: _encode_rstat,
    m.Rwalk: _encode_rwalk,
    m.Twalk: _encode_twalk,
    m.Twstat: _encode_twstat,
}


def encode(tag: int, message: m.Request | m.Reply, out: list[Buffer]) -> int:
    """Appends the whole frame, size field included, to ``out``; payloads uncopied. Returns its size in bytes.

    Raises:
        ValueError: a string or an entry is longer, or a number larger, than its field. ``out`` is as before.
    """
    try:
        return _ENCODERS[type(message)](tag, message, out)
    except (StructError, OverflowError) as error:
        raise ValueError(f"{type(message).__name__} cannot be encoded: {error}") from error


def frame(number: int, tag: int, body: bytes, out: list[Buffer]) -> int:
    """Appends the frame of a message whose body is packed already. Returns its size in bytes."""
    size = 7 + len(body)
    out.append(_HEAD.pack(size, number, tag) + body)
    return size
