"""Record locks, held against a table that knows every byte by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from ninep.locks import END, LockTable, Range

STEPS = some.lists(
    some.tuples(
        some.sampled_from(["lock", "share", "unlock", "release"]),
        some.integers(0, 11),
        some.integers(1, 12),
        some.sampled_from(["ann", "bob", "cid"]),
    ),
    max_size=30,
)


@given(STEPS)
def test_every_byte_by_itself(steps: list[tuple[str, int, int, str]]) -> None:
    table = LockTable()
    bytes_held: list[dict[str, bool]] = [{} for _ in range(24)]
    for what, start, length, owner in steps:
        covered = range(start, start + length)
        wanted = Range(start, start + length, what == "lock", owner, f"fid of {owner}")
        if what == "unlock":
            table.unlock("file", wanted)
            for at in covered:
                bytes_held[at].pop(owner, None)
        elif what == "release":
            table.release("file", f"fid of {owner}")
            for held in bytes_held:
                held.pop(owner, None)
        else:
            free = not any(
                other != owner and (exclusive or what == "lock")
                for at in covered
                for other, exclusive in bytes_held[at].items()
            )
            assert table.lock("file", wanted) is free
            if free:
                for at in covered:
                    bytes_held[at][owner] = what == "lock"
        found: list[dict[str, bool]] = [{} for _ in range(24)]
        for one in table.held("file"):
            for at in range(one.start, one.end):
                assert one.owner not in found[at], "one byte is held twice by one owner"
                found[at][str(one.owner)] = one.exclusive
        assert found == bytes_held


def test_to_the_end_and_who_is_in_the_way() -> None:
    table = LockTable()
    assert table.lock("file", Range(100, END, True, "ann", 1))
    assert table.lock("other", Range(0, END, True, "bob", 2))
    in_the_way = table.conflict("file", Range(1 << 40, 1 << 41, False, "bob", 2))
    assert in_the_way is not None
    assert (in_the_way.start, in_the_way.owner) == (100, "ann")
    assert table.lock("file", Range(0, 100, True, "bob", 2))
    table.release("file", 1)
    table.release("file", 2)
    table.release("other", 2)
    assert len(table) == 0
