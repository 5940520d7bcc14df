"""Sets of byte ranges: which parts of a file are present. Pure arithmetic.

A set holds any number of disjoint half-open ranges ``[start, end)``, in order; ranges that touch are one range. Finding
costs a bisection, changing it the same and a list splice.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Range(NamedTuple):
    """The bytes from ``start`` up to, not including, ``end``."""

    start: int
    end: int


class Extents:
    """A set of byte positions, held as ranges."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self.add(start, end)

    def __iter__(self) -> Iterator[Range]:
        return map(Range, self._starts, self._ends)

    def __len__(self) -> int:
        """How many separate ranges there are."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Extents):
            return NotImplemented
        return self._starts == other._starts and self._ends == other._ends

    def __repr__(self) -> str:
        return f"Extents({[(start, end) for start, end in self]})"

    @property
    def total(self) -> int:
        """How many bytes are in the set."""
        return sum(self._ends) - sum(self._starts)

    def add(self, start: int, end: int) -> None:
        """Puts a range in; an empty one changes nothing."""
        if start >= end:
            return
        starts, ends = self._starts, self._ends
        first = bisect_left(ends, start)
        after = bisect_right(starts, end)
        if first < after:
            start = min(start, starts[first])
            end = max(end, ends[after - 1])
        starts[first:after] = [start]
        ends[first:after] = [end]

    def remove(self, start: int, end: int) -> None:
        """Takes a range out, whether or not it was in."""
        if start >= end:
            return
        starts, ends = self._starts, self._ends
        first = bisect_right(ends, start)
        after = bisect_left(starts, end)
        if first >= after:
            return
        left, right = starts[first], ends[after - 1]
        new_starts: list[int] = []
        new_ends: list[int] = []
        if left < start:
            new_starts.append(left)
            new_ends.append(start)
        if right > end:
            new_starts.append(end)
            new_ends.append(right)
        starts[first:after] = new_starts
        ends[first:after] = new_ends

    def cut(self, size: int) -> None:
        """Takes everything from ``size`` on out: the file has become that short."""
        if self._ends and self._ends[-1] > size:
            self.remove(size, self._ends[-1])

    def clear(self) -> None:
        """Takes everything out."""
        self._starts.clear()
        self._ends.clear()

    def covers(self, start: int, end: int) -> bool:
        """Whether every byte of the range is in; true of an empty range."""
        if start >= end:
            return True
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and self._ends[at] >= end

    def gaps(self, start: int, end: int) -> list[Range]:
        """The parts of the range that are not in, in order."""
        starts, ends = self._starts, self._ends
        found: list[Range] = []
        at = bisect_right(ends, start)
        while start < end:
            if at == len(starts) or starts[at] >= end:
                found.append(Range(start, end))
                break
            if starts[at] > start:
                found.append(Range(start, starts[at]))
            start = ends[at]
            at += 1
        return found

    def parts(self, start: int, end: int) -> list[Range]:
        """The parts of the range that are in, in order."""
        starts, ends = self._starts, self._ends
        found: list[Range] = []
        at = bisect_right(ends, start)
        while start < end and at < len(starts) and starts[at] < end:
            found.append(Range(max(start, starts[at]), min(end, ends[at])))
            at += 1
        return found
