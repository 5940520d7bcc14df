"""9P messages as people type and read them. Source: the command ``9p`` of fossilcons(8), fcall(3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ninep.protocol import messages as m
from ninep.protocol.listing import mode_text
from ninep.protocol.qid import QTAPPEND, QTAUTH, QTDIR, QTEXCL, Qid
from ninep.protocol.stat import NO16, NO32, NO64, Stat
from ninep.wire.dialect import Buffer

SHOWN = 64
"""Bytes of data that are shown."""
KINDS = ((QTDIR, "d"), (QTAPPEND, "a"), (QTEXCL, "l"), (QTAUTH, "A"))


class _Form(NamedTuple):
    """How a request is typed: what its words are, and what they make. ``exact``: whether all of them must be there."""

    usage: str
    make: Callable[[Sequence[str]], m.Request]
    exact: bool = True


def _number(word: str, most: int = NO32) -> int:
    """As strtol(3) reads it; ``~0`` is all ones, and so is -1."""
    if word == "~0":
        return most
    digits = word.removeprefix("-").lower()
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
    value = int(digits, base) if digits != "0" else 0
    if value > most:
        raise ValueError(word)
    return -value & most if word.startswith("-") else value


def _walk(words: Sequence[str]) -> m.Request:
    fid, newfid, *names = words
    return m.Twalk(_number(fid), _number(newfid), names)


def _wstat(words: Sequence[str]) -> m.Request:
    fid, name, uid, gid, mode, mtime, length = words
    changes = Stat(name=name, uid=uid, gid=gid, mode=_number(mode), mtime=_number(mtime), length=_number(length, NO64))
    return m.Twstat(_number(fid), changes)


FORMS: Mapping[str, _Form] = {
    "Tversion": _Form("msize version", lambda w: m.Tversion(_number(w[0]), w[1])),
    "Tauth": _Form("afid uname aname", lambda w: m.Tauth(_number(w[0]), w[1], w[2])),
    "Tflush": _Form("oldtag", lambda w: m.Tflush(_number(w[0], NO16))),
    "Tattach": _Form("fid afid uname aname", lambda w: m.Tattach(_number(w[0]), _number(w[1]), w[2], w[3])),
    "Twalk": _Form("fid newfid [name...]", _walk, exact=False),
    "Topen": _Form("fid mode", lambda w: m.Topen(_number(w[0]), _number(w[1], 0xFF))),
    "Tcreate": _Form(
        "fid name perm mode", lambda w: m.Tcreate(_number(w[0]), w[1], _number(f"0{w[2]}"), _number(w[3], 0xFF))
    ),
    "Tread": _Form("fid offset count", lambda w: m.Tread(_number(w[0]), _number(w[1], NO64), _number(w[2]))),
    "Twrite": _Form("fid offset data", lambda w: m.Twrite(_number(w[0]), _number(w[1], NO64), w[2].encode())),
    "Tclunk": _Form("fid", lambda w: m.Tclunk(_number(w[0]))),
    "Tremove": _Form("fid", lambda w: m.Tremove(_number(w[0]))),
    "Tstat": _Form("fid", lambda w: m.Tstat(_number(w[0]))),
    "Twstat": _Form("fid name uid gid mode mtime length", _wstat),
}
"""What can be typed."""


def parse(name: str, words: Sequence[str]) -> m.Request:
    """The request of this name, with these words behind it.

    Raises:
        KeyError: there is none of that name.
        ValueError: the words are not what it needs; the text says what it does.
    """
    form = FORMS[name]
    needed = form.usage.replace("[name...]", "").split()
    try:
        if len(words) < len(needed) or (form.exact and len(words) > len(needed)):
            raise ValueError
        request = form.make(words)
    except ValueError:
        raise ValueError(f"usage: {name} {form.usage}") from None
    if isinstance(request, m.Twalk) and len(request.wnames) > m.MAXWELEM:
        raise ValueError(f"{name}: too many names")
    return request


def shown(tag: int, message: Any) -> str:
    """A message in one line."""
    words = [type(message).__name__, "tag", f"{tag}"]
    for name, value in zip(message._fields, message, strict=True):
        words += _field(message, name, value)
    return " ".join(words)


def _field(message: Any, name: str, value: Any) -> list[str]:
    if name in ("errno", "n_uname", "extension"):
        return []
    if isinstance(value, Stat):
        return ["", "stat", stat_text(value)]
    if isinstance(value, Qid):
        return ["qid", qid_text(value)]
    if name == "version":
        return [name, f"'{value}'"]
    if name == "perm":
        return [name, mode_text(value)]
    if name == "wnames":
        return ["nwname", f"{len(value)}", *(f"{at}:{each}" for at, each in enumerate(value))]
    if name == "wqids":
        return ["nwqid", f"{len(value)}", *(f"{at}:{qid_text(each)}" for at, each in enumerate(value))]
    if name == "data":
        return ["count", f"{len(value)}", data_text(value)]
    if name == "afid" and isinstance(message, m.Tattach) and value == m.NOFID:
        return [name, "-1"]
    return [name, f"{value}"]


def qid_text(qid: Qid) -> str:
    """Path, version and type of a file."""
    return f"({qid.path:016x} {qid.version} {''.join(letter for bit, letter in KINDS if qid.type & bit)})"


def stat_text(stat: Stat) -> str:
    """A directory entry."""
    names = " ".join(f"'{name}'" for name in (stat.name, stat.uid, stat.gid, stat.muid))
    times = f"at {_signed(stat.atime)} mt {_signed(stat.mtime)} l {_signed(stat.length, NO64)}"
    kernel = f"t {_signed(stat.type, NO16)} d {_signed(stat.dev)}"
    return f"{names} q {qid_text(stat.qid)} m 0{stat.mode:o} {times} {kernel}"


def _signed(value: int, most: int = NO32) -> int:
    """What means nothing in a wstat is shown as -1."""
    return -1 if value == most else value


def data_text(data: Buffer) -> str:
    """The beginning of some bytes: as text where all of it can be printed, else in hexadecimal."""
    start = bytes(data[:SHOWN])
    if all(byte == 0 or 32 <= byte < 128 for byte in start):
        return "'" + start.decode().replace("\0", "\\0") + "'"
    return "'" + start.hex(" ", -4) + "'"
