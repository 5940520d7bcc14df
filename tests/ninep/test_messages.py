"""Messages against bytes written down from intro(5), and against every other sequence of bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ninep.net.errors import Malformed, UnknownMessage
from ninep.protocol import codec
from ninep.protocol import messages as m
from ninep.protocol.qid import Qid
from ninep.protocol.stat import NO32, Stat, unpack_directory

QID = Qid(0x80, 3, 0x0102030405060708)
QID_BYTES = "80 03000000 0807060504030201"
STAT = Stat(1, 2, QID, 0x800001ED, 5, 6, 0, "n", "u", "g", "m")
STAT_BYTES = f"3300 0100 02000000 {QID_BYTES} ed010080 05000000 06000000 0000000000000000 01006e 010075 010067 01006d"

REQUESTS: list[tuple[m.Request, str]] = [
    (m.Tversion(8216, "9P2000"), "13000000 64 ffff 18200000 0600 395032303030"),
    (m.Tauth(1, "u", "ab"), "12000000 66 0700 01000000 010075 02006162"),
    (m.Tattach(1, m.NOFID, "u", ""), "14000000 68 0700 01000000 ffffffff 010075 0000"),
    (m.Tflush(0x1234), "09000000 6c 0700 3412"),
    (m.Twalk(1, 2, ["a", "é"]), "18000000 6e 0700 01000000 02000000 0200 010061 0200c3a9"),
    (m.Twalk(1, 2, []), "11000000 6e 0700 01000000 02000000 0000"),
    (m.Topen(1, 0x11), "0c000000 70 0700 01000000 11"),
    (m.Tcreate(1, "n", 0x800001ED, 0), "13000000 72 0700 01000000 01006e ed010080 00"),
    (m.Tread(1, 1 << 40, 8192), "17000000 74 0700 01000000 0000000000010000 00200000"),
    (m.Twrite(1, 2, b"hi"), "19000000 76 0700 01000000 0200000000000000 02000000 6869"),
    (m.Tclunk(1), "0b000000 78 0700 01000000"),
    (m.Tremove(1), "0b000000 7a 0700 01000000"),
    (m.Tstat(1), "0b000000 7c 0700 01000000"),
    (m.Twstat(1, STAT), f"42000000 7e 0700 01000000 3500 {STAT_BYTES}"),
]
REPLIES: list[tuple[m.Reply, str]] = [
    (m.Rversion(8216, "unknown"), "14000000 65 ffff 18200000 0700 756e6b6e6f776e"),
    (m.Rauth(QID), f"14000000 67 0700 {QID_BYTES}"),
    (m.Rattach(QID), f"14000000 69 0700 {QID_BYTES}"),
    (m.Rerror("no"), "0b000000 6b 0700 02006e6f"),
    (m.Rflush(), "07000000 6d 0700"),
    (m.Rwalk([QID, QID]), f"23000000 6f 0700 0200 {QID_BYTES} {QID_BYTES}"),
    (m.Rwalk([]), "09000000 6f 0700 0000"),
    (m.Ropen(QID, 16), f"18000000 71 0700 {QID_BYTES} 10000000"),
    (m.Rcreate(QID, 0), f"18000000 73 0700 {QID_BYTES} 00000000"),
    (m.Rread(b"data"), "0f000000 75 0700 04000000 64617461"),
    (m.Rread(b""), "0b000000 75 0700 00000000"),
    (m.Rwrite(9), "0b000000 77 0700 09000000"),
    (m.Rclunk(), "07000000 79 0700"),
    (m.Rremove(), "07000000 7b 0700"),
    (m.Rstat(STAT), f"3e000000 7d 0700 3500 {STAT_BYTES}"),
    (m.Rwstat(), "07000000 7f 0700"),
]


def encoded(tag: int, message: Any) -> bytes:
    pieces: list[Any] = []
    size = codec.encode(tag, message, pieces)
    data = b"".join(pieces)
    assert len(data) == size
    return data


@pytest.mark.parametrize(("message", "text"), REQUESTS + REPLIES, ids=lambda value: type(value).__name__)
def test_golden(message: Any, text: str) -> None:
    data = bytes.fromhex(text)
    tag = m.NOTAG if type(message).__name__.endswith("version") else 7
    decode: Any = codec.decode_request if type(message).__name__.startswith("T") else codec.decode_reply
    assert encoded(tag, message) == data
    assert decode(memoryview(data)[4:]) == (tag, message)


@pytest.mark.parametrize(("message", "text"), REQUESTS + REPLIES, ids=lambda value: type(value).__name__)
def test_cut_or_lengthened(message: Any, text: str) -> None:
    """Any other length than the right one is malformed."""
    data = memoryview(bytes.fromhex(text))[4:]
    decode: Any = codec.decode_request if type(message).__name__.startswith("T") else codec.decode_reply
    for size in range(len(data)):
        with pytest.raises(Malformed):
            decode(data[:size])
    with pytest.raises(Malformed):
        decode(memoryview(bytes(data) + b"\0"))


def test_every_message_is_in_the_tables() -> None:
    assert {type(message) for message, _ in REQUESTS + REPLIES} == set(m.NUMBERS)


@pytest.mark.parametrize("number", [0, 98, 106, 128, 255])
def test_unknown_type_keeps_its_tag(number: int) -> None:
    with pytest.raises(UnknownMessage) as caught:
        codec.decode_request(memoryview(bytes((number, 5, 0))))
    assert caught.value.tag == 5


@pytest.mark.parametrize("number", [100, 106, 0, 255])
def test_unknown_reply(number: int) -> None:
    with pytest.raises(Malformed):
        codec.decode_reply(memoryview(bytes((number, 5, 0))))


def test_too_many_names() -> None:
    data = encoded(7, m.Twalk(1, 2, ["a"] * 17))
    with pytest.raises(Malformed, match="16"):
        codec.decode_request(memoryview(data)[4:])


def test_nul_in_a_string() -> None:
    with pytest.raises(Malformed, match="NUL"):
        codec.decode_request(memoryview(encoded(7, m.Twalk(1, 2, ["a!b"])).replace(b"!", b"\0"))[4:])
    for message in (
        m.Twalk(1, 2, ["a\0b"]),
        m.Tcreate(1, "a\0b", 0o644, 0),
        m.Tattach(1, 2, "a\0b", "", 0),
        m.Rerror("a\0b", 0),
        m.Twstat(1, Stat(name="a\0b")),
        m.Twstat(1, Stat(gid="a\0b")),
    ):
        with pytest.raises(ValueError, match="NUL"):
            encoded(7, message)


def test_bytes_that_are_no_utf8_survive() -> None:
    data = encoded(7, m.Twalk(1, 2, ["x"])).replace(b"x", b"\xff")
    tag, message = codec.decode_request(memoryview(data)[4:])
    assert encoded(tag, message) == data


@pytest.mark.parametrize(
    "message",
    [
        m.Rerror("x" * 65536),
        m.Twalk(1, 2, ["x" * 65536]),
        m.Rstat(Stat(name="x" * 65500)),
        m.Tattach(1, m.NOFID, "x" * 65536, ""),
        m.Tcreate(1, "n", 0, 256),
        m.Tread(1 << 32, 0, 0),
        m.Tread(0, 1 << 64, 0),
        m.Tread(0, -1, 0),
        m.Twrite(0, 1 << 64, b"data"),
        m.Tversion(-1, "9P2000"),
        m.Rstat(Stat(mtime=1 << 32)),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_does_not_fit_its_field_is_not_encoded(message: Any) -> None:
    pieces: list[Any] = []
    with pytest.raises(ValueError, match=r"."):
        codec.encode(7, message, pieces)
    assert pieces == []


def test_payloads_are_views() -> None:
    data = memoryview(encoded(7, m.Twrite(1, 2, b"hi")))
    _, message = codec.decode_request(data[4:])
    assert isinstance(message, m.Twrite)
    assert isinstance(message.data, memoryview)
    assert message.data.obj is data.obj


number32 = some.integers(0, 2**32 - 1)
number64 = some.integers(0, 2**64 - 1)
text = some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
qid = some.builds(Qid, some.integers(0, 255), number32, number64)
stat = some.builds(
    Stat,
    some.integers(0, 65535),
    number32,
    qid,
    number32,
    number32,
    number32,
    number64,
    text,
    text,
    text,
    text,
    extension=some.just(""),
    n_uid=some.just(NO32),
    n_gid=some.just(NO32),
    n_muid=some.just(NO32),
)


@given(
    some.one_of(
        some.builds(m.Twstat, number32, stat),
        some.builds(m.Twrite, number32, number64, some.binary(max_size=100)),
        some.builds(m.Twalk, number32, number32, some.lists(text, max_size=16)),
        some.builds(m.Tcreate, number32, text, number32, some.integers(0, 255), extension=some.just("")),
        some.builds(m.Tattach, number32, number32, text, text, n_uname=some.just(NO32)),
    )
)
def test_requests_come_back(message: m.Request) -> None:
    assert codec.decode_request(memoryview(encoded(3, message))[4:]) == (3, message)


@given(
    some.one_of(
        some.builds(m.Rstat, stat),
        some.builds(m.Rwalk, some.lists(qid, max_size=16)),
        some.builds(m.Rread, some.binary(max_size=100)),
        some.builds(m.Rerror, text, errno=some.just(0)),
    )
)
def test_replies_come_back(message: m.Reply) -> None:
    assert codec.decode_reply(memoryview(encoded(3, message))[4:]) == (3, message)


@given(some.integers(95, 130), some.binary(max_size=120))
def test_any_bytes_are_a_message_or_malformed(number: int, rest: bytes) -> None:
    for decode in (codec.decode_request, codec.decode_reply):
        try:
            decode(memoryview(bytes((number,)) + rest))
        except Malformed:
            pass


@given(some.lists(stat, max_size=5))
def test_directories_come_back(entries: list[Stat]) -> None:
    assert unpack_directory(b"".join(entry.pack() for entry in entries)) == entries


@given(some.binary(max_size=200))
def test_any_directory_bytes(data: bytes) -> None:
    try:
        unpack_directory(data)
    except Malformed:
        pass
