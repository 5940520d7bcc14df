"""Record locks: which owner holds which ranges of which files. Pure. Source: fcntl(2), and Tlock of 9P2000.L.

Nothing here waits. A lock that another owner stands in the way of is refused; who wants to wait can watch the file.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

END = 1 << 64
"""Beyond every offset: a lock without a length goes this far."""


class Range(NamedTuple):
    """Bytes ``start`` to before ``end`` that ``owner`` holds, alone if ``exclusive``.

    Attributes:
        holder: what gives its locks back all at once, a fid; one owner may hold locks by several.
    """

    start: int
    end: int
    exclusive: bool
    owner: Hashable
    holder: Hashable


class LockTable:
    """The locks on many files, by a key that names each of them."""

    def __init__(self) -> None:
        self._files: dict[Hashable, list[Range]] = {}
        self._watchers: dict[Hashable, list[Callable[[], None]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._files.values()))

    def held(self, key: Hashable) -> list[Range]:
        """The locks on one file, by where they start."""
        return sorted(self._files.get(key, ()), key=lambda one: one.start)

    def conflict(self, key: Hashable, wanted: Range) -> Range | None:
        """A lock of another owner that ``wanted`` cannot be had beside, or None."""
        for one in self.held(key):
            if one.owner == wanted.owner or one.end <= wanted.start or wanted.end <= one.start:
                continue
            if one.exclusive or wanted.exclusive:
                return one
        return None

    def lock(self, key: Hashable, wanted: Range) -> bool:
        """Takes a lock, in place of what its owner holds of that range. False where another owner is in the way."""
        if self.conflict(key, wanted) is not None:
            return False
        self.unlock(key, wanted)
        self._files.setdefault(key, []).append(wanted)
        return True

    def unlock(self, key: Hashable, wanted: Range) -> None:
        """Gives a range back; the parts of its owner's locks outside of it stay."""
        left: list[Range] = []
        for one in self._files.get(key, ()):
            if one.owner != wanted.owner or one.end <= wanted.start or wanted.end <= one.start:
                left.append(one)
                continue
            if one.start < wanted.start:
                left.append(one._replace(end=wanted.start))
            if wanted.end < one.end:
                left.append(one._replace(start=wanted.end))
        self._put(key, left)

    def watch(self, key: Hashable, call: Callable[[], None]) -> Callable[[], None]:
        """Calls ``call`` whenever locks on a file were given back. Returns what ends that."""
        self._watchers.setdefault(key, []).append(call)

        def stop() -> None:
            watchers = self._watchers[key]
            watchers.remove(call)
            if not watchers:
                del self._watchers[key]

        return stop

    def release(self, key: Hashable, holder: Hashable) -> None:
        """Gives back everything that was taken by ``holder``."""
        self._put(key, [one for one in self._files.get(key, ()) if one.holder != holder])

    def _put(self, key: Hashable, left: list[Range]) -> None:
        if left:
            self._files[key] = left
        else:
            self._files.pop(key, None)
        for call in self._watchers.get(key, ()):
            call()
