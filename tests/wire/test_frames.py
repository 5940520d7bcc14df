"""Cutting a stream into frames: the same frames whatever the pieces in which the bytes come."""

from __future__ import annotations

import itertools
from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ninep.net.errors import Malformed, TooLong
from ninep.wire.frames import MANY, FrameBuffer, FrameFormat

NINEP = FrameFormat(Struct("<I"), inclusive=True, smallest=3)
VENTI_02 = FrameFormat(Struct(">H"), inclusive=False, smallest=2)
VENTI_04 = FrameFormat(Struct(">I"), inclusive=False, smallest=2)
FORMATS = [NINEP, VENTI_02, VENTI_04]
LIMIT = 300


def framed(format: FrameFormat, body: bytes) -> bytes:
    return format.prefix.pack(len(body) + (format.prefix.size if format.inclusive else 0)) + body


def everything(buffer: FrameBuffer) -> list[bytes]:
    found: list[bytes] = []
    while frames := buffer.frames():
        found += [bytes(frame) for frame in frames]
    return found


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


bodies = some.lists(some.binary(min_size=3, max_size=LIMIT - 4), max_size=8)


@given(some.sampled_from(FORMATS), bodies, some.lists(some.integers(0, 5000), max_size=12))
def test_frames_do_not_depend_on_the_pieces(format: FrameFormat, bodies: list[bytes], cuts: list[int]) -> None:
    buffer = FrameBuffer(format, LIMIT)
    found: list[bytes] = []
    for piece in pieces(b"".join(framed(format, body) for body in bodies), cuts):
        buffer.feed(piece)
        found += everything(buffer)
    assert found == bodies


@pytest.mark.parametrize("format", FORMATS)
def test_byte_by_byte(format: FrameFormat) -> None:
    buffer = FrameBuffer(format, LIMIT)
    found = []
    for byte in framed(format, b"one") + framed(format, b"second"):
        buffer.feed(bytes([byte]))
        found += everything(buffer)
    assert found == [b"one", b"second"]


def test_frames_are_views_of_what_was_received() -> None:
    data = framed(NINEP, b"payload")
    buffer = FrameBuffer(NINEP, LIMIT)
    buffer.feed(data)
    (frame,) = buffer.frames()
    assert frame.obj is data


def test_a_frame_outlives_what_comes_after_it() -> None:
    buffer = FrameBuffer(NINEP, LIMIT)
    buffer.feed(framed(NINEP, b"first") + b"\x0a")
    (frame,) = buffer.frames()
    buffer.feed(b"\0\0\0second")
    assert everything(buffer) == [b"second"]
    assert bytes(frame) == b"first"


@pytest.mark.parametrize("format", FORMATS)
def test_limit_to_the_byte(format: FrameFormat) -> None:
    body = bytes(LIMIT - format.prefix.size)
    buffer = FrameBuffer(format, LIMIT)
    buffer.feed(framed(format, body))
    assert everything(buffer) == [body]
    buffer.feed(framed(format, body + b"x"))
    with pytest.raises(TooLong) as caught:
        buffer.frames()
    assert (caught.value.size, caught.value.limit) == (LIMIT + 1, LIMIT)


def test_a_huge_size_is_refused_before_anything_is_kept_for_it() -> None:
    buffer = FrameBuffer(NINEP, LIMIT)
    buffer.feed(b"\xff\xff\xff\xff")
    with pytest.raises(TooLong, match="4294967295"):
        buffer.frames()
    assert buffer.wanted == 0


@pytest.mark.parametrize("format", FORMATS)
def test_shorter_than_any_message(format: FrameFormat) -> None:
    for size in range(format.prefix.size + format.smallest if format.inclusive else format.smallest):
        buffer = FrameBuffer(format, LIMIT)
        buffer.feed(format.prefix.pack(size))
        with pytest.raises(Malformed, match="too short"):
            buffer.frames()


def test_good_frames_come_before_the_complaint() -> None:
    buffer = FrameBuffer(NINEP, LIMIT)
    buffer.feed(framed(NINEP, b"one") + framed(NINEP, b"two") + b"\0\0\0\0")
    assert [bytes(frame) for frame in buffer.frames()] == [b"one", b"two"]
    with pytest.raises(Malformed):
        buffer.frames()


def test_a_raised_limit_holds_for_frames_not_yet_cut() -> None:
    buffer = FrameBuffer(NINEP, 10)
    buffer.feed(framed(NINEP, b"one") + framed(NINEP, b"more than ten"))
    assert [bytes(frame) for frame in buffer.frames()] == [b"one"]
    buffer.limit = 100
    assert everything(buffer) == [b"more than ten"]


def test_wanted_is_what_is_missing() -> None:
    buffer = FrameBuffer(NINEP, LIMIT)
    assert buffer.wanted == 0
    buffer.feed(framed(NINEP, bytes(100))[:30])
    assert buffer.frames() == []
    assert buffer.wanted == 74
    buffer.feed(bytes(70))
    assert buffer.frames() == []
    assert buffer.wanted == 4
    buffer.feed(bytes(4))
    assert len(buffer.frames()) == 1
    assert buffer.wanted == 0 or buffer.wanted == NINEP.prefix.size


@given(some.sampled_from(FORMATS), some.lists(some.binary(max_size=40), max_size=6))
def test_any_bytes_give_frames_or_the_documented_error(format: FrameFormat, chunks: list[bytes]) -> None:
    buffer = FrameBuffer(format, LIMIT)
    try:
        for chunk in chunks:
            buffer.feed(chunk)
            for frame in everything(buffer):
                assert format.smallest <= len(frame) <= LIMIT - format.prefix.size
    except Malformed:
        pass


@pytest.mark.parametrize("cut", range(12))
def test_a_line_before_the_frames(cut: int) -> None:
    data = b"hello 02\n" + framed(VENTI_02, b"first")
    buffer = FrameBuffer(VENTI_02, LIMIT)
    buffer.feed(data[:cut])
    line = buffer.take_line(20)
    buffer.feed(data[cut:])
    assert (line or buffer.take_line(20)) == b"hello 02"
    assert everything(buffer) == [b"first"]


def test_a_line_without_an_end() -> None:
    buffer = FrameBuffer(VENTI_02, LIMIT)
    buffer.feed(b"x" * 20)
    assert buffer.take_line(20) is None
    buffer.feed(b"x")
    with pytest.raises(TooLong):
        buffer.take_line(20)
    exact = FrameBuffer(VENTI_02, LIMIT)
    exact.feed(b"y" * 20 + b"\n")
    assert exact.take_line(20) == b"y" * 20


@given(some.lists(some.binary(min_size=1, max_size=40), max_size=12), some.data())
def test_frames_are_the_same_however_the_bytes_come(bodies: list[bytes], data: some.DataObject) -> None:
    """A frame that straddles chunks is joined, and what follows in the last chunk is not moved."""
    buffer = FrameBuffer(FrameFormat(Struct(">H"), False, 1), 100)
    stream = b"".join(len(body).to_bytes(2, "big") + body for body in bodies)
    found: list[bytes] = []
    while stream:
        size = data.draw(some.integers(1, min(len(stream), 70)))
        buffer.feed(stream[:size])
        stream = stream[size:]
        if data.draw(some.booleans()) or not stream:
            while frames := buffer.frames():
                found += map(bytes, frames)
    assert found == bodies
    assert buffer.wanted <= 2


def test_a_frame_that_comes_by_the_byte_takes_little_more_than_its_bytes() -> None:
    body = bytes(n % 251 for n in range(60_000))
    data = framed(VENTI_02, body) + framed(VENTI_02, b"next")
    buffer = FrameBuffer(VENTI_02, 1 << 20)
    found: list[bytes] = []
    most = 0
    for at in range(0, len(data), 2):
        buffer.feed(data[at : at + 2])
        found += everything(buffer)
        most = max(most, len(buffer._parts))
    assert found == [body, b"next"]
    assert most <= len(data) / 2 / MANY + MANY + 1
