"""Sparse bytes behave like a plain row of bytes and take only the room they say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from ninep.ram.sparse import CHUNK, SparseBytes

OFFSETS = some.one_of(
    some.integers(0, 3 * CHUNK), some.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK - 1])
)
COUNTS = some.one_of(some.integers(0, 300), some.sampled_from([CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5]))
STEPS = some.one_of(
    some.tuples(some.just("write"), OFFSETS, COUNTS),
    some.tuples(some.just("read"), OFFSETS, COUNTS),
    some.tuples(some.just("resize"), OFFSETS, some.just(0)),
)


@given(some.lists(STEPS, max_size=12))
def test_like_a_plain_row_of_bytes(steps: list[tuple[str, int, int]]) -> None:
    content, model = SparseBytes(), bytearray()
    for number, (what, offset, count) in enumerate(steps, 1):
        if what == "write":
            data = bytes([number]) * count
            expected = content.stored + content.growth(offset, count)
            content.write(offset, memoryview(data) if number % 2 else data)
            assert content.stored == expected
            if count:
                model.extend(bytes(max(0, offset - len(model))))
                model[offset : offset + count] = data
        elif what == "resize":
            content.resize(offset)
            model[offset:] = bytes(max(0, offset - len(model)))
        else:
            assert bytes(content.read(offset, count)) == model[offset : offset + count]
        assert content.length == len(model)
        assert content.stored <= len(model)
    assert bytes(content.read(0, len(model) + 1)) == model


def test_holes_take_no_room() -> None:
    content = SparseBytes()
    content.resize(1 << 60)
    content.write(1 << 50, b"x")
    assert content.stored == 1
    assert bytes(content.read((1 << 50) - 1, 3)) == b"\0x\0"
    assert content.length == 1 << 60
    content.resize(1 << 50)
    assert content.stored == 0
    content.resize(1 << 60)
    assert bytes(content.read(1 << 50, 1)) == b"\0"


def test_what_is_cut_off_does_not_come_back() -> None:
    content = SparseBytes()
    content.write(0, b"secret")
    content.resize(2)
    content.resize(6)
    assert bytes(content.read(0, 6)) == b"se\0\0\0\0"
    assert content.stored == 2


def test_what_was_read_does_not_change() -> None:
    content = SparseBytes()
    content.write(0, b"before")
    seen = content.read(0, 6)
    content.write(0, b"AFTER!")
    assert bytes(seen) == b"before"
