"""Patterns that say which trees can never change. Pure.

A pattern is an attach name, a colon, and the path of the root of such a tree, for example ``main:archive/*/*``. Each
element is a shell pattern of its own. An empty path means the whole attach.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

_YEAR = "[0-9][0-9][0-9][0-9]"
_DAY = "[0-9][0-9][0-9][0-9]*"

OF_FOSSIL = (
    f"main:archive/{_YEAR}/{_DAY}",
    f"main:snapshot/{_YEAR}/[0-9][0-9][0-9][0-9]/{_DAY}",
    f"main/archive:{_YEAR}/{_DAY}",
    f"main/snapshot:{_YEAR}/[0-9][0-9][0-9][0-9]/{_DAY}",
)
"""The archives and snapshots of fossil. The years and days above them grow, and are asked about."""


Path = tuple[str, ...]


class Frozen:
    """A set of patterns."""

    def __init__(self, patterns: Iterable[str] = OF_FOSSIL) -> None:
        self._patterns: list[tuple[str, Path]] = []
        for pattern in patterns:
            aname, _, path = pattern.partition(":")
            self._patterns.append((aname, tuple(name for name in path.split("/") if name)))

    def below(self, aname: str) -> list[Path]:
        """The patterns for one attach name, each as the elements of its path."""
        return [path for tree, path in self._patterns if fnmatchcase(aname, tree)]


def depth_of(paths: Iterable[Path], names: Sequence[str]) -> int | None:
    """How many of the names lead to the root of a tree that cannot change; None if the place is in none."""
    for path in paths:
        if len(path) <= len(names) and all(fnmatchcase(*pair) for pair in zip(names, path, strict=False)):
            return len(path)
    return None
