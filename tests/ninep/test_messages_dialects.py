"""Messages of 9P2000.u and 9P2000.L to bytes and back: recorded frames, and anything that hypothesis thinks of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ninep.net.errors import Malformed, UnknownMessage
from ninep.protocol import codec_linux, codec_unix
from ninep.protocol import messages as m
from ninep.protocol import messages_linux as lm
from ninep.protocol.attributes import Attributes, Statfs
from ninep.protocol.codec_linux import LAYOUTS, pack_entry, unpack_entries
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat, unpack_directory

QID = Qid(0x80, 2, 3)


def encoded(codec: Any, tag: int, message: Any) -> bytes:
    pieces: list[Any] = []
    size = codec.encode(tag, message, pieces)
    whole = b"".join(pieces)
    assert len(whole) == size == int.from_bytes(whole[:4], "little")
    return whole


def decoded(codec: Any, frame: bytes) -> Any:
    request = frame[4] % 2 == 0
    return (codec.decode_request if request else codec.decode_reply)(memoryview(frame)[4:])


FRAMES: list[tuple[Any, Any, str]] = [
    (codec_unix, m.Rerror("no", 2), "0f0000006b0700 02006e6f 02000000"),
    (codec_unix, m.Tauth(1, "u", "a", 1000), "15000000660700 01000000 010075 010061 e8030000"),
    (codec_unix, m.Tattach(0, m.NOFID, "u", "", 0), "18000000680700 00000000 ffffffff 010075 0000 00000000"),
    (codec_unix, m.Tcreate(1, "n", 0x020001FF, 0, "t"), "16000000720700 01000000 01006e ff010002 00 010074"),
    (
        codec_unix,
        m.Rstat(Stat(0, 0, QID, 0o644, 1, 2, 3, "n", "u", "g", "m", "x", 4, 5, 6)),
        "4d0000007d0700 4400 4200 0000 00000000 80 02000000 0300000000000000 a4010000 01000000 02000000"
        "0300000000000000 01006e 010075 010067 01006d 010078 04000000 05000000 06000000",
    ),
    (codec_linux, m.Tattach(0, m.NOFID, "u", "", 0), "18000000680700 00000000 ffffffff 010075 0000 00000000"),
    (codec_linux, lm.Rlerror(2), "0b000000070700 02000000"),
    (codec_linux, lm.Tstatfs(1), "0b000000080700 01000000"),
    (
        codec_linux,
        lm.Rstatfs(Statfs(1, 2, 3, 4, 5, 6, 7, 8, 9)),
        "43000000090700 01000000 02000000 0300000000000000 0400000000000000 0500000000000000 0600000000000000"
        "0700000000000000 0800000000000000 09000000",
    ),
    (codec_linux, lm.Tlopen(1, 0o102), "0f0000000c0700 01000000 42000000"),
    (codec_linux, lm.Rlopen(QID, 5), "180000000d0700 80020000000300000000000000 05000000"),
    (codec_linux, lm.Tlcreate(1, "n", 2, 3, 4), "1a0000000e0700 01000000 01006e 02000000 03000000 04000000"),
    (codec_linux, lm.Rlcreate(QID, 5), "180000000f0700 80020000000300000000000000 05000000"),
    (codec_linux, lm.Tsymlink(1, "n", "t", 2), "15000000100700 01000000 01006e 010074 02000000"),
    (codec_linux, lm.Rsymlink(QID), "14000000110700 80020000000300000000000000"),
    (
        codec_linux,
        lm.Tmknod(1, "n", 2, 3, 4, 5),
        "1e000000120700 01000000 01006e 02000000 03000000 04000000 05000000",
    ),
    (codec_linux, lm.Trename(1, 2, "n"), "12000000140700 01000000 02000000 01006e"),
    (codec_linux, lm.Rrename(), "07000000150700"),
    (codec_linux, lm.Treadlink(1), "0b000000160700 01000000"),
    (codec_linux, lm.Rreadlink("t"), "0a000000170700 010074"),
    (codec_linux, lm.Tgetattr(1, 0x7FF), "13000000180700 01000000 ff07000000000000"),
    (
        codec_linux,
        lm.Rgetattr(
            Attributes(QID, 1, 2, 3, 4, 5, 6, 7, 8, 9 * 10**9 + 1, 10 * 10**9 + 2, 11 * 10**9, -1, 13, 14, 0x7FF)
        ),
        "a0000000190700 ff07000000000000 80020000000300000000000000 01000000 02000000 03000000 0400000000000000"
        "0500000000000000 0600000000000000 0700000000000000 0800000000000000 0900000000000000 0100000000000000"
        "0a00000000000000 0200000000000000 0b00000000000000 0000000000000000 ffffffffffffffff ffc99a3b00000000"
        "0d00000000000000 0e00000000000000",
    ),
    (
        codec_linux,
        lm.Tsetattr(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
        "430000001a0700 01000000 02000000 03000000 04000000 05000000 0600000000000000 0700000000000000"
        "0800000000000000 0900000000000000 0a00000000000000",
    ),
    (codec_linux, lm.Txattrwalk(1, 2, "n"), "120000001e0700 01000000 02000000 01006e"),
    (codec_linux, lm.Rxattrwalk(5), "0f0000001f0700 0500000000000000"),
    (codec_linux, lm.Txattrcreate(1, "n", 2, 3), "1a000000200700 01000000 01006e 0200000000000000 03000000"),
    (codec_linux, lm.Treaddir(1, 2, 3), "17000000280700 01000000 0200000000000000 03000000"),
    (codec_linux, lm.Rreaddir(b"hi"), "0d000000290700 02000000 6869"),
    (codec_linux, lm.Tfsync(1, 1), "0f000000320700 01000000 01000000"),
    (
        codec_linux,
        lm.Tlock(1, 2, 3, 4, 5, 6, "c"),
        "27000000340700 01000000 02 03000000 0400000000000000 0500000000000000 06000000 010063",
    ),
    (codec_linux, lm.Rlock(1), "08000000350700 01"),
    (
        codec_linux,
        lm.Tgetlock(1, 2, 4, 5, 6, "c"),
        "23000000360700 01000000 02 0400000000000000 0500000000000000 06000000 010063",
    ),
    (
        codec_linux,
        lm.Rgetlock(2, 4, 5, 6, "c"),
        "1f000000370700 02 0400000000000000 0500000000000000 06000000 010063",
    ),
    (codec_linux, lm.Tlink(1, 2, "n"), "12000000460700 01000000 02000000 01006e"),
    (codec_linux, lm.Tmkdir(1, "n", 2, 3), "16000000480700 01000000 01006e 02000000 03000000"),
    (codec_linux, lm.Trenameat(1, "o", 2, "n"), "150000004a0700 01000000 01006f 02000000 01006e"),
    (codec_linux, lm.Tunlinkat(1, "n", 0x200), "120000004c0700 01000000 01006e 00020000"),
    (codec_linux, lm.Runlinkat(), "070000004d0700"),
]


@pytest.mark.parametrize(("codec", "message", "frame"), FRAMES, ids=lambda case: type(case).__name__)
def test_frames(codec: Any, message: Any, frame: str) -> None:
    data = bytes.fromhex(frame)
    assert encoded(codec, 7, message).hex() == data.hex()
    assert decoded(codec, data) == (7, message)
    for end in range(7, len(data)):
        cut = end.to_bytes(4, "little") + data[4:end]
        if type(message) is lm.Tfsync and end == 11:
            continue
        with pytest.raises(Malformed):
            decoded(codec, cut)
    with pytest.raises(Malformed):
        decoded(codec, data + b"x")


def test_every_message_has_a_frame_here_or_a_row() -> None:
    shown = {type(message) for _, message, _ in FRAMES} | set(LAYOUTS)
    assert set(lm.NUMBERS) <= shown | {lm.Rmknod, lm.Rmkdir}


def test_what_linux_does_without() -> None:
    for number in (112, 114, 124, 126):
        with pytest.raises(UnknownMessage):
            codec_linux.decode_request(memoryview(bytes((number, 1, 0)) + bytes(20)))


number32 = some.integers(0, 2**32 - 1)
number64 = some.integers(0, 2**64 - 1)
text = some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
qid = some.builds(Qid, some.integers(0, 255), number32, number64)
stats = some.tuples(
    *(some.integers(0, 65535), number32, qid, number32, number32, number32, number64),
    *(text, text, text, text, text, number32, number32, number32),
).map(lambda fields: Stat(*fields))
LETTERS = {"I": number32, "Q": number64, "B": some.integers(0, 255), "s": text}


@given(some.data())
def test_rows_come_back(data: some.DataObject) -> None:
    kind = data.draw(some.sampled_from(sorted(LAYOUTS, key=lambda kind: kind.__name__)))
    message = kind(*[data.draw(LETTERS[letter]) for letter in LAYOUTS[kind]])
    assert decoded(codec_linux, encoded(codec_linux, 3, message)) == (3, message)


@given(stats)
def test_entries_with_numbers_come_back(stat: Stat) -> None:
    assert decoded(codec_unix, encoded(codec_unix, 3, m.Rstat(stat))) == (3, m.Rstat(stat))
    assert decoded(codec_unix, encoded(codec_unix, 3, m.Twstat(1, stat))) == (3, m.Twstat(1, stat))
    assert unpack_directory(stat.pack_unix() * 2, Stat.unpack_unix) == [stat, stat]


@given(some.lists(some.tuples(qid, number64, some.integers(0, 255), text)))
def test_directory_entries_come_back(entries: list[tuple[Qid, int, int, str]]) -> None:
    data = b"".join(pack_entry(*entry) for entry in entries)
    assert unpack_entries(data) == entries
    if data:
        with pytest.raises(Malformed):
            unpack_entries(data[:-1])


@given(some.sampled_from([codec_unix, codec_linux]), some.integers(0, 130), some.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(codec: Any, number: int, rest: bytes) -> None:
    for decode in (codec.decode_request, codec.decode_reply):
        try:
            decode(memoryview(bytes((number,)) + rest))
        except Malformed:
            pass


@given(some.binary(max_size=200))
def test_any_bytes_are_a_directory_or_malformed(data: bytes) -> None:
    for unpack in (unpack_entries, lambda data: unpack_directory(data, Stat.unpack_unix)):
        try:
            unpack(data)
        except Malformed:
            pass
