"""Messages of 9P2000 to bytes and back: pure. Source: intro(5); layouts in ``docs/reference/9p-messages.md``.

A frame here is without its size field: ``type[1] tag[2] body``. Payloads of reads and writes are views of the frame,
never copies. A string that is no UTF-8 keeps its bytes as surrogate escapes, so that one odd name in a message costs
a refusal and not the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Any

from ninep import messages as m
from ninep.qid import Qid
from ninep.stat import Stat
from ninep.wire.dialect import Buffer
from ninep.wire.errors import Malformed, UnknownMessage

_TAG = Struct("<H").unpack_from
_COUNT = Struct("<H")
_TWO = Struct("<IH").unpack_from
_ONE = Struct("<I").unpack_from
_QID = Struct("<BIQ")
_TREAD = Struct("<IQI").unpack_from
_BODY = 3
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


def _text(data: memoryview, at: int) -> tuple[str, int]:
    """The string at ``at`` and where it ends."""
    end = at + 2 + _COUNT.unpack_from(data, at)[0]
    if end > len(data):
        raise Malformed("string runs past the end of the message")
    text = str(data[at + 2 : end], "utf-8", "surrogateescape")
    if "\0" in text:
        raise Malformed("NUL in a string")
    return text, end


def _ended(data: memoryview, at: int, message: Any) -> Any:
    if at != len(data):
        raise Malformed(f"{len(data) - at} bytes left over after {type(message).__name__}")
    return message


def _sized(size: int, make: Callable[[memoryview], Any]) -> Callable[[memoryview], Any]:
    """A decoder for bodies of one size."""

    def decode(data: memoryview) -> Any:
        if len(data) != size + _BODY:
            raise Malformed(f"message of {len(data) - _BODY} bytes where {size} were due")
        return make(data)

    return decode


def _version(kind: type) -> Callable[[memoryview], Any]:
    def decode(data: memoryview) -> Any:
        (msize,) = _ONE(data, _BODY)
        version, at = _text(data, _BODY + 4)
        return _ended(data, at, kind(msize, version))

    return decode


def _tauth(data: memoryview) -> Any:
    (afid,) = _ONE(data, _BODY)
    uname, at = _text(data, _BODY + 4)
    aname, at = _text(data, at)
    return _ended(data, at, m.Tauth(afid, uname, aname))


def _tattach(data: memoryview) -> Any:
    (fid,) = _ONE(data, _BODY)
    (afid,) = _ONE(data, _BODY + 4)
    uname, at = _text(data, _BODY + 8)
    aname, at = _text(data, at)
    return _ended(data, at, m.Tattach(fid, afid, uname, aname))


def _rerror(data: memoryview) -> Any:
    ename, at = _text(data, _BODY)
    return _ended(data, at, m.Rerror(ename))


def _twalk(data: memoryview) -> Any:
    (fid,) = _ONE(data, _BODY)
    newfid, count = _TWO(data, _BODY + 4)
    if count > m.MAXWELEM:
        raise Malformed(f"walk of {count} names, {m.MAXWELEM} are the most")
    at = _BODY + 10
    names = []
    for _ in range(count):
        name, at = _text(data, at)
        names.append(name)
    return _ended(data, at, m.Twalk(fid, newfid, names))


def _rwalk(data: memoryview) -> Any:
    (count,) = _COUNT.unpack_from(data, _BODY)
    if count > m.MAXWELEM or len(data) != _BODY + 2 + count * _QID.size:
        raise Malformed(f"{count} qids in {len(data)} bytes of Rwalk")
    return m.Rwalk([Qid(*fields) for fields in _QID.iter_unpack(data[_BODY + 2 :])])


def _tcreate(data: memoryview) -> Any:
    (fid,) = _ONE(data, _BODY)
    name, at = _text(data, _BODY + 4)
    (perm,) = _ONE(data, at)
    return _ended(data, at + 5, m.Tcreate(fid, name, perm, data[at + 4]))


def _rread(data: memoryview) -> Any:
    (count,) = _ONE(data, _BODY)
    if len(data) != _BODY + 4 + count:
        raise Malformed(f"Rread says {count} bytes, has {len(data) - _BODY - 4}")
    return m.Rread(data[_BODY + 4 :])


def _tread(data: memoryview) -> Any:
    if len(data) != 19:
        raise Malformed("Tread of another size than 16 bytes")
    return m.Tread._make(_TREAD(data, _BODY))


def _twrite(data: memoryview) -> Any:
    fid, offset, count = _TREAD(data, _BODY)
    if len(data) != 19 + count:
        raise Malformed(f"Twrite says {count} bytes, has {len(data) - 19}")
    return m.Twrite(fid, offset, data[19:])


def _rstat(data: memoryview) -> Any:
    (count,) = _COUNT.unpack_from(data, _BODY)
    if len(data) != _BODY + 2 + count:
        raise Malformed("Rstat counts its entry wrongly")
    return m.Rstat(Stat.unpack(data[_BODY + 2 :]))


def _twstat(data: memoryview) -> Any:
    fid, count = _TWO(data, _BODY)
    if len(data) != _BODY + 6 + count:
        raise Malformed("Twstat counts its entry wrongly")
    return m.Twstat(fid, Stat.unpack(data[_BODY + 6 :]))


_fid = Struct("<I").unpack_from

REQUESTS: dict[int, Callable[[memoryview], Any]] = {
    100: _version(m.Tversion),
    102: _tauth,
    104: _tattach,
    108: _sized(2, lambda data: m.Tflush(*_COUNT.unpack_from(data, _BODY))),
    110: _twalk,
    112: _sized(5, lambda data: m.Topen(_fid(data, _BODY)[0], data[_BODY + 4])),
    114: _tcreate,
    116: _tread,
    118: _twrite,
    120: _sized(4, lambda data: m.Tclunk(*_fid(data, _BODY))),
    122: _sized(4, lambda data: m.Tremove(*_fid(data, _BODY))),
    124: _sized(4, lambda data: m.Tstat(*_fid(data, _BODY))),
    126: _twstat,
}

REPLIES: dict[int, Callable[[memoryview], Any]] = {
    101: _version(m.Rversion),
    103: _sized(13, lambda data: m.Rauth(Qid(*_QID.unpack_from(data, _BODY)))),
    105: _sized(13, lambda data: m.Rattach(Qid(*_QID.unpack_from(data, _BODY)))),
    107: _rerror,
    109: _sized(0, lambda data: m.Rflush()),
    111: _rwalk,
    113: _sized(17, lambda data: m.Ropen(Qid(*_QID.unpack_from(data, _BODY)), *_ONE(data, _BODY + 13))),
    115: _sized(17, lambda data: m.Rcreate(Qid(*_QID.unpack_from(data, _BODY)), *_ONE(data, _BODY + 13))),
    117: _rread,
    119: _sized(4, lambda data: m.Rwrite(*_fid(data, _BODY))),
    121: _sized(0, lambda data: m.Rclunk()),
    123: _sized(0, lambda data: m.Rremove()),
    125: _rstat,
    127: _sized(0, lambda data: m.Rwstat()),
}


def decode_request(frame: memoryview) -> tuple[int, m.Request]:
    """A frame without its size field as (tag, request).

    Raises:
        UnknownMessage: no request has this type; the tag is known.
        Malformed: counts do not add up, a string holds NUL, bytes are missing or left over.
    """
    try:
        (tag,) = _TAG(frame, 1)
        decode = REQUESTS.get(frame[0])
        if decode is None:
            raise UnknownMessage(tag, frame[0])
        return tag, decode(frame)
    except (StructError, IndexError) as error:
        raise Malformed(f"message of type {frame[0] if len(frame) else '?'} is cut") from error


def decode_reply(frame: memoryview) -> tuple[int, m.Reply]:
    """A frame without its size field as (tag, reply). Raises ``Malformed``."""
    try:
        (tag,) = _TAG(frame, 1)
        decode = REPLIES.get(frame[0])
        if decode is None:
            raise Malformed(f"no reply has type {frame[0]}")
        return tag, decode(frame)
    except (StructError, IndexError) as error:
        raise Malformed(f"reply of type {frame[0] if len(frame) else '?'} is cut") from error


def _string(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return _COUNT.pack(len(data)) + data


def _body(message: Any) -> bytes:
    """The body of a message with strings, the seldom kind."""
    kind = type(message)
    if kind is m.Rerror:
        return _string(message.ename)
    if kind is m.Tversion or kind is m.Rversion:
        return bytes(message.msize.to_bytes(4, "little") + _string(message.version))
    if kind is m.Tattach:
        head = message.fid.to_bytes(4, "little") + message.afid.to_bytes(4, "little")
        return bytes(head + _string(message.uname) + _string(message.aname))
    if kind is m.Tauth:
        return bytes(message.afid.to_bytes(4, "little") + _string(message.uname) + _string(message.aname))
    if kind is m.Tcreate:
        perm = message.perm.to_bytes(4, "little") + message.mode.to_bytes(1, "little")
        return bytes(message.fid.to_bytes(4, "little") + _string(message.name) + perm)
    raise TypeError(f"{kind.__name__} is no message of 9P2000")


_NUMBERS = m.NUMBERS
_PLAIN = {kind: (layout.pack, layout.size, m.NUMBERS[kind]) for kind, layout in _FIXED.items()}
_WITH_QID = frozenset((m.Rauth, m.Rattach, m.Ropen, m.Rcreate))


def encode(tag: int, message: m.Request | m.Reply, out: list[Buffer]) -> int:
    """Appends the whole frame, size field included, to ``out``; payloads uncopied. Returns its size in bytes.

    Raises:
        ValueError: a string or an entry is longer, or a number larger, than its field. ``out`` is as before.
    """
    try:
        return _encode(tag, message, out)
    except (StructError, OverflowError) as error:
        raise ValueError(f"{type(message).__name__} cannot be encoded: {error}") from error


def _encode(tag: int, message: m.Request | m.Reply, out: list[Buffer]) -> int:
    kind = type(message)
    plain = _PLAIN.get(kind)
    if plain is not None:
        pack, size, number = plain
        if kind in _WITH_QID:
            fields: tuple[Any, ...] = message
            out.append(pack(size, number, tag, *fields[0], *fields[1:]))
        else:
            out.append(pack(size, number, tag, *message))
        return size
    if isinstance(message, m.Rread):
        count = len(message.data)
        out.append(_RREAD.pack(11 + count, 117, tag, count))
        if count:
            out.append(message.data)
        return 11 + count
    if isinstance(message, m.Twrite):
        count = len(message.data)
        out.append(_TWRITE.pack(23 + count, 118, tag, message.fid, message.offset, count))
        if count:
            out.append(message.data)
        return 23 + count
    if isinstance(message, m.Rstat):
        entry = message.stat.pack()
        out.append(_RWALK.pack(9 + len(entry), 125, tag, len(entry)) + entry)
        return 9 + len(entry)
    if isinstance(message, m.Rwalk):
        qids = message.wqids
        size = 9 + 13 * len(qids)
        out.append(_RWALK.pack(size, 111, tag, len(qids)) + b"".join([_QID.pack(*qid) for qid in qids]))
        return size
    if isinstance(message, m.Twalk):
        names = b"".join([_string(name) for name in message.wnames])
        size = _TWALK.size + len(names)
        out.append(_TWALK.pack(size, 110, tag, message.fid, message.newfid, len(message.wnames)) + names)
        return size
    if isinstance(message, m.Twstat):
        entry = message.stat.pack()
        out.append(_FID_COUNT.pack(13 + len(entry), 126, tag, message.fid, len(entry)) + entry)
        return 13 + len(entry)
    body = _body(message)
    size = 7 + len(body)
    out.append(_HEAD.pack(size, _NUMBERS[kind], tag) + body)
    return size
