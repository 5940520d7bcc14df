"""Sets of ranges against sets of numbers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfs.disk.extents import Extents, Range

SIZE = 40
RANGES = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE))
STEPS = st.lists(st.tuples(st.sampled_from(["add", "remove", "cut"]), RANGES), max_size=30)


def build(steps: list[tuple[str, tuple[int, int]]]) -> tuple[Extents, set[int]]:
    """The same steps on both, holding the two against each other after each."""
    extents, model = Extents(), set[int]()
    for action, (start, end) in steps:
        if action == "add":
            extents.add(start, end)
            model |= set(range(start, end))
        elif action == "remove":
            extents.remove(start, end)
            model -= set(range(start, end))
        else:
            extents.cut(start)
            model -= set(range(start, SIZE))
        flat = [position for one in extents for position in one]
        assert flat == sorted(set(flat))
        assert all(one.start < one.end for one in extents)
        assert {p for one in extents for p in range(one.start, one.end)} == model
    return extents, model


@given(STEPS, RANGES)
def test_behaves_as_a_set_of_positions(steps: list[tuple[str, tuple[int, int]]], asked: tuple[int, int]) -> None:
    extents, model = build(steps)
    start, end = asked
    wanted = set(range(start, end))
    gaps, parts = extents.gaps(start, end), extents.parts(start, end)
    assert {p for one in gaps for p in range(one.start, one.end)} == wanted - model
    assert {p for one in parts for p in range(one.start, one.end)} == wanted & model
    assert all(one.start < one.end for one in gaps + parts)
    assert extents.covers(start, end) == (wanted <= model)
    assert extents.total == len(model)


@given(STEPS)
def test_ranges_are_as_few_as_possible(steps: list[tuple[str, tuple[int, int]]]) -> None:
    extents, _ = build(steps)
    ranges = list(extents)
    assert all(left.end < right.start for left, right in itertools.pairwise(ranges))
    assert extents == Extents(reversed(ranges))


@pytest.mark.parametrize(
    ("present", "asked", "gaps"),
    [
        ([], (0, 5), [(0, 5)]),
        ([(0, 5)], (0, 5), []),
        ([(0, 5)], (3, 9), [(5, 9)]),
        ([(2, 4), (6, 8)], (0, 10), [(0, 2), (4, 6), (8, 10)]),
        ([(2, 4), (4, 6)], (2, 6), []),
        ([(1 << 40, 1 << 41)], (0, 1 << 42), [(0, 1 << 40), (1 << 41, 1 << 42)]),
    ],
)
def test_gaps(present: list[tuple[int, int]], asked: tuple[int, int], gaps: list[tuple[int, int]]) -> None:
    assert Extents(present).gaps(*asked) == [Range(*one) for one in gaps]


def test_clear_leaves_nothing() -> None:
    extents = Extents([(1, 2), (4, 9)])
    extents.clear()
    assert len(extents) == 0
    assert not extents.covers(1, 2)
    assert extents.covers(3, 3)
